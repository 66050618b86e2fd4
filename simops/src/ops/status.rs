//! What is going on, at a glance.

use serde::{Deserialize, Serialize};

use super::Ops;
use crate::Result;
use crate::clock::day_of;
use crate::control::presence::{FORGOTTEN_AFTER, run_state};
use crate::control::{Environment, HostReport, RunState};
use crate::guardrail::{Condition, evaluate};
use crate::run::RunRecord;
use crate::settings::{Effective, key};
use crate::usage::{Budget, CounterStatus};

/// The settings that say what runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ViewerOps {
    /// `test` or `real`.
    pub run_mode: String,
    /// The current run; empty when none is shown.
    pub run_id: String,
    /// The experimental condition.
    pub condition_name: String,
    /// The season; 0 = none.
    pub season_number: i64,
    /// Whether hosts are asked to take turns.
    pub simulation_active: bool,
    /// Whether they are asked to hold still.
    pub simulation_paused: bool,
    /// Whether calls go to the cheapest route.
    pub force_cheapest_route: bool,
}

/// `GET status` without what differs per request: the server's time and the actor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StatusView {
    /// Where this deployment stands.
    pub environment: Environment,
    /// Whether operators may write here.
    pub admin_write_enabled: bool,
    /// The settings that say what runs.
    pub viewer_ops: ViewerOps,
    /// What the day has used.
    pub llm_budget: Budget,
    /// The current run's registry row.
    pub run_metadata: Option<RunRecord>,
    /// Where calls are counted.
    pub counter: CounterStatus,
    /// Every stop condition with its distance.
    pub guardrails: Vec<Condition>,
    /// The control state's generation.
    pub generation: u64,
    /// What hosts have confirmed.
    pub run_state: RunState,
    /// The hosts, lost ones too.
    pub hosts: Vec<HostReport>,
}

impl Ops {
    /// What is going on.
    ///
    /// # Errors
    /// Of the store.
    pub async fn status(&self) -> Result<StatusView> {
        let now = self.clock.now();
        let registry = &self.options.registry;
        let state = self.store.load().await?;
        let settings = state.effective(registry);
        let hosts = self.store.hosts(now - FORGOTTEN_AFTER).await?;
        let day = day_of(now);
        let totals = self.store.day_totals(day).await?;
        let observed = self.observer.observe(&*self.store, &state, &settings, now).await?;
        Ok(StatusView {
            environment: self.options.environment,
            admin_write_enabled: self.options.write_enabled,
            viewer_ops: ViewerOps::of(&settings),
            llm_budget: Budget::of(day, &totals, &settings),
            counter: CounterStatus::of(&self.store.counter_epoch().await?, self.store.backend()),
            guardrails: evaluate(&observed, &settings),
            generation: state.generation,
            run_state: run_state(&state, registry, &hosts, now),
            hosts: hosts.into_iter().map(|host| host.seen_at(now)).collect(),
            run_metadata: state.run,
        })
    }

    /// Whether the store can read and write.
    ///
    /// # Errors
    /// `Unavailable` or `Unusable` when it cannot.
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
