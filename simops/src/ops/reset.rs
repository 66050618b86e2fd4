//! Resets of the world: requested in the store, built by a host, awaited here.

use std::time::Duration;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::Instant;

use super::Ops;
use crate::store::EpochStatus;
use crate::{Error, Result};

/// How long a host may take to build a world.
const BUILD_TIMEOUT: Duration = Duration::from_secs(8);
/// How long a host that has just started may take to report.
const REPORT_TIMEOUT: Duration = Duration::from_secs(2);
/// How often the store is polled when no notification arrives.
const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// Worlds kept besides the current one.
const KEPT_WORLDS: usize = 3;

/// A world that was built.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ResetResult {
    /// The new world's number.
    pub epoch: i64,
    /// The host's description of it.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub world: Value,
}

impl Ops {
    /// Whether a live host owns a world. Waits briefly for a host that has just started.
    async fn has_builder(&self) -> Result<bool> {
        let mut revision = self.store.watch();
        let began = Instant::now();
        loop {
            revision.mark_unchanged();
            let now = self.clock.now();
            let hosts = self.store.hosts(now - SignedDuration::from_secs(60)).await?;
            if hosts.iter().any(|host| host.owns_world && host.is_live(now)) {
                return Ok(true);
            }
            if began.elapsed() > REPORT_TIMEOUT {
                return Ok(false);
            }
            let _ = tokio::time::timeout(POLL_INTERVAL, revision.changed()).await;
        }
    }

    /// Asks a host to build a new world and waits for it. Nothing changes until a commit switches to
    /// it; a world that no commit names is deleted later.
    pub(super) async fn build_world(&self) -> Result<ResetResult> {
        if !self.has_builder().await? {
            return Err(Error::conflict("no live host owns a world that could be reset"));
        }
        let now = self.clock.now();
        let current = self.store.load().await?.world_epoch;
        let before = now - SignedDuration::from_hours(1);
        self.store.delete_epochs(before, KEPT_WORLDS, current).await?;

        let mut revision = self.store.watch();
        let epoch = self.store.request_epoch(now).await?;
        let built = async {
            loop {
                revision.mark_unchanged();
                match self.store.epoch(epoch).await?.map(|epoch| epoch.status) {
                    Some(EpochStatus::Ready { result }) => {
                        return Ok(ResetResult { epoch, world: result });
                    }
                    Some(EpochStatus::Failed { reason }) => {
                        return Err(Error::conflict(format!("the world was not reset: {reason}")));
                    }
                    _ => {
                        let _ = tokio::time::timeout(POLL_INTERVAL, revision.changed()).await;
                    }
                }
            }
        };
        tokio::time::timeout(BUILD_TIMEOUT, built).await.unwrap_or_else(|_| {
            Err(Error::unavailable("no host built a new world in time; nothing was changed"))
        })
    }
}
