//! Which thresholds would have stopped which past runs.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::Ops;
use crate::clock::{begin_of, day_of};
use crate::guardrail::backtest::{Call, ConditionResult, Period, SETTINGS, backtest};
use crate::run::RunRecord;
use crate::settings::validate::check_updates;
use crate::settings::{Effective, Overrides};
use crate::store::{RunFilter, UsageFilter};
use crate::usage::UsageRow;
use crate::usage::totals::CallTotals;
use crate::{Error, Result};

/// Runs or rows read at a time.
const BATCH: usize = 1_000;

/// The runs to replay and the settings to use.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BacktestQuery {
    /// Only runs that were open at or after this time.
    pub since: Option<Timestamp>,
    /// Only this run.
    pub run_id: Option<String>,
    /// Values to try instead of those in force.
    pub settings: Overrides,
}

/// What the stop conditions would have done to past runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BacktestResponse {
    /// Runs open at or after this time were replayed.
    pub since: Option<Timestamp>,
    /// The settings used.
    pub settings: BTreeMap<String, Value>,
    /// The runs, newest start first.
    pub runs: Vec<BacktestedRun>,
}

/// What the stop conditions would have done to one run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BacktestedRun {
    /// The run.
    pub run_id: String,
    /// When it started.
    pub started_at: Timestamp,
    /// When it ended; null while it has not.
    pub ended_at: Option<Timestamp>,
    /// Why it ended.
    pub end_reason: Option<String>,
    /// Its calls, including those recorded after its end.
    pub calls: i64,
    /// What they cost, in USD.
    pub cost_usd: f64,
    /// Every stop condition.
    pub conditions: Vec<ConditionResult>,
}

impl Ops {
    /// Replays the ledger of past runs: which stop conditions would have stopped them, and when.
    ///
    /// Reads the ledger once, page by page, and keeps only the figures of the calls that count.
    ///
    /// # Errors
    /// Returns `NotFound` for an unknown run, `Rejected` for settings that are unknown or not used
    /// here, and `Invalid` for values that are not allowed.
    pub async fn backtest(&self, query: &BacktestQuery) -> Result<BacktestResponse> {
        let settings = self.settings_to_try(&query.settings).await?;
        let now = self.clock.now();
        let runs = self.runs_to_replay(query).await?;
        let runs: Vec<_> = runs.into_iter().map(|run| Replay::of(run, now)).collect();
        let ledger = self.read_ledger(&runs).await?;
        let replayed = runs.into_iter().enumerate().map(|(index, replay)| {
            let conditions = backtest(replay.period, ledger.calls_for(index, &replay), &settings);
            BacktestedRun::of(replay.run, ledger.totals[index], conditions)
        });
        let used = SETTINGS.map(|key| (key.to_owned(), settings.get(key).clone()));
        Ok(BacktestResponse { since: query.since, settings: used.into(), runs: replayed.collect() })
    }

    /// Each value is checked by itself: the soft budget is not used here, so it need not be lowered to
    /// try a lower hard one.
    async fn settings_to_try(&self, tried: &Overrides) -> Result<Effective> {
        let registry = &self.options.registry;
        check_updates(registry, tried)?;
        if let Some(key) = tried.keys().find(|key| !SETTINGS.contains(&key.as_str())) {
            let known = SETTINGS.join(", ");
            return Err(Error::rejected(format!(
                "{key} plays no part in a backtest; these do: {known}"
            )));
        }
        let mut overrides = self.store.load().await?.overrides;
        overrides.extend(tried.clone());
        Ok(Effective::of(registry, &overrides))
    }

    /// Newest start first.
    async fn runs_to_replay(&self, query: &BacktestQuery) -> Result<Vec<RunRecord>> {
        let wanted = |run: &RunRecord| {
            query.since.is_none_or(|since| run.ended_at.is_none_or(|ended| ended >= since))
        };
        if let Some(run_id) = &query.run_id {
            return Ok(Some(self.run(run_id).await?).filter(wanted).into_iter().collect());
        }
        let (mut runs, mut before) = (Vec::new(), None);
        loop {
            let page = self.store.runs(&RunFilter::page(before, BATCH)).await?;
            let read = page.items.len();
            let kept = runs.len();
            // One run is open at a time, so runs that started earlier also ended earlier.
            runs.extend(page.items.into_iter().take_while(wanted));
            before = page.next;
            if before.is_none() || runs.len() - kept < read {
                return Ok(runs);
            }
        }
    }

    async fn read_ledger(&self, runs: &[Replay]) -> Result<Ledger> {
        let mut ledger = Ledger::of(runs);
        let Some(since) = runs.iter().map(|run| run.counts_from).min() else {
            return Ok(ledger);
        };
        let indices = runs.iter().zip(0..).map(|(replay, index)| (&*replay.run.run_id, index));
        let indices: BTreeMap<&str, usize> = indices.collect();
        let mut filter = UsageFilter { since: Some(since), ..UsageFilter::default() };
        loop {
            let page = self.store.usage_rows(&filter, BATCH).await?;
            for row in &page.items {
                let run = row.run_id.as_deref().and_then(|run_id| indices.get(run_id)).copied();
                ledger.keep(row, run, runs);
            }
            filter.after = page.next;
            if filter.after.is_none() {
                break;
            }
        }
        // Rows come in the order in which they were first written, which may differ from their times:
        // clocks differ, and late figures replace those of expired leases.
        ledger.calls.sort_by_key(|(_, call)| call.at);
        Ok(ledger)
    }
}

/// A run to replay.
struct Replay {
    run: RunRecord,
    period: Period,
    /// The daily cost at its start is that of the whole day.
    counts_from: Timestamp,
}

impl Replay {
    fn of(run: RunRecord, now: Timestamp) -> Self {
        let period = Period { from: run.started_at, until: run.ended_at.unwrap_or(now) };
        let counts_from = begin_of(day_of(run.started_at)).unwrap_or(run.started_at);
        Self { run, period, counts_from }
    }

    fn looks_at(&self, at: Timestamp) -> bool {
        (self.counts_from..=self.period.until).contains(&at)
    }
}

/// The calls that the conditions use.
struct Ledger {
    /// Calls that a run looks at, and which run made them.
    calls: Vec<(Option<usize>, Call)>,
    /// All calls of each run.
    totals: Vec<CallTotals>,
}

impl Ledger {
    fn of(runs: &[Replay]) -> Self {
        Self { calls: Vec::new(), totals: vec![CallTotals::default(); runs.len()] }
    }

    fn keep(&mut self, row: &UsageRow, run: Option<usize>, runs: &[Replay]) {
        if let Some(totals) = run.and_then(|run| self.totals.get_mut(run)) {
            *totals = *totals + CallTotals::of(row);
        }
        let at = row.created_at;
        if runs.iter().any(|run| run.looks_at(at)) {
            let (day, success, cost) = (row.day, row.success, row.cost);
            self.calls.push((run, Call { at, day, own: false, success, cost }));
        }
    }

    fn calls_for(&self, run: usize, replay: &Replay) -> impl Iterator<Item = Call> {
        let from = self.calls.partition_point(|(_, call)| call.at < replay.counts_from);
        let calls = self.calls[from..].iter();
        calls.map(move |(of, call)| Call { own: *of == Some(run), ..*call })
    }
}

impl BacktestedRun {
    fn of(run: RunRecord, totals: CallTotals, conditions: Vec<ConditionResult>) -> Self {
        let RunRecord { run_id, started_at, ended_at, end_reason, .. } = run;
        let (calls, cost_usd) = (totals.calls, totals.cost.dollars());
        Self { run_id, started_at, ended_at, end_reason, calls, cost_usd, conditions }
    }
}
