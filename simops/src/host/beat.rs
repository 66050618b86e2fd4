//! Signs of life: what this host tells the store of itself, and when it has to say it again.

use std::time::Duration;

use tokio::time::Instant;

use crate::Result;
use crate::control::{HostReport, HostState};
use crate::store::RunStore;
use crate::{Clock, VERSION};

/// A sign of life is given at least so often.
pub(super) const EVERY: Duration = Duration::from_secs(2);

/// What this host last reported.
pub(super) struct Beat {
    id: String,
    last: Option<(u64, HostState, u32)>,
    due: Instant,
}

impl Beat {
    pub(super) fn new(id: String) -> Self {
        Self { id, last: None, due: Instant::now() }
    }

    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// Reports when something is new or the time has come. The calls in flight alone are no news
    /// while turns are taken, or every turn would cost two writes.
    pub(super) async fn report(
        &mut self,
        store: &dyn RunStore,
        clock: &dyn Clock,
        (generation, state, in_flight): (u64, HostState, u32),
    ) -> Result<()> {
        let said = (generation, state, in_flight);
        let news = match self.last {
            None => true,
            Some((g, s, _)) if (g, s) != (generation, state) => true,
            Some((.., calls)) => state == HostState::Quiescing && calls != in_flight,
        };
        if !news && Instant::now() < self.due {
            return Ok(());
        }
        let report = HostReport {
            id: self.id.clone(),
            version: VERSION.to_owned(),
            last_seen: clock.now(),
            generation,
            state,
            in_flight_calls: in_flight,
            owns_world: true,
        };
        store.report(&report).await?;
        self.last = Some(said);
        self.due = Instant::now() + EVERY;
        Ok(())
    }
}
