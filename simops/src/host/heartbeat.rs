//! The heartbeat: what this host reports to the store, and when it must report again.

use std::time::Duration;

use tokio::time::Instant;

use crate::Result;
use crate::control::{HostReport, HostState};
use crate::store::RunStore;
use crate::{Clock, VERSION};

/// The longest time between two reports.
const INTERVAL: Duration = Duration::from_secs(2);

/// Sends this host's reports.
pub(super) struct Heartbeat {
    host_id: String,
    last: Option<(u64, HostState, u32)>,
    due: Instant,
}

impl Heartbeat {
    pub(super) fn new(host_id: String) -> Self {
        Self { host_id, last: None, due: Instant::now() }
    }

    /// When the next report is due.
    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// Sends a report if something changed or one is due. While turns are taken, a change of the
    /// calls in flight alone sends no report, or every turn would cost two writes.
    pub(super) async fn report(
        &mut self,
        store: &dyn RunStore,
        clock: &dyn Clock,
        (generation, state, in_flight): (u64, HostState, u32),
    ) -> Result<()> {
        let changed = match self.last {
            None => true,
            Some((g, s, _)) if (g, s) != (generation, state) => true,
            Some((.., calls)) => state == HostState::Quiescing && calls != in_flight,
        };
        if !changed && Instant::now() < self.due {
            return Ok(());
        }
        let report = HostReport {
            id: self.host_id.clone(),
            version: VERSION.to_owned(),
            last_seen: clock.now(),
            generation,
            state,
            in_flight_calls: in_flight,
            owns_world: true,
        };
        store.report(&report).await?;
        self.last = Some((generation, state, in_flight));
        self.due = Instant::now() + INTERVAL;
        Ok(())
    }
}
