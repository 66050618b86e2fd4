//! The report of several runs.

use jiff::Timestamp;

use super::Ops;
use super::selection::MAX_SELECTED_RUNS;
use crate::baseline::Emergence;
use crate::clock::day_of;
use crate::digest::evidence::{ActivitySummary, tallies_by_run};
use crate::report::{MeasuredRun, RunReport, RunsReport, SummaryBy};
use crate::run::{RunRecord, RunSelection};
use crate::usage::CallTotals;
use crate::{Error, Result};

impl Ops {
    /// The report of the runs selected: a row per run, and summaries by the values of the label `by`, or
    /// by condition without one. Calls and events come from sums that are kept; so the cost does not depend
    /// on their number.
    ///
    /// # Errors
    /// Returns `Invalid` when neither a group nor a label is given, for more than [`MAX_SELECTED_RUNS`], and
    /// for a label `by` that none of the runs has; `NotFound` for a selection without runs.
    pub async fn runs_report(
        &self,
        selection: &RunSelection,
        by: Option<&str>,
    ) -> Result<RunsReport> {
        let Some(selected) = self.selected(selection).await? else {
            let message = format!("is required, or a label: at most {MAX_SELECTED_RUNS} runs");
            return Err(Error::invalid("group_id", message));
        };
        let by = SummaryBy::of(by, &selected.runs)?;
        let now = self.clock.now();
        let totals = self.store.llm_totals_by_run(&selected.ids()).await?;
        let mut totals: std::collections::HashMap<_, _> = totals.into_iter().collect();
        let mut measured = Vec::with_capacity(selected.runs.len());
        for run in selected.runs {
            let calls = totals.remove(&run.run_id).unwrap_or_default();
            measured.push(self.measured(run, calls, now).await?);
        }
        Ok(RunsReport::of(selected.summary, &by, &measured, now))
    }

    async fn measured(
        &self,
        run: RunRecord,
        calls: CallTotals,
        now: Timestamp,
    ) -> Result<MeasuredRun> {
        let until = run.ended_at.unwrap_or(now);
        let stored = match run.ended_at {
            Some(ended) => self.store.report_of(&run.run_id, ended).await?,
            None => None,
        };
        if let Some(stored) = stored {
            let report = RunReport::of_stored(stored.body)?;
            let RunReport { activity, emergence: society, .. } = report;
            return Ok(MeasuredRun { run, until, calls, activity, society, is_reported: true });
        }
        let run_ids = std::slice::from_ref(&run.run_id);
        let (first, last) = (day_of(run.started_at), day_of(until));
        let tallies = tallies_by_run(&self.store.tally_days_of_runs(run_ids, first, last).await?);
        let owned = self.inventory_of_run(&run, until).await?;
        let society = Emergence::of(&[], Default::default(), owned.as_ref(), None);
        let activity = ActivitySummary::of_runs(&tallies);
        Ok(MeasuredRun { run, until, calls, activity, society, is_reported: false })
    }
}
