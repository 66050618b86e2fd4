//! Runs whose calls were refused because the day's budget cannot pay for them.
//!
//! The stop condition `hard_budget_exceeded` trips on them: such a run would otherwise idle below
//! its hard cap for the rest of the day. Kept in memory: every process notes its own refusals, and
//! each refused turn notes them anew. A refusal tells what the call would have cost, so that it
//! loses its force once the budget can pay for that.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use jiff::civil::Date;

use crate::clock::day_of;
use crate::usage::NanoUsd;

/// Runs remembered; the one refused longest ago is forgotten first.
const MOST: usize = 64;

/// Runs whose calls were refused because the day's budget cannot pay for them.
#[derive(Debug, Default)]
pub struct BudgetRefusals(Mutex<BTreeMap<String, Refusal>>);

/// A run's last refused call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// When it was refused.
    pub at: Timestamp,
    /// What it would have cost at most, on the cheapest route that the budget refused.
    pub needed: NanoUsd,
}

impl BudgetRefusals {
    /// Notes a refused call of `run_id`.
    pub fn note(&self, run_id: &str, refusal: Refusal) {
        self.with(|runs| {
            runs.insert(run_id.to_owned(), refusal);
            while runs.len() > MOST {
                let oldest = runs.iter().min_by_key(|(_, refusal)| refusal.at);
                let oldest = oldest.map(|(run, _)| run.clone());
                let Some(oldest) = oldest else { break };
                runs.remove(&oldest);
            }
        });
    }

    /// The last call of `run_id` that was refused on `day`.
    pub fn on(&self, run_id: &str, day: Date) -> Option<Refusal> {
        self.with(|runs| runs.get(run_id).copied().filter(|refusal| day_of(refusal.at) == day))
    }

    /// Whether a call of `run_id` was refused on `day`.
    pub fn contains(&self, run_id: &str, day: Date) -> bool {
        self.on(run_id, day).is_some()
    }

    /// Forgets the run; its last refusal.
    pub fn take(&self, run_id: &str) -> Option<Refusal> {
        self.with(|runs| runs.remove(run_id))
    }

    fn with<T>(&self, act: impl FnOnce(&mut BTreeMap<String, Refusal>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
