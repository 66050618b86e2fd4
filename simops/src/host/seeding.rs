//! Builds worlds: the first one, and a new epoch when an operator requests a reset.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use jiff::SignedDuration;
use tracing::{info, warn};

use super::Worker;
use crate::control::Command;
use crate::execute::{Intent, WritePermit};
use crate::{Error, Result};

/// Requests older than this are ignored: the operator's request has timed out.
const REQUEST_TIMEOUT: SignedDuration = SignedDuration::from_secs(30);

impl Worker {
    /// Builds every requested epoch of its world that no other host is building.
    pub(super) async fn build_requested_worlds(&self) -> Result<()> {
        let since = self.clock.now() - REQUEST_TIMEOUT;
        for requested in self.store.requested_epochs(self.host.world(), since).await? {
            self.build_world(requested.epoch).await?;
        }
        Ok(())
    }

    /// Builds the first world and makes it current, unless there is one.
    pub(super) async fn build_first_world(&self) -> Result<()> {
        let world = self.host.world();
        if self.store.load().await?.worlds.contains_key(world) {
            return Ok(());
        }
        let epoch = self.store.request_epoch(world, self.clock.now()).await?;
        if self.build_world(epoch).await? {
            let intent = Intent::Command(Command::AdoptWorld { world: world.to_owned(), epoch });
            self.executor.execute(&WritePermit::system("host"), &intent, |_, _| ()).await?;
        }
        Ok(())
    }

    /// Builds one epoch; returns false if another host builds it, or if it cannot be built.
    async fn build_world(&self, epoch: i64) -> Result<bool> {
        let (store, host) = (&self.store, &self.host);
        if !store.claim_epoch(epoch, &self.options.host_id).await? {
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
}
