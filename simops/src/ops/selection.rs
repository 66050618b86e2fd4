//! The runs that a baseline, digest or report covers.

use jiff::Timestamp;

use super::Ops;
use crate::digest::CallSummary;
use crate::event::EventWindow;
use crate::run::{RunRecord, RunSelection, SelectedRuns};
use crate::store::RunFilter;
use crate::usage::CallTotals;
use crate::{Error, Result};

/// The most runs that one baseline, digest or report covers.
pub const MAX_SELECTED_RUNS: usize = 500;

/// The runs of a selection, newest start first; at least one.
pub(super) struct Selected {
    pub runs: Vec<RunRecord>,
    pub summary: SelectedRuns,
}

impl Selected {
    pub(super) fn ids(&self) -> Vec<String> {
        self.runs.iter().map(|run| run.run_id.clone()).collect()
    }

    /// When the last run had ended; `None` while one is open.
    pub(super) fn ended_at(&self) -> Option<Timestamp> {
        let ends: Option<Vec<_>> = self.runs.iter().map(|run| run.ended_at).collect();
        ends?.into_iter().max()
    }
}

impl Ops {
    /// The runs of a selection; `None` if it selects everything.
    ///
    /// # Errors
    /// Returns `NotFound` naming a selection without runs, and `Invalid` naming `group_id` or `labels` for
    /// labels that no run can have and for more than [`MAX_SELECTED_RUNS`].
    pub(super) async fn selected(&self, selection: &RunSelection) -> Result<Option<Selected>> {
        let selection = selection.checked()?;
        if selection.is_all() {
            return Ok(None);
        }
        let filter = RunFilter {
            group_id: selection.group_id.clone(),
            labels: selection.labels.clone().into_iter().collect(),
            before: None,
            limit: MAX_SELECTED_RUNS,
        };
        let runs = match &selection.run_id {
            Some(run_id) => {
                let run = self.store.run(run_id).await?;
                run.filter(|run| filter.matches(run)).into_iter().collect()
            }
            None => {
                let page = self.store.runs(&filter).await?;
                if page.next.is_some() {
                    let field = if selection.labels.is_empty() { "group_id" } else { "labels" };
                    let message =
                        format!("selects more than {MAX_SELECTED_RUNS} runs; add a label");
                    return Err(Error::invalid(field, message));
                }
                page.items
            }
        };
        if runs.is_empty() {
            return Err(Error::not_found(format!("there is no {}", selection.described())));
        }
        let count = |runs: usize| i64::try_from(runs).unwrap_or(i64::MAX);
        let open = runs.iter().filter(|run| run.is_open()).count();
        let summary = SelectedRuns { selection, selected: count(runs.len()), open: count(open) };
        Ok(Some(Selected { runs, summary }))
    }

    /// The calls of a window: of the runs selected, or of all runs and outside of runs.
    pub(super) async fn calls_of(
        &self,
        selected: Option<&Selected>,
        window: EventWindow,
    ) -> Result<CallSummary> {
        let Some(selected) = selected else {
            return Ok(CallSummary::of(&self.store.tally_calls(None, window).await?));
        };
        let mut tallies = Vec::new();
        for run in &selected.runs {
            tallies.extend(self.store.tally_calls(Some(&run.run_id), window).await?);
        }
        Ok(CallSummary::of(&tallies))
    }

    /// All calls of these runs, from the kept sums.
    pub(super) async fn llm_totals_of(&self, run_ids: &[String]) -> Result<CallTotals> {
        let totals = self.store.llm_totals_by_run(run_ids).await?;
        Ok(totals.into_iter().map(|(_, calls)| calls).sum())
    }
}
