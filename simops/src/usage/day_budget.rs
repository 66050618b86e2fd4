//! The day's budget as the API shows it.

use serde::{Deserialize, Serialize};

use super::DayTotals;
use crate::settings::{Effective, key};

/// The day's budget as the API shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DayBudget {
    /// The UTC day.
    pub day_key: String,
    /// What the day has used.
    #[serde(flatten)]
    pub used: DayTotals,
    /// USD after which calls are degraded; 0 = off.
    pub soft_cap_usd: f64,
    /// USD after which calls are refused; 0 = off.
    pub hard_cap_usd: f64,
}

impl DayBudget {
    /// The budget of `day`, which has used `used`.
    pub fn of(day: jiff::civil::Date, used: DayTotals, settings: &Effective) -> Self {
        Self {
            day_key: day.to_string(),
            used,
            soft_cap_usd: settings.float(key::BUDGET_SOFT),
            hard_cap_usd: settings.float(key::BUDGET_HARD),
        }
    }
}
