//! The heartbeat: what this host reports to the store, and when it must report again.

use std::time::Duration;

use tokio::time::Instant;

use crate::Result;
use crate::control::{HostReport, HostState};
use crate::store::RunStore;
use crate::{Clock, VERSION};

/// The longest time between two reports.
const INTERVAL: Duration = Duration::from_secs(2);

/// What a host is, and never changes.
pub(super) struct Identity {
    pub(super) id: String,
    pub(super) kind: String,
    pub(super) world: String,
}

/// What a host does.
#[derive(Clone, PartialEq)]
pub(super) struct Activity {
    pub(super) state: HostState,
    pub(super) run_id: Option<String>,
    /// The generation that it has acted on.
    pub(super) generation: u64,
}

/// Sends this host's reports.
pub(super) struct Heartbeat {
    host: Identity,
    last: Option<(Activity, u32)>,
    due: Instant,
}

impl Heartbeat {
    pub(super) fn new(host: Identity) -> Self {
        Self { host, last: None, due: Instant::now() }
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
        activity: Activity,
        in_flight: u32,
    ) -> Result<()> {
        let changed = match &self.last {
            None => true,
            Some((last, _)) if *last != activity => true,
            Some((last, calls)) => last.state == HostState::Quiescing && *calls != in_flight,
        };
        if !changed && Instant::now() < self.due {
            return Ok(());
        }
        let report = HostReport {
            id: self.host.id.clone(),
            kind: self.host.kind.clone(),
            world: Some(self.host.world.clone()),
            version: VERSION.to_owned(),
            last_seen: clock.now(),
            generation: activity.generation,
            state: activity.state,
            run_id: activity.run_id.clone(),
            in_flight_calls: in_flight,
        };
        store.report(&report).await?;
        self.last = Some((activity, in_flight));
        self.due = Instant::now() + INTERVAL;
        Ok(())
    }
}
