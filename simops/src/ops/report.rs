//! Reports of runs: written once after each end, whoever ended it, and read from then on.
//!
//! Nothing remembers that a report is to be written: a run that has ended and has none is one. So an
//! end by an operator, a guardrail or a reset is followed up alike, also after a crash.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, watch};
use tracing::info;

use super::Ops;
use crate::clock::day_of;
use crate::digest::evidence::{DaysActivity, DaysCalls};
use crate::guardrail::{Observed, evaluate};
use crate::kpi::rollup::Rollup;
use crate::report::{ErrorCount, FailedStretch, ModelSpend, PerDollar, RunComparison, RunReport};
use crate::run::RunRecord;
use crate::settings::key;
use crate::store::{EventWindow, Stamp, StoredReport};
use crate::timers::Timer;
use crate::usage::NanoUsd;
use crate::{Error, Result, baseline};

/// Reports written in one go.
const BATCH: usize = 20;
/// A report waits so long for calls of the run that are still under way.
const SETTLED_AFTER: SignedDuration = SignedDuration::from_mins(10);
/// The window at the end that tells of the society.
const LAST_HOUR: SignedDuration = SignedDuration::from_hours(1);
const STRETCHES: usize = 100;

/// A report with its text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReportAnswer {
    /// The report.
    #[serde(flatten)]
    pub report: RunReport,
    /// The same as Markdown.
    pub markdown: String,
}

impl Ops {
    /// The report of a run: the one written at its end, or what one would say now.
    ///
    /// # Errors
    /// `NotFound` for an unknown run.
    pub async fn report(&self, run_id: &str) -> Result<ReportAnswer> {
        let run = self.run(run_id).await?;
        let stored = match run.ended_at {
            Some(ended) => self.store.report_of(run_id, ended).await?,
            None => None,
        };
        let report = match stored {
            Some(stored) => serde_json::from_value(stored.body)
                .map_err(|error| Error::internal("a report is unreadable").with_source(error))?,
            None => self.written_report(run, false).await?,
        };
        Ok(ReportAnswer { markdown: report.markdown(), report })
    }

    /// Two runs side by side.
    ///
    /// # Errors
    /// As [`Ops::report`].
    pub async fn compare_runs(&self, a: &str, b: &str) -> Result<RunComparison> {
        let (a, b) = (self.report(a).await?, self.report(b).await?);
        Ok(RunComparison::of(&a.report, &b.report))
    }

    /// Writes the reports that are missing; how many. Any number of processes may do so at once, and
    /// again after a crash: the first report of an end stays.
    ///
    /// # Errors
    /// Of the store.
    pub async fn close_out(&self) -> Result<usize> {
        let missing = self.store.runs_without_report(BATCH).await?;
        let mut written = 0;
        for run in missing {
            let Some(ended_at) = run.ended_at else { continue };
            let late = self.clock.now().duration_since(ended_at) >= SETTLED_AFTER;
            if !late && self.has_calls_under_way(&run.run_id).await? {
                continue;
            }
            let report = self.written_report(run, true).await?;
            let (run_id, created_at) = (report.run.run_id.clone(), report.written_at);
            let body = serde_json::to_value(&report)
                .map_err(|error| Error::internal("a report cannot be kept").with_source(error))?;
            let stored = StoredReport { run_id, ended_at, body, created_at };
            if self.store.put_report(&stored).await? {
                info!(run_id = stored.run_id, "the report of the run was written");
                written += 1;
            }
        }
        Ok(written)
    }

    async fn has_calls_under_way(&self, run_id: &str) -> Result<bool> {
        let open = self.store.open_leases().await?;
        Ok(open.iter().any(|lease| lease.run_id.as_deref() == Some(run_id)))
    }

    async fn written_report(&self, run: RunRecord, is_final: bool) -> Result<RunReport> {
        let now = self.clock.now();
        let end = run.ended_at.unwrap_or(now);
        let settings = self.store.load().await?.effective(&self.options.registry);
        // Calls that were under way at the end are the run's, too.
        let all = EventWindow { after: before(run.started_at), until: now.max(end) };
        let calls = self.store.tally_calls(Some(&run.run_id), all).await?;
        let days = self.store.tally_days(day_of(run.started_at), day_of(end)).await?;
        let activity = DaysActivity::of(&days, Some(&run.run_id));
        let spend = DaysCalls::of(&calls);
        let cost_per_thousand_actions_usd = baseline::window::ratio(1_000, activity.total_actions)
            .map(|each| spend.cost_usd * each);
        let minutes = settings.int(key::STOP_FAILURE_WINDOW).max(1);
        let observed = self.observed_at(&run, end, minutes).await?;
        Ok(RunReport {
            is_final,
            written_at: now,
            duration_seconds: end.duration_since(run.started_at).as_secs(),
            models: ModelSpend::of(&calls),
            errors: ErrorCount::of(&calls),
            failure_windows: self.failed_stretches(&run, minutes).await?,
            emergence: self.emergence_at(&run, end).await?,
            kpis: self.kpis_of(&run, end).await?,
            guardrails: evaluate(&observed, &settings),
            cost_per_thousand_actions_usd,
            per_dollar: PerDollar::of(&activity, &spend),
            activity,
            spend,
            run,
        })
    }

    async fn failed_stretches(&self, run: &RunRecord, minutes: i64) -> Result<Vec<FailedStretch>> {
        let step = SignedDuration::from_mins(minutes);
        let buckets = self.store.usage_series(Some(&run.run_id), run.started_at, step).await?;
        let mut stretches: Vec<FailedStretch> = Vec::new();
        for bucket in buckets {
            match stretches.last_mut().filter(|last| last.begin == bucket.at) {
                Some(last) => {
                    last.calls += bucket.calls;
                    last.failed_calls += bucket.failed;
                }
                None => stretches.push(FailedStretch {
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

    async fn emergence_at(&self, run: &RunRecord, end: Timestamp) -> Result<baseline::Emergence> {
        let hour = end.checked_sub(LAST_HOUR).unwrap_or(run.started_at);
        let window = EventWindow { after: hour.max(before(run.started_at)), until: end };
        let tallies = self.store.tally(window).await?;
        let owned = self.inventory_at(end).await?;
        self.emergence(window, &tallies, owned.as_ref()).await
    }

    async fn kpis_of(&self, run: &RunRecord, end: Timestamp) -> Result<Vec<Rollup>> {
        let (first, last) = (day_of(run.started_at), day_of(end));
        let days = self.store.kpi_days(first, last).await?;
        Ok(days.iter().map(|(day, sums)| Rollup::of(*day, sums, last)).collect())
    }

    /// What guardrails would have seen at `end`. The load of the database's connections is nowhere
    /// on record.
    async fn observed_at(&self, run: &RunRecord, end: Timestamp, minutes: i64) -> Result<Observed> {
        let after = end.checked_sub(SignedDuration::from_mins(minutes)).unwrap_or(run.started_at);
        let window = EventWindow { after, until: end };
        let calls = DaysCalls::of(&self.store.tally_calls(Some(&run.run_id), window).await?);
        let midnight = super::since::begin_of(day_of(end)).unwrap_or(end);
        let day = EventWindow { after: before(midnight), until: end };
        let cost = self.store.tally_calls(None, day).await?;
        Ok(Observed {
            cost_today: cost.iter().map(|tally| tally.cost).sum::<NanoUsd>(),
            failed_calls: calls.failed_calls,
            window_calls: calls.calls,
            ..Observed::default()
        })
    }
}

/// A window that leaves out its begin holds `at` when it begins here.
fn before(at: Timestamp) -> Timestamp {
    at.checked_sub(SignedDuration::from_micros(1)).unwrap_or(at)
}

/// Writes the reports of runs as they end.
pub struct Closeout {
    ops: Arc<Ops>,
    changes: Mutex<watch::Receiver<u64>>,
}

impl Closeout {
    /// A timer on the store of `ops`.
    pub fn new(ops: Arc<Ops>) -> Self {
        let changes = Mutex::new(ops.store().watch());
        Self { ops, changes }
    }
}

#[async_trait]
impl Timer for Closeout {
    fn name(&self) -> &'static str {
        "closeout"
    }

    async fn run(&self, _: &Stamp) -> Result<Duration> {
        self.ops.close_out().await?;
        Ok(Duration::from_secs(5))
    }

    async fn called(&self) {
        if self.changes.lock().await.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
