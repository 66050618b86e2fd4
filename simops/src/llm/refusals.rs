//! Runs whose calls were refused because they may use more than is left of a budget.
//!
//! The stop condition `hard_budget_exceeded` trips on them: such a run would otherwise idle below
//! its limit for the rest of the window. Kept in memory: every process records its own refusals, and
//! each refused turn records one. A refusal holds what the refused call may use, so that it stops
//! counting once the budget covers that.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use jiff::civil::Date;

use crate::clock::day_of;
use crate::usage::{Amounts, Caps, NanoUsd};

/// The most runs kept; the run refused longest ago is removed first.
const MAX_RUNS: usize = 64;

/// Runs whose calls were refused because they may use more than is left of a budget.
#[derive(Debug, Default)]
pub struct BudgetRefusals(Mutex<BTreeMap<String, Refusal>>);

/// A run's last refused call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// When it was refused.
    pub at: Timestamp,
    /// The budgets that refused it, one for each route.
    pub calls: Vec<RefusedCall>,
}

/// A call that a budget refused because less is left of it than the call may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedCall {
    /// The id of the cap or budget.
    pub budget: Arc<str>,
    /// The most that the call may use.
    pub needed: Amounts,
}

impl Refusal {
    /// The least cost that the hard budget of the settings could not pay for, if it refused the call.
    pub fn needed_of_day(&self) -> Option<NanoUsd> {
        let [dollars, ..] = Caps::IDS;
        let calls = self.calls.iter().filter(|call| *call.budget == *dollars);
        calls.map(|call| call.needed.cost).min()
    }
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
        self.with(|runs| runs.get(run_id).cloned().filter(|refusal| day_of(refusal.at) == day))
    }

    /// Removes the run and returns its last refusal.
    pub fn remove(&self, run_id: &str) -> Option<Refusal> {
        self.with(|runs| runs.remove(run_id))
    }

    fn with<T>(&self, act: impl FnOnce(&mut BTreeMap<String, Refusal>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
