//! Reads of run reports: stored at each end, or provisional for an open run.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Ops;
use crate::report::{RunComparison, RunReport};
use crate::{Error, Result};

/// A report with its text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReportResponse {
    /// The report.
    #[serde(flatten)]
    pub report: RunReport,
    /// The ends of the run that have a report, oldest first: a run that is resumed after a guardrail
    /// stop ends more than once.
    pub reported_ends: Vec<Timestamp>,
    /// The report as Markdown.
    pub markdown: String,
}

impl Ops {
    /// The report of a run: stored at its end, or provisional while there is none. `ended_at` selects
    /// an earlier end.
    ///
    /// # Errors
    /// Returns `NotFound` for an unknown run and for an end without a report.
    pub async fn report(
        &self,
        run_id: &str,
        ended_at: Option<Timestamp>,
    ) -> Result<ReportResponse> {
        let run = self.run(run_id).await?;
        let reported_ends = self.store.report_ends(run_id).await?;
        let stored = match ended_at.or(run.ended_at) {
            Some(ended) => self.store.report_of(run_id, ended).await?,
            None => None,
        };
        let report = match (stored, ended_at) {
            (Some(stored), _) => RunReport::of_stored(stored.body)?,
            (None, None) => self.report_on(run, false).await?,
            (None, Some(ended)) => return Err(no_such_end(run_id, ended, &reported_ends)),
        };
        Ok(ReportResponse { markdown: report.markdown(), reported_ends, report })
    }

    /// Two runs side by side.
    ///
    /// # Errors
    /// As [`Ops::report`].
    pub async fn compare_runs(&self, a: &str, b: &str) -> Result<RunComparison> {
        let (a, b) = (self.report(a, None).await?, self.report(b, None).await?);
        Ok(RunComparison::of(&a.report, &b.report))
    }
}

fn no_such_end(run_id: &str, ended: Timestamp, known: &[Timestamp]) -> Error {
    let known: Vec<_> = known.iter().map(Timestamp::to_string).collect();
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    Error::not_found(format!("run {run_id} has no report of an end at {ended}; reported: {known}"))
}
