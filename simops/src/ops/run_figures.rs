//! The figures of a run's report: calls, events and visitors from its start to its end.

use jiff::{SignedDuration, Timestamp};

use super::Ops;
use crate::Result;
use crate::baseline::votes::{Coalitions, Votes};
use crate::baseline::{Emergence, Inventories};
use crate::clock::{begin_of, day_of};
use crate::control::AuditRow;
use crate::digest::evidence::{ActivitySummary, CallSummary, tallies_of};
use crate::event::kind;
use crate::event::{EventTally, EventWindow};
use crate::guardrail::{Condition, Observed, POOL_PRESSURE, evaluate};
use crate::kpi::rollup::Rollup;
use crate::number::ratio;
use crate::report::{ErrorCount, FailureWindow, ModelSpend, PerDollar, RunReport};
use crate::run::{EndedBy, RunRecord};
use crate::settings::{Effective, key};
use crate::usage::NanoUsd;

/// Rows read at a time.
const BATCH: usize = 500;
const STRETCHES: usize = 100;

/// A run and the time that its report covers.
struct Covered<'a> {
    run: &'a RunRecord,
    end: Timestamp,
    /// The whole time.
    window: EventWindow,
    /// The settings in force at its end.
    settings: Effective,
}

impl Ops {
    /// The report of a run until its end, or until now.
    pub(super) async fn report_on(&self, run: RunRecord, is_final: bool) -> Result<RunReport> {
        let now = self.clock.now();
        let end = run.ended_at.unwrap_or(now);
        let settings = self.settings_at(end).await?;
        let window = EventWindow::from(run.started_at, end);
        let covered = Covered { run: &run, end, window, settings };
        // Calls in flight at the end belong to the run.
        let all = EventWindow { until: now.max(end), ..window };
        let calls = self.store.tally_calls(Some(&run.run_id), all).await?;
        let (first, last) = (day_of(run.started_at), day_of(end));
        let run_ids = std::slice::from_ref(&run.run_id);
        let days = self.store.tally_days_of_runs(run_ids, first, last).await?;
        let tallies = tallies_of(&days, Some(&run.run_id));
        let activity = ActivitySummary::of(&days, Some(&run.run_id));
        let spend = CallSummary::of(&calls);
        Ok(RunReport {
            is_final,
            written_at: now,
            duration_seconds: end.duration_since(run.started_at).as_secs(),
            models: ModelSpend::of(&calls),
            errors: ErrorCount::of(&calls),
            failure_windows: self.failed_stretches(&covered).await?,
            emergence: self.society(&covered, &tallies).await?,
            kpis: self.kpis_of(&covered).await?,
            guardrails: self.conditions_at_end(&covered).await?,
            cost_per_thousand_actions_usd: ratio(1_000, activity.total_actions)
                .map(|each| spend.cost_usd * each),
            per_dollar: PerDollar::of(&activity, &spend),
            activity,
            spend,
            run,
        })
    }

    async fn failed_stretches(&self, covered: &Covered<'_>) -> Result<Vec<FailureWindow>> {
        let minutes = covered.failure_minutes();
        let step = SignedDuration::from_mins(minutes);
        let run = covered.run;
        let buckets = self.store.usage_series(Some(&run.run_id), run.started_at, step).await?;
        let mut stretches: Vec<FailureWindow> = Vec::new();
        for bucket in buckets {
            match stretches.last_mut().filter(|last| last.begin == bucket.at) {
                Some(last) => {
                    last.calls += bucket.calls;
                    last.failed_calls += bucket.failed;
                }
                None => stretches.push(FailureWindow {
                    begin: bucket.at,
                    minutes,
                    calls: bucket.calls,
                    failed_calls: bucket.failed,
                }),
            }
        }
        stretches.retain(|stretch| stretch.failed_calls > 0);
        stretches.truncate(STRETCHES);
        Ok(stretches)
    }

    /// The society over the whole run: coalitions of all its votes, their churn from its first half to
    /// its second, and inequality since the first inventory.
    async fn society(&self, covered: &Covered<'_>, tallies: &[EventTally]) -> Result<Emergence> {
        let window = covered.window;
        let run_id = Some(covered.run.run_id.as_str());
        let half = window.until.duration_since(window.after) / 2;
        let middle = window.after.checked_add(half).unwrap_or(window.until);
        let (mut all, mut early, mut late) = <(Votes, Votes, Votes)>::default();
        self.each_vote(run_id, window, |vote| {
            all.add(vote);
            if vote.created_at <= middle { early.add(vote) } else { late.add(vote) }
        })
        .await?;
        let coalitions = Coalitions {
            edges: all.coalitions(&Votes::default()).edges,
            ..late.coalitions(&early)
        };
        let inventory =
            self.store.events_of_type(run_id, window, kind::INVENTORY_SNAPSHOT, None, 1).await?;
        let first = inventory.first().and_then(Inventories::of_event);
        let last = self.inventory_of_run(covered.run, covered.end).await?;
        Ok(Emergence::of(tallies, coalitions, last.as_ref(), first.as_ref()))
    }

    async fn kpis_of(&self, covered: &Covered<'_>) -> Result<Vec<Rollup>> {
        let (first, last) = (day_of(covered.run.started_at), day_of(covered.end));
        let days = self.store.kpi_days(first, last).await?;
        Ok(days.iter().map(|(day, sums)| Rollup::of(*day, sums, last)).collect())
    }

    /// The stop conditions at the end: as recorded by the guardrail that stopped the run, else
    /// computed from the records.
    async fn conditions_at_end(&self, covered: &Covered<'_>) -> Result<Vec<Condition>> {
        let run = covered.run;
        if run.is_open() {
            let settings = &covered.settings;
            let observed = self.observer.observe(&*self.store, Some(run), settings, covered.end);
            return Ok(evaluate(&observed.await?, settings));
        }
        if run.ended_by == Some(EndedBy::Guardrail)
            && let Some(found) = self.conditions_of_stop(covered).await?
        {
            return Ok(found);
        }
        let mut conditions = evaluate(&self.observed_at(covered).await?, &covered.settings);
        conditions.retain(|condition| condition.condition != POOL_PRESSURE);
        Ok(conditions)
    }

    /// The conditions that a guardrail stop recorded.
    async fn conditions_of_stop(&self, covered: &Covered<'_>) -> Result<Option<Vec<Condition>>> {
        let at_end = EventWindow::from(covered.end, covered.end);
        let (run_id, stopped) = (covered.run.run_id.as_str(), kind::STOPPED_BY_GUARDRAIL);
        let stops = self.store.events_of_type(Some(run_id), at_end, stopped, None, 1).await?;
        let stop = stops.into_iter().next();
        let found = stop.and_then(|mut stop| stop.metadata.remove("details"));
        let found = found.and_then(|mut details| details.get_mut("conditions").map(|c| c.take()));
        Ok(found.and_then(|conditions| serde_json::from_value(conditions).ok()))
    }

    /// The observations of the guardrails at the end, where they are on record.
    async fn observed_at(&self, covered: &Covered<'_>) -> Result<Observed> {
        let (run, end) = (covered.run, covered.end);
        let length = SignedDuration::from_mins(covered.failure_minutes());
        let after = end.checked_sub(length).unwrap_or(run.started_at);
        let window = EventWindow { after, until: end };
        let calls = CallSummary::of(&self.store.tally_calls(Some(&run.run_id), window).await?);
        let midnight = begin_of(day_of(end)).unwrap_or(end);
        let day = EventWindow::from(midnight, end);
        let cost = self.store.tally_calls(None, day).await?;
        Ok(Observed {
            cost_today: cost.iter().map(|tally| tally.cost).sum::<NanoUsd>(),
            failed_calls: calls.failures(),
            window_calls: calls.calls + calls.unsent_calls,
            ..Observed::default()
        })
    }

    /// The settings in force at `at`: those of now, with later changes undone.
    async fn settings_at(&self, at: Timestamp) -> Result<Effective> {
        let registry = &self.options.registry;
        let mut state = self.store.load().await?;
        let mut taken_back = 0;
        loop {
            let page = self.store.audit(BATCH, taken_back).await?;
            let later = page.items.iter().take_while(|row| row.created_at > at);
            let later: Vec<_> = later.collect();
            let is_setting = |row: &&&AuditRow| {
                registry.get(&row.key).is_some() && !key::RUN_STATE.contains(&row.key.as_str())
            };
            for row in later.iter().filter(is_setting) {
                state.overrides.insert(row.key.clone(), row.old_value.clone());
            }
            taken_back += later.len();
            if later.len() < BATCH {
                return Ok(state.effective(registry));
            }
        }
    }
}

impl Covered<'_> {
    fn failure_minutes(&self) -> i64 {
        self.settings.int(key::STOP_FAILURE_WINDOW).max(1)
    }
}
