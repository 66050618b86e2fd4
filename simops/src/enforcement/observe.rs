//! Reading the figures that stop conditions compare.

use std::sync::{Arc, Mutex};

use jiff::{SignedDuration, Timestamp};

use crate::clock::day_of;
use crate::control::ControlState;
use crate::guardrail::Observed;
use crate::llm::BudgetRefusals;
use crate::settings::{Effective, key};
use crate::store::RunStore;
use crate::{Error, Result};

/// Observations closer together count as one check of the pool.
const CHECK_EVERY: SignedDuration = SignedDuration::from_secs(1);

/// Observes, and remembers how many checks in a row found the pool under pressure.
#[derive(Debug, Default)]
pub struct Observer {
    pool: Mutex<Streak>,
    refusals: Option<Arc<BudgetRefusals>>,
}

#[derive(Debug, Default)]
struct Streak {
    checked_at: Option<Timestamp>,
    pressed: i64,
}

impl Observer {
    /// One that knows which runs' calls were refused in this process.
    pub fn with_refusals(refusals: Arc<BudgetRefusals>) -> Self {
        Self { refusals: Some(refusals), ..Self::default() }
    }

    /// A refused call of the run counts no more: the run was stopped for it, or its gate has moved.
    pub(crate) fn forget_refusal(&self, run_id: &str) {
        if let Some(refusals) = &self.refusals {
            refusals.remove(run_id);
        }
    }

    /// The figures at `now`.
    ///
    /// # Errors
    /// Of the store.
    pub async fn observe(
        &self,
        store: &dyn RunStore,
        state: &ControlState,
        settings: &Effective,
        now: Timestamp,
    ) -> Result<Observed> {
        // Before any question to the store: with a full pool there may be no answer, and that is
        // when the check must count.
        let pool_utilization = store.pool_utilization();
        let pressed = pool_utilization >= settings.float(key::STOP_POOL_UTILIZATION);
        let pool_checks = self.count(pressed, now);
        let window = SignedDuration::from_mins(settings.int(key::STOP_FAILURE_WINDOW));
        let since = now.checked_sub(window).map_err(|error| {
            Error::internal("the failure window has no begin").with_source(error)
        })?;
        let failures = match &state.run {
            Some(run) => store.failure_window(&run.run_id, since).await?,
            None => Default::default(),
        };
        let refusal = match (&self.refusals, &state.run) {
            (Some(refusals), Some(run)) => refusals.on_day(&run.run_id, day_of(now)),
            _ => None,
        };
        Ok(Observed {
            refused_call: refusal.map(|refusal| refusal.needed),
            cost_today: store.day_totals(day_of(now)).await?.cost,
            failed_calls: failures.failed,
            window_calls: failures.calls,
            pool_utilization,
            pool_checks,
        })
    }

    fn count(&self, pressed: bool, now: Timestamp) -> i64 {
        // A panic elsewhere while it is locked leaves a plain number behind: go on with it.
        let mut streak = self.pool.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let due = streak.checked_at.is_none_or(|at| now.duration_since(at) >= CHECK_EVERY);
        if !pressed {
            *streak = Streak { checked_at: Some(now), pressed: 0 };
        } else if due {
            *streak = Streak { checked_at: Some(now), pressed: streak.pressed + 1 };
        }
        streak.pressed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_checks_in_a_row_and_a_second_apart_add_up() {
        let observer = Observer::default();
        let at = |millis| Timestamp::from_millisecond(millis).unwrap();
        assert_eq!(observer.count(true, at(0)), 1);
        assert_eq!(observer.count(true, at(500)), 1);
        assert_eq!(observer.count(true, at(1_000)), 2);
        assert_eq!(observer.count(false, at(1_500)), 0);
        assert_eq!(observer.count(true, at(2_500)), 1);
    }
}
