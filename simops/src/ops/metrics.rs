//! Metrics of a run: calls, actions, governance.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Ops, bounded};
use crate::Result;
use crate::event::{RuntimeMode, kind};
use crate::run::RunRecord;
use crate::settings::key;
use crate::store::{ActivityScope, EventCount};
use crate::usage::CallTotals;

/// The longest time in hours that is counted without a run: two weeks.
pub(super) const MAX_HOURS: i64 = 336;

/// Actions by origin and type, and messages.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Activity {
    /// Actions that a model decided.
    pub checkpoint_actions: i64,
    /// Actions that a rule decided.
    pub deterministic_actions: i64,
    /// Actions that put a proposal.
    pub proposal_actions: i64,
    /// Actions that cast a vote.
    pub vote_actions: i64,
    /// Actions that wrote to the forum.
    pub forum_actions: i64,
    /// Posts and replies in the forum.
    pub forum_messages: i64,
}

/// Proposals and votes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Governance {
    /// Proposals put.
    pub proposals_created: i64,
    /// Proposals whose vote has not ended.
    pub active_proposals: i64,
    /// Votes cast.
    pub votes_cast: i64,
}

/// `GET run/metrics`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RunMetrics {
    /// The run; null when there is none.
    pub run_id: Option<String>,
    /// `test` or `real`.
    pub run_mode: String,
    /// The experimental condition.
    pub condition_name: Option<String>,
    /// The season.
    pub season_number: Option<i64>,
    /// Whether the run is active.
    pub simulation_active: bool,
    /// Whether it is paused.
    pub simulation_paused: bool,
    /// When it began.
    pub run_started_at: Option<Timestamp>,
    /// The registry row.
    pub run_metadata: Option<RunRecord>,
    /// Calls to models.
    pub llm: CallTotals,
    /// Actions and messages.
    pub activity: Activity,
    /// Proposals and votes.
    pub governance: Governance,
}

impl Ops {
    /// The metrics of a run; without `run_id` of the current run, and without a current run of the
    /// last `hours_fallback` hours.
    ///
    /// # Errors
    /// Returns `NotFound` for an unknown run and `Invalid` for hours outside 1 to 336.
    pub async fn run_metrics(
        &self,
        run_id: Option<&str>,
        hours_fallback: i64,
    ) -> Result<RunMetrics> {
        bounded("hours_fallback", hours_fallback, MAX_HOURS)?;
        let state = self.store.load().await?;
        let settings = state.effective(&self.options.registry);
        let run = match run_id.filter(|run_id| !run_id.is_empty()) {
            Some(run_id) => Some(self.run(run_id).await?),
            None => state.run.clone(),
        };
        let is_current =
            run.as_ref().map(|run| &run.run_id) == state.run.as_ref().map(|r| &r.run_id);
        let (active, paused) = match &run {
            Some(run) if !is_current => (run.is_open(), run.is_open() && run.paused),
            _ => (settings.flag(key::ACTIVE), settings.flag(key::PAUSED)),
        };
        let scope = match &run {
            Some(run) => ActivityScope::Run(run.run_id.clone()),
            None => {
                ActivityScope::Since(self.clock.now() - SignedDuration::from_hours(hours_fallback))
            }
        };
        let counts = self.store.count_events(&scope).await?;
        Ok(RunMetrics {
            run_mode: match &run {
                Some(run) => run.mode.as_str().to_owned(),
                None => settings.text(key::RUN_MODE).to_owned(),
            },
            simulation_active: active,
            simulation_paused: paused,
            run_id: run.as_ref().map(|run| run.run_id.clone()),
            condition_name: run.as_ref().and_then(|run| run.condition_name.clone()),
            season_number: run.as_ref().and_then(|run| run.season_number),
            run_started_at: run.as_ref().map(|run| run.started_at),
            run_metadata: run,
            llm: self.store.llm_totals(&scope).await?,
            activity: Activity::of(&counts),
            governance: Governance::of(&counts),
        })
    }
}

impl Activity {
    /// All actions, whoever decided them.
    pub fn actions(&self) -> i64 {
        self.checkpoint_actions + self.deterministic_actions
    }

    /// The totals of `counts`.
    pub fn of(counts: &[EventCount]) -> Self {
        let actions = |wanted: &dyn Fn(&EventCount) -> bool| {
            counts.iter().filter(|c| c.mode.is_some() && wanted(c)).map(|c| c.count).sum()
        };
        let forum = [kind::FORUM_POST, kind::FORUM_REPLY];
        Self {
            checkpoint_actions: actions(&|c| c.mode == Some(RuntimeMode::Checkpoint)),
            deterministic_actions: actions(&|c| c.mode == Some(RuntimeMode::DeterministicFallback)),
            proposal_actions: actions(&|c| c.event_type == kind::PROPOSAL_CREATED),
            vote_actions: actions(&|c| c.event_type == kind::VOTE_CAST),
            forum_actions: actions(&|c| forum.contains(&c.event_type.as_str())),
            forum_messages: total(counts, &forum),
        }
    }
}

impl Governance {
    /// The totals of `counts`.
    pub fn of(counts: &[EventCount]) -> Self {
        let proposals_created = total(counts, &[kind::PROPOSAL_CREATED]);
        Self {
            proposals_created,
            // A proposal may have been created before the window.
            active_proposals: (proposals_created - total(counts, &[kind::PROPOSAL_CLOSED])).max(0),
            votes_cast: total(counts, &[kind::VOTE_CAST]),
        }
    }
}

fn total(counts: &[EventCount], types: &[&str]) -> i64 {
    let wanted = counts.iter().filter(|count| types.contains(&count.event_type.as_str()));
    wanted.map(|count| count.count).sum()
}
