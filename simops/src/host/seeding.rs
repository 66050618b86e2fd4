//! Building worlds: the first one, and a new epoch whenever an operator asks for a reset.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use jiff::SignedDuration;
use tracing::{info, warn};

use super::SimulationHost;
use crate::Result;
use crate::control::Command;
use crate::execute::{Executor, Intent, WritePermit};
use crate::store::RunStore;
use crate::{Clock, Error};

/// A request older than this has no one waiting for it any more.
const ABANDONED_AFTER: SignedDuration = SignedDuration::from_secs(30);

/// Builds every world that is asked for and that no other host builds.
pub(super) async fn build_requested(
    store: &Arc<dyn RunStore>,
    host: &Arc<dyn SimulationHost>,
    host_id: &str,
    clock: &dyn Clock,
) -> Result<()> {
    for wanted in store.requested_epochs(clock.now() - ABANDONED_AFTER).await? {
        build(store, host, host_id, wanted.epoch).await?;
    }
    Ok(())
}

/// Builds the first world and shows it, unless one is shown.
pub(super) async fn build_first(
    store: &Arc<dyn RunStore>,
    host: &Arc<dyn SimulationHost>,
    host_id: &str,
    clock: &dyn Clock,
    executor: &Executor,
) -> Result<()> {
    if store.load().await?.world_epoch.is_some() {
        return Ok(());
    }
    let epoch = store.request_epoch(clock.now()).await?;
    if build(store, host, host_id, epoch).await? {
        let intent = Intent::Command(Command::AdoptWorld { epoch });
        executor.execute(&WritePermit::system("host"), &intent, |_, _| ()).await?;
    }
    Ok(())
}

/// Builds one epoch; false when another host does, or when it cannot be built.
async fn build(
    store: &Arc<dyn RunStore>,
    host: &Arc<dyn SimulationHost>,
    host_id: &str,
    epoch: i64,
) -> Result<bool> {
    if !store.claim_epoch(epoch, host_id).await? {
        return Ok(false);
    }
    let seeded = AssertUnwindSafe(host.seed()).catch_unwind().await;
    match seeded.unwrap_or_else(|_| Err(Error::internal("the host panicked"))) {
        Ok(seeded) => {
            store.finish_epoch(epoch, &seeded.documents, &seeded.result).await?;
            info!(epoch, world = host.name(), "world built");
            Ok(true)
        }
        Err(error) => {
            warn!(epoch, %error, "the world cannot be built");
            store.fail_epoch(epoch, error.detail()).await?;
            Ok(false)
        }
    }
}
