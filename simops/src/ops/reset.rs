//! Resets of the world: requested in the store, built by a host, awaited here.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::Instant;

use super::Ops;
use crate::control::decide::NO_WORLD;
use crate::execute::found;
use crate::run::RunRecord;
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
    /// Waits briefly for a live host that owns a world, in case it has just started.
    ///
    /// # Errors
    /// Returns `Conflict` when there is none.
    pub(super) async fn wait_for_builder(&self) -> Result<()> {
        let mut revision = self.store.watch();
        let began = Instant::now();
        loop {
            revision.mark_unchanged();
            if !self.live_worlds().await?.is_empty() {
                return Ok(());
            }
            if began.elapsed() > REPORT_TIMEOUT {
                return Err(Error::conflict(NO_WORLD));
            }
            let _ = tokio::time::timeout(POLL_INTERVAL, revision.changed()).await;
        }
    }

    /// The worlds that live hosts own.
    async fn live_worlds(&self) -> Result<BTreeSet<String>> {
        let now = self.clock.now();
        let hosts = self.store.hosts(now - SignedDuration::from_secs(60)).await?;
        let live = hosts.into_iter().filter(|host| host.is_live(now));
        Ok(live.filter_map(|host| host.world).collect())
    }

    /// The world of that run, or of the current one; if that has none, the one that there is.
    ///
    /// # Errors
    /// Returns `NotFound` for a run that does not exist, `Conflict` for a named one without a world, and
    /// `Rejected` when there are several worlds and no run names one.
    pub(super) async fn world_to_reset(&self, run_id: Option<&str>) -> Result<String> {
        let state = self.store.load().await?;
        let run = match run_id {
            Some(run_id) => Some(found("run", run_id, self.store.run(run_id).await?)?),
            None => state.run,
        };
        let live = self.live_worlds().await?;
        let no_world = |run: &RunRecord| {
            let host = run.host.as_deref().unwrap_or_default();
            Error::conflict(format!("run {} of host {host} has no world to reset", run.run_id))
        };
        match (run, live.len()) {
            (Some(run), _) if run.world.is_some() => Ok(run.world.unwrap_or_default()),
            (Some(run), _) if run_id.is_some() => Err(no_world(&run)),
            (_, 1) => Ok(live.into_iter().next().unwrap_or_default()),
            (_, 0) => Err(Error::conflict(NO_WORLD)),
            _ => Err(Error::rejected("there are several worlds; name a run of one with run_id")),
        }
    }

    /// Asks a host to build a new world and waits for it. Nothing changes until a commit switches to
    /// it; a world that no commit names is deleted later.
    pub(super) async fn build_world(&self, world: &str) -> Result<ResetResult> {
        if !self.live_worlds().await?.contains(world) {
            return Err(Error::conflict(NO_WORLD));
        }
        let now = self.clock.now();
        let before = now - SignedDuration::from_hours(1);
        self.store.delete_epochs(world, before, KEPT_WORLDS).await?;

        let mut revision = self.store.watch();
        let epoch = self.store.request_epoch(world, now).await?;
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
