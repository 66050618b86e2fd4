//! Runs whose calls were refused because the day's budget cannot pay for them.
//!
//! The stop condition `hard_budget_exceeded` trips on them: such a run would otherwise idle below
//! its hard cap for the rest of the day. Kept in memory: every process notes its own refusals, and
//! each refused turn notes them anew.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use jiff::civil::Date;

use crate::clock::day_of;

/// Runs remembered; the one refused longest ago is forgotten first.
const MOST: usize = 64;

/// Runs whose calls were refused because the day's budget cannot pay for them.
#[derive(Debug, Default)]
pub struct BudgetRefusals(Mutex<BTreeMap<String, Timestamp>>);

impl BudgetRefusals {
    /// Notes that a call of `run_id` was refused at `at`.
    pub fn note(&self, run_id: &str, at: Timestamp) {
        self.with(|runs| {
            runs.insert(run_id.to_owned(), at);
            while runs.len() > MOST {
                let oldest = runs.iter().min_by_key(|(_, at)| **at).map(|(run, _)| run.clone());
                let Some(oldest) = oldest else { break };
                runs.remove(&oldest);
            }
        });
    }

    /// Whether a call of `run_id` was refused on `day`.
    pub fn contains(&self, run_id: &str, day: Date) -> bool {
        self.with(|runs| runs.get(run_id).is_some_and(|at| day_of(*at) == day))
    }

    /// Forgets the run; when its last call was refused.
    pub fn take(&self, run_id: &str) -> Option<Timestamp> {
        self.with(|runs| runs.remove(run_id))
    }

    fn with<T>(&self, act: impl FnOnce(&mut BTreeMap<String, Timestamp>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
