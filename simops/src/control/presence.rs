//! Live hosts and the run state that they have acknowledged.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{ControlState, RunGate};
use crate::settings::Registry;

/// A host without a report for this long is lost.
pub(crate) const LOST_AFTER: SignedDuration = SignedDuration::from_secs(15);
/// A lost host is listed for this long.
pub(crate) const FORGOTTEN_AFTER: SignedDuration = SignedDuration::from_hours(1);

named! {
    /// The state that a host reports.
    pub enum HostState {
        /// Takes no turns, because no run is open.
        Idle = "idle",
        /// Takes turns.
        Running = "running",
        /// Waits for the turns in flight.
        Quiescing = "quiescing",
        /// Paused.
        Paused = "paused",
        /// No report for 15 s. Never reported by a host, only derived.
        Lost = "lost",
    }
}

/// The last report of a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HostReport {
    /// Its name, unique per process.
    pub id: String,
    /// The simops version it was built with.
    pub version: String,
    /// When it last reported.
    pub last_seen: Timestamp,
    /// The generation it has acted on.
    pub generation: u64,
    /// Its state.
    pub state: HostState,
    /// Turns, or model calls, in flight.
    pub in_flight_calls: u32,
    /// Whether it builds worlds.
    pub owns_world: bool,
}

impl HostReport {
    /// Whether it has reported within 15 seconds.
    pub fn is_live(&self, now: Timestamp) -> bool {
        now.duration_since(self.last_seen) < LOST_AFTER
    }

    /// The report as shown at `now`: lost when it is too old.
    #[must_use]
    pub fn seen_at(mut self, now: Timestamp) -> Self {
        if !self.is_live(now) {
            self.state = HostState::Lost;
        }
        self
    }
}

/// The run state that the hosts have acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// No run.
    Idle,
    /// A run is active, but not every live host takes turns yet, or there is none.
    Starting,
    /// Every live host takes turns.
    Running,
    /// The run is paused; a live host may still be in a turn.
    Pausing,
    /// The run is paused on every live host.
    Paused,
    /// A run has ended; a live host may still be in a turn.
    Stopping,
    /// The run has ended, and every live host has acknowledged it.
    Stopped,
}

/// The run state that `hosts` have acknowledged at `now`. Lost hosts are ignored.
pub(crate) fn run_state(
    state: &ControlState,
    registry: &Registry,
    hosts: &[HostReport],
    now: Timestamp,
) -> RunState {
    let mut live = hosts.iter().filter(|host| host.is_live(now)).peekable();
    let anyone = live.peek().is_some();
    let gate = state.gate(registry);
    let confirmed = live.all(|host| {
        host.generation >= state.gate_generation
            && match gate {
                RunGate::Open => host.state == HostState::Running,
                RunGate::Paused => host.state == HostState::Paused,
                RunGate::Closed => host.state == HostState::Idle,
            }
    });
    match (gate, confirmed) {
        (RunGate::Open, true) if anyone => RunState::Running,
        (RunGate::Open, _) => RunState::Starting,
        (RunGate::Paused, true) => RunState::Paused,
        (RunGate::Paused, false) => RunState::Pausing,
        (RunGate::Closed, false) => RunState::Stopping,
        (RunGate::Closed, true) if state.run.is_none() => RunState::Idle,
        (RunGate::Closed, true) => RunState::Stopped,
    }
}
