//! Confidence intervals of rates.

use serde::{Deserialize, Serialize};

use crate::number::to_f64;

/// The quantile of the standard normal distribution for a 95 % confidence interval.
const Z: f64 = 1.959_963_984_540_054;

/// The 95 % Wilson score interval of a proportion.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Interval {
    /// Lower bound, at least 0.
    pub low: f64,
    /// Upper bound, at most 1.
    pub high: f64,
}

impl Interval {
    /// The interval of `part / whole`; `None` if `whole` is 0. `part` is clamped to `0..=whole`.
    pub fn of(part: i64, whole: i64) -> Option<Self> {
        if whole <= 0 {
            return None;
        }
        let (part, n) = (to_f64(part.clamp(0, whole)), to_f64(whole));
        let (p, z2) = (part / n, Z * Z);
        let center = p + z2 / (2.0 * n);
        let margin = Z * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
        let scale = 1.0 + z2 / n;
        // Rounding errors must not move a bound past the proportion itself.
        let low = ((center - margin) / scale).clamp(0.0, p);
        let high = ((center + margin) / scale).clamp(p, 1.0);
        Some(Self { low, high })
    }
}
