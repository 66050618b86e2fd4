//! A new world on request: asked for in the store, built by a host, awaited here.

use std::time::Duration;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::Instant;

use super::Ops;
use crate::control::decide::check_reset_allowed;
use crate::store::EpochStatus;
use crate::{Error, Result};

/// A host has so long to build a world.
const BUILD_WITHIN: Duration = Duration::from_secs(8);
/// A host that has just started has so long to report.
const REPORT_WITHIN: Duration = Duration::from_secs(2);
/// How often to look when no notification arrives.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Worlds kept beside the one shown.
const KEEP: usize = 3;

/// What came of building a world.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ResetResult {
    /// The new world's number.
    pub epoch: i64,
    /// What the host says of it.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub world: Value,
}

impl Ops {
    /// Whether a reset may happen at all.
    ///
    /// # Errors
    /// `Forbidden` in production.
    pub fn check_reset_allowed(&self) -> Result<()> {
        check_reset_allowed(self.options.environment)
    }

    /// Whether a live host owns a world, now or in a moment: one that has just started is about to
    /// report.
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
            if began.elapsed() > REPORT_WITHIN {
                return Ok(false);
            }
            let _ = tokio::time::timeout(LOOK_EVERY, revision.changed()).await;
        }
    }

    /// Has a host build a world beside the one shown. Until a commit names it, nothing is changed:
    /// one that nobody names is dropped later.
    pub(super) async fn build_world(&self) -> Result<ResetResult> {
        if !self.has_builder().await? {
            return Err(Error::conflict("no live host owns a world that could be reset"));
        }
        let now = self.clock.now();
        let shown = self.store.load().await?.world_epoch;
        let before = now - SignedDuration::from_hours(1);
        self.store.delete_epochs(before, KEEP, shown).await?;

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
                        // Either a notification or the net: both mean to look again.
                        let _ = tokio::time::timeout(LOOK_EVERY, revision.changed()).await;
                    }
                }
            }
        };
        tokio::time::timeout(BUILD_WITHIN, built).await.unwrap_or_else(|_| {
            Err(Error::unavailable("no host built a new world in time; nothing was changed"))
        })
    }
}
