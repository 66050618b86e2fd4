//! Live hosts, the run state that they have acknowledged, and the host of a run.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::ControlState;
use crate::run::{GATEWAY, RunGate, RunRecord};
use crate::{Error, Result};

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
    /// Its id, unique per process.
    pub id: String,
    /// The name of the simulation that it runs, which several processes may share. Empty for a host of
    /// an earlier version.
    #[serde(default)]
    pub kind: String,
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
    /// The world that it builds and acts in, if any.
    #[serde(default)]
    pub world: Option<String>,
    /// The run in which it takes turns, or took the last one.
    #[serde(default)]
    pub run_id: Option<String>,
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

impl RunRecord {
    /// Whether `host` takes turns in this run, or would if it were open.
    pub(crate) fn is_driven_by(&self, host: &HostReport) -> bool {
        let is_its_host = self.host.as_ref().is_none_or(|name| *name == host.kind);
        self.world.is_some() && self.world == host.world && is_its_host
    }
}

/// The state of `run` that `hosts` have acknowledged at `now`. Lost hosts are ignored.
pub(crate) fn state_of_run(run: &RunRecord, hosts: &[HostReport], now: Timestamp) -> RunState {
    let mine = hosts.iter().filter(|host| host.is_live(now) && run.is_driven_by(host));
    let mut mine = mine.peekable();
    let anyone = mine.peek().is_some();
    let gate = run.gate();
    let confirmed = mine.all(|host| {
        host.generation >= run.gate_generation
            && match gate {
                RunGate::Open => host.state == HostState::Running,
                RunGate::Paused => host.state == HostState::Paused,
                // It may be in a later run of the world.
                RunGate::Closed => {
                    host.state == HostState::Idle || host.run_id.as_ref() != Some(&run.run_id)
                }
            }
    });
    match (gate, confirmed) {
        (RunGate::Open, true) if anyone => RunState::Running,
        (RunGate::Open, _) => RunState::Starting,
        (RunGate::Paused, true) => RunState::Paused,
        (RunGate::Paused, false) => RunState::Pausing,
        (RunGate::Closed, false) => RunState::Stopping,
        (RunGate::Closed, true) => RunState::Stopped,
    }
}

/// The state of the current run that `hosts` have acknowledged at `now`. Without a current run, the
/// hosts must have left every run that is not open.
pub(crate) fn run_state(state: &ControlState, hosts: &[HostReport], now: Timestamp) -> RunState {
    if let Some(run) = &state.run {
        return state_of_run(run, hosts, now);
    }
    let is_open = |run_id: &String| state.other_runs.iter().any(|run| run.run_id == *run_id);
    let is_done = |host: &HostReport| {
        host.state == HostState::Idle || host.run_id.as_ref().is_some_and(is_open)
    };
    match hosts.iter().filter(|host| host.is_live(now)).all(is_done) {
        true => RunState::Idle,
        false => RunState::Stopping,
    }
}

/// The host of a run, and the world that the run uses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct HostOfRun {
    /// The name of the host; `None` for any host of the world.
    pub host: Option<String>,
    /// The world; `None` for a foreign host.
    pub world: Option<String>,
}

impl HostOfRun {
    /// The host that a start asks for, or by default the one host with a world that is connected, else
    /// the one world that there is, else the gateway. `own` is the host of this process, which may not
    /// have reported yet.
    ///
    /// # Errors
    /// Returns `Rejected` for a host that is not connected, and if there are several to choose from.
    pub(crate) fn of_start(
        requested: Option<&str>,
        hosts: &[HostReport],
        own: Option<&(String, String)>,
        worlds: &BTreeMap<String, i64>,
        now: Timestamp,
    ) -> Result<Self> {
        let of = |host: &HostReport| Some((host.kind.clone(), host.world.clone()?));
        let known: BTreeMap<_, _> = hosts.iter().filter_map(of).chain(own.cloned()).collect();
        let found = |(host, world): (&String, &String)| Self {
            host: Some(host.clone()),
            world: Some(world.clone()),
        };
        if let Some(name) = requested {
            if name == GATEWAY {
                return Ok(Self { host: Some(GATEWAY.to_owned()), world: None });
            }
            let names: Vec<_> = known.keys().map(String::as_str).chain([GATEWAY]).collect();
            let unknown = || {
                let text = format!("host {name} is not connected; there are {}", names.join(", "));
                Error::rejected(text)
            };
            return known.get_key_value(name).map(found).ok_or_else(unknown);
        }
        let live = hosts.iter().filter(|host| host.is_live(now)).filter_map(of);
        let live: BTreeMap<_, _> = live.chain(own.cloned()).collect();
        let several = |what: &str, names: Vec<&String>| {
            let names: Vec<_> = names.into_iter().map(String::as_str).collect();
            let text = format!("there are several {what}: {}; name the host", names.join(", "));
            Error::rejected(text)
        };
        match (live.len(), worlds.len()) {
            (1, _) => Ok(live.iter().next().map(found).unwrap_or_default()),
            (0, 0) => Ok(Self { host: Some(GATEWAY.to_owned()), world: None }),
            (0, 1) => Ok(Self { host: None, world: worlds.keys().next().cloned() }),
            (0, _) => Err(several("worlds", worlds.keys().collect())),
            _ => Err(several("hosts", live.keys().collect())),
        }
    }
}
