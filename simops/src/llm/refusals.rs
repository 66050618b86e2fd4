//! Runs whose calls were refused because they cost more than the day's remaining budget.
//!
//! The stop condition `hard_budget_exceeded` trips on them: such a run would otherwise idle below
//! its hard cap for the rest of the day. Kept in memory: every process records its own refusals, and
//! each refused turn records one. A refusal holds the cost of the refused call, so that it stops
//! counting once the budget covers that cost.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use jiff::civil::Date;

use crate::clock::day_of;
use crate::usage::NanoUsd;

/// The most runs kept; the run refused longest ago is removed first.
const MAX_RUNS: usize = 64;

/// Runs whose calls were refused because they cost more than the day's remaining budget.
#[derive(Debug, Default)]
pub struct BudgetRefusals(Mutex<BTreeMap<String, Refusal>>);

/// A run's last refused call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// When it was refused.
    pub at: Timestamp,
    /// The upper bound of its cost, on the cheapest route that the budget refused.
    pub needed: NanoUsd,
}

impl BudgetRefusals {
    /// Records a refused call of `run_id`.
    pub fn record(&self, run_id: &str, refusal: Refusal) {
        self.with(|runs| {
            runs.insert(run_id.to_owned(), refusal);
            while runs.len() > MAX_RUNS {
                let oldest = runs.iter().min_by_key(|(_, refusal)| refusal.at);
                let oldest = oldest.map(|(run, _)| run.clone());
                let Some(oldest) = oldest else { break };
                runs.remove(&oldest);
            }
        });
    }

    /// The last call of `run_id` that was refused on `day`.
    pub fn on_day(&self, run_id: &str, day: Date) -> Option<Refusal> {
        self.with(|runs| runs.get(run_id).copied().filter(|refusal| day_of(refusal.at) == day))
    }

    /// Removes the run and returns its last refusal.
    pub fn remove(&self, run_id: &str) -> Option<Refusal> {
        self.with(|runs| runs.remove(run_id))
    }

    fn with<T>(&self, act: impl FnOnce(&mut BTreeMap<String, Refusal>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
