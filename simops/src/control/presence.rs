//! Who is there, and what the hosts have confirmed: the run state that is shown.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{ControlState, RunGate};
use crate::settings::Registry;

/// A host that has not reported for so long is lost.
pub const LOST_AFTER: SignedDuration = SignedDuration::from_secs(15);
/// A lost host is shown for so long.
pub const FORGOTTEN_AFTER: SignedDuration = SignedDuration::from_hours(1);

/// What a host does, in its own words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum HostState {
    /// It takes no turns because no run is open.
    Idle,
    /// It takes turns.
    Running,
    /// It lets the turns in flight end.
    Quiescing,
    /// It holds still.
    Paused,
    /// It has not reported for 15 s. Never reported, only shown.
    Lost,
}

impl HostState {
    /// The state's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Running => "running",
            Self::Quiescing => "quiescing",
            Self::Paused => "paused",
            Self::Lost => "lost",
        }
    }

    /// The state of that name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Idle, Self::Running, Self::Quiescing, Self::Paused, Self::Lost]
            .into_iter()
            .find(|state| state.as_str() == name)
    }
}

/// What a host last reported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HostReport {
    /// Its name, unique per process.
    pub id: String,
    /// The simops version it was built with.
    pub version: String,
    /// When it last reported.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub last_seen: Timestamp,
    /// The generation it has acted on.
    pub generation: u64,
    /// What it does.
    pub state: HostState,
    /// Turns it has begun and not ended.
    pub in_flight_calls: u32,
    /// Whether it builds worlds.
    pub owns_world: bool,
}

impl HostReport {
    /// Whether it has reported lately.
    pub fn is_live(&self, now: Timestamp) -> bool {
        now.duration_since(self.last_seen) < LOST_AFTER
    }

    /// The report as it is shown at `now`.
    #[must_use]
    pub fn seen_at(mut self, now: Timestamp) -> Self {
        if !self.is_live(now) {
            self.state = HostState::Lost;
        }
        self
    }
}

/// What hosts have confirmed of what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// No run.
    Idle,
    /// A run is to go on; not every live host does yet, or none is there.
    Starting,
    /// Every live host takes turns.
    Running,
    /// A run is to hold still; a live host may still be in a turn.
    Pausing,
    /// Every live host holds still.
    Paused,
    /// A run has ended; a live host may still be in a turn.
    Stopping,
    /// The run has ended, and every live host knows.
    Stopped,
}

/// The run state that `hosts` have confirmed at `now`. Lost hosts do not count.
pub fn run_state(
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
