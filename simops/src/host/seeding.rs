//! Builds worlds: the first one, and a new epoch when an operator requests a reset.

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

/// Requests older than this are ignored: the operator's request has timed out.
const REQUEST_TIMEOUT: SignedDuration = SignedDuration::from_secs(30);

/// Builds every requested world that no other host is building.
pub(super) async fn build_requested(
    store: &Arc<dyn RunStore>,
    host: &Arc<dyn SimulationHost>,
    host_id: &str,
    clock: &dyn Clock,
) -> Result<()> {
    for requested in store.requested_epochs(clock.now() - REQUEST_TIMEOUT).await? {
        build(store, host, host_id, requested.epoch).await?;
    }
    Ok(())
}

/// Builds the first world and makes it current, unless there is one.
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

/// Builds one epoch; returns false if another host builds it, or if it cannot be built.
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
            warn!(code = "world_build_failed", epoch, %error, "world build failed");
            store.fail_epoch(epoch, error.detail()).await?;
            Ok(false)
        }
    }
}
