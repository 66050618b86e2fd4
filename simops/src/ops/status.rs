//! The status: environment, run state, budget, guardrails, hosts.

use serde::{Deserialize, Serialize};

use super::{OpenRun, Ops};
use crate::Result;
use crate::clock::day_of;
use crate::control::presence::{FORGOTTEN_AFTER, run_state};
use crate::control::{Environment, HostReport, RunState, WriteGate};
use crate::guardrail::{Condition, evaluate};
use crate::run::RunRecord;
use crate::settings::{Effective, key};
use crate::usage::{CounterStatus, DayBudget};

/// The settings that hold run state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ViewerOps {
    /// `test` or `real`.
    pub run_mode: String,
    /// The current run; empty when there is none.
    pub run_id: String,
    /// The experimental condition.
    pub condition_name: String,
    /// The season; 0 = none.
    pub season_number: i64,
    /// Whether a run is active.
    pub simulation_active: bool,
    /// Whether it is paused.
    pub simulation_paused: bool,
    /// Whether model calls use the cheapest route.
    pub force_cheapest_route: bool,
}

/// `GET status`, without the server's time and the actor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StatusView {
    /// The environment whose rules apply: `production` on a database that is marked so.
    pub environment: Environment,
    /// Whether the database is marked as production.
    pub production_mark: bool,
    /// Whether all writes are allowed: false also while the gate is `stop_only`.
    pub admin_write_enabled: bool,
    /// The write gate.
    pub admin_write_gate: WriteGate,
    /// The settings that hold run state.
    pub viewer_ops: ViewerOps,
    /// The budget of the day, with what is used.
    pub llm_budget: DayBudget,
    /// The current run's registry row.
    pub run_metadata: Option<RunRecord>,
    /// The counter of model calls and its health.
    pub counter: CounterStatus,
    /// Every stop condition with its current value and threshold.
    pub guardrails: Vec<Condition>,
    /// The control state's generation.
    pub generation: u64,
    /// The run state that the hosts have acknowledged.
    pub run_state: RunState,
    /// The hosts, lost ones too.
    pub hosts: Vec<HostReport>,
    /// Every open run, the current one first.
    #[serde(default)]
    pub open_runs: Vec<OpenRun>,
}

impl Ops {
    /// The status.
    pub async fn status(&self) -> Result<StatusView> {
        let now = self.clock.now();
        let registry = &self.options.registry;
        let state = self.store.load().await?;
        let settings = state.effective(registry);
        let rules = self.executor.rules_on(&state);
        let hosts = self.store.hosts(now - FORGOTTEN_AFTER).await?;
        let day = day_of(now);
        let totals = self.store.day_totals(day).await?;
        let run = state.run.as_ref();
        let observed = self.observer.observe(&*self.store, run, &settings, now).await?;
        let open_runs = self.open_runs(&state, &hosts, now).await?;
        Ok(StatusView {
            environment: rules.environment(),
            production_mark: state.production_mark,
            admin_write_enabled: rules.gate() == WriteGate::Open,
            admin_write_gate: rules.gate(),
            viewer_ops: ViewerOps::of(&settings),
            llm_budget: DayBudget::of(day, totals, &settings),
            counter: CounterStatus::of(&self.store.counter_epoch().await?, self.store.backend()),
            guardrails: evaluate(&observed, &settings),
            generation: state.generation,
            run_state: run_state(&state, &hosts, now),
            hosts: hosts.into_iter().map(|host| host.seen_at(now)).collect(),
            run_metadata: state.run,
            open_runs,
        })
    }

    /// Checks that the database can be read and written.
    ///
    /// # Errors
    /// Returns `Unavailable` or `Unusable` when it cannot.
    pub async fn ready(&self) -> Result<()> {
        self.store.ping().await
    }
}

impl ViewerOps {
    fn of(settings: &Effective) -> Self {
        Self {
            run_mode: settings.text(key::RUN_MODE).to_owned(),
            run_id: settings.text(key::RUN_ID).to_owned(),
            condition_name: settings.text(key::CONDITION_NAME).to_owned(),
            season_number: settings.int(key::SEASON_NUMBER),
            simulation_active: settings.flag(key::ACTIVE),
            simulation_paused: settings.flag(key::PAUSED),
            force_cheapest_route: settings.flag(key::FORCE_CHEAPEST_ROUTE),
        }
    }
}
