//! The open runs in the status: state, hosts, limits and spending of each.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Activity, Ops};
use crate::Result;
use crate::control::presence::state_of_run;
use crate::control::{ControlState, HostReport, HostState, RunState};
use crate::run::{Labels, RunLimits, RunMode};

/// A run that is open, or that has ended and that a host has not left yet (`stopping`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OpenRun {
    /// Its id.
    pub run_id: String,
    /// Whether it is the current run, which commands mean that name none.
    pub is_current: bool,
    /// Test or real.
    pub mode: RunMode,
    /// The experimental condition.
    pub condition_name: Option<String>,
    /// The host that takes its turns; null for any host of the world.
    pub host: Option<String>,
    /// The world; null for a run of a foreign host.
    pub world: Option<String>,
    /// The group of runs that it belongs to.
    pub group_id: Option<String>,
    /// Its labels.
    pub labels: Labels,
    /// When it started.
    pub started_at: Timestamp,
    /// Whether it is paused.
    pub paused: bool,
    /// The state that its hosts have acknowledged.
    pub run_state: RunState,
    /// The generation of the last change of its gate: work with an older one is refused.
    pub generation: u64,
    /// What it may use, if that is limited.
    pub limits: Option<RunLimits>,
    /// The limit that paused it.
    pub limit_reached: Option<String>,
    /// What it has used.
    pub spent: RunSpending,
    /// The hosts that take its turns, lost ones too.
    pub hosts: Vec<HostOfOpenRun>,
}

/// What a run has used.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RunSpending {
    /// The cost of its calls in US dollars.
    pub usd: f64,
    /// Its calls to models.
    pub calls: i64,
    /// Their tokens.
    pub tokens: i64,
    /// The actions of its agents.
    pub actions: i64,
    /// For how long it was not paused, in seconds.
    pub active_seconds: i64,
}

/// A host of an open run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HostOfOpenRun {
    /// Its id, unique per process.
    pub id: String,
    /// The name of the simulation that it runs.
    pub kind: String,
    /// Its state.
    pub state: HostState,
    /// The generation that it has acted on.
    pub generation: u64,
    /// Turns, or model calls, in flight.
    pub in_flight_calls: u32,
    /// When it last reported.
    pub last_seen: Timestamp,
}

impl Ops {
    /// Every open run, the current one first, and then those that have ended and that a host has not
    /// left yet.
    pub(super) async fn open_runs(
        &self,
        state: &ControlState,
        hosts: &[HostReport],
        now: Timestamp,
    ) -> Result<Vec<OpenRun>> {
        let mut runs: Vec<_> = state.open_runs().cloned().collect();
        for host in hosts.iter().filter(|host| host.is_live(now) && host.state != HostState::Idle) {
            let Some(run_id) = &host.run_id else { continue };
            let is_shown = runs.iter().any(|run| run.run_id == *run_id);
            if is_shown || state.known_run(run_id).is_some() {
                continue;
            }
            let ended = self.store.run(run_id).await?;
            runs.extend(ended.filter(|run| state_of_run(run, hosts, now) == RunState::Stopping));
        }
        if runs.is_empty() {
            return Ok(Vec::new());
        }
        let run_ids: Vec<_> = runs.iter().map(|run| run.run_id.clone()).collect();
        let figures = self.figures_of(&run_ids).await?;
        let current = state.open_run().map(|run| &run.run_id);
        let none = Default::default();
        let shown = runs.iter().map(|run| {
            let (calls, counts) = figures.get(&run.run_id).unwrap_or(&none);
            let of_run = hosts.iter().filter(|host| run.is_driven_by(host));
            OpenRun {
                run_id: run.run_id.clone(),
                is_current: current == Some(&run.run_id),
                mode: run.mode,
                condition_name: run.condition_name.clone(),
                host: run.host.clone(),
                world: run.world.clone(),
                group_id: run.group_id.clone(),
                labels: run.labels.clone(),
                started_at: run.started_at,
                paused: run.paused,
                run_state: state_of_run(run, hosts, now),
                generation: run.gate_generation,
                limits: run.limits,
                limit_reached: run.limit_reached.clone(),
                spent: RunSpending {
                    usd: calls.cost.dollars(),
                    calls: calls.calls,
                    tokens: calls.total_tokens,
                    actions: Activity::of(counts).actions(),
                    active_seconds: run.active_time(now).as_secs(),
                },
                hosts: of_run.map(|host| HostOfOpenRun::of(host.clone().seen_at(now))).collect(),
            }
        });
        Ok(shown.collect())
    }
}

impl HostOfOpenRun {
    fn of(host: HostReport) -> Self {
        let HostReport { id, kind, state, generation, in_flight_calls, last_seen, .. } = host;
        Self { id, kind, state, generation, in_flight_calls, last_seen }
    }
}
