//! The stop conditions: a pure function of observed figures and settings.

use serde::{Deserialize, Serialize};

use crate::number::{ratio, to_f64};
use crate::settings::{Effective, key};
use crate::usage::NanoUsd;

/// The condition on database connections. Its figures are stored only in the event of a stop by it.
pub(crate) const POOL_PRESSURE: &str = "db_pool_pressure";

/// The condition on budgets. Its figures are those of the settings' daily budget, or of another budget
/// that refused a call of the run.
const HARD_BUDGET: &str = "hard_budget_exceeded";

/// The figures that stop conditions compare with their thresholds.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Observed {
    /// Today's cost of all calls.
    pub cost_today: NanoUsd,
    /// The upper bound of the cost of a call of the run that was refused today because it exceeded
    /// the remaining budget.
    pub refused_call: Option<NanoUsd>,
    /// A budget that ends runs and of which less is left than a call of the run needs.
    pub spent_budget: Option<SpentBudget>,
    /// Failed calls of the run in the trailing window.
    pub failed_calls: i64,
    /// All calls of the run in the trailing window.
    pub window_calls: i64,
    /// Fraction of the database connections in use, 0 to 1.
    pub pool_utilization: f64,
    /// Consecutive checks in which the pool was at or above its threshold.
    pub pool_checks: i64,
}

/// A budget that is spent, in its unit: US dollars, calls or tokens.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SpentBudget {
    /// Its id.
    pub id: String,
    /// What was used.
    pub spent: f64,
    /// Its hard limit.
    pub hard: f64,
}

/// One stop condition with its figures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Condition {
    /// The condition's name, which is also the reason of a stop by it.
    pub condition: String,
    /// The observed figure: USD (or the unit of the budget that is spent), failed calls, or fraction of
    /// connections.
    pub observed: f64,
    /// The threshold, in the same unit.
    pub threshold: f64,
    /// `threshold - observed`; 0 or less if the threshold is reached.
    pub distance: f64,
    /// The second observed figure, if there is one: the failure rate (0 to 1) or the consecutive
    /// checks.
    pub second_observed: Option<f64>,
    /// The threshold of the second figure. Both must be reached.
    pub second_threshold: Option<f64>,
    /// Whether the condition is enabled.
    pub enabled: bool,
    /// Whether all figures have reached their thresholds.
    pub tripped: bool,
}

impl Condition {
    /// Whether the condition stops a run: it is enabled and tripped.
    pub fn trips(&self) -> bool {
        self.enabled && self.tripped
    }
}

/// Evaluates every stop condition.
pub(crate) fn evaluate(observed: &Observed, settings: &Effective) -> Vec<Condition> {
    let enforced = settings.flag(key::STOP_ENABLED);
    let hard = settings.float(key::BUDGET_HARD);
    let cap = NanoUsd::from_dollars(hard);
    // A refusal stops counting once the remaining budget covers the call, for example after the cap
    // was raised.
    let refused = observed.refused_call.is_some_and(|call| observed.cost_today + call > cap);
    let failures = to_f64(observed.failed_calls);
    let rate = ratio(observed.failed_calls, observed.window_calls).unwrap_or_default();
    let day = Condition {
        enabled: enforced && hard > 0.0,
        tripped: hard > 0.0 && (observed.cost_today >= cap || refused),
        ..single(HARD_BUDGET, observed.cost_today.dollars(), hard)
    };
    let budget = match &observed.spent_budget {
        Some(SpentBudget { spent, hard, .. }) if !day.tripped => {
            Condition { enabled: enforced, tripped: true, ..single(HARD_BUDGET, *spent, *hard) }
        }
        _ => day,
    };
    let provider = paired(
        single(
            "provider_failures_repeated",
            failures,
            to_f64(settings.int(key::STOP_FAILURE_THRESHOLD)),
        ),
        (rate, settings.float(key::STOP_FAILURE_RATE)),
        enforced,
    );
    let pool = paired(
        single(
            POOL_PRESSURE,
            observed.pool_utilization,
            settings.float(key::STOP_POOL_UTILIZATION),
        ),
        (to_f64(observed.pool_checks), to_f64(settings.int(key::STOP_POOL_CHECKS))),
        enforced,
    );
    vec![budget, provider, pool]
}

fn single(condition: &str, observed: f64, threshold: f64) -> Condition {
    Condition {
        condition: condition.to_owned(),
        observed,
        threshold,
        distance: threshold - observed,
        second_observed: None,
        second_threshold: None,
        enabled: false,
        tripped: false,
    }
}

fn paired(first: Condition, (observed, threshold): (f64, f64), enabled: bool) -> Condition {
    Condition {
        tripped: first.observed >= first.threshold && observed >= threshold,
        second_observed: Some(observed),
        second_threshold: Some(threshold),
        enabled,
        ..first
    }
}
