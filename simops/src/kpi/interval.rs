//! How sure a rate is.

use serde::{Deserialize, Serialize};

/// The normal quantile of a confidence of 95 %.
const Z: f64 = 1.959_963_984_540_054;

/// The Wilson score interval of a share, at a confidence of 95 %.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Interval {
    /// The lower end, at least 0.
    pub low: f64,
    /// The upper end, at most 1.
    pub high: f64,
}

impl Interval {
    /// The interval of `part` out of `whole`; none out of nothing. More than all counts as all.
    pub fn of(part: i64, whole: i64) -> Option<Self> {
        if whole <= 0 {
            return None;
        }
        #[expect(clippy::cast_precision_loss, reason = "counts of visitors are far below 2^53")]
        let (part, n) = (part.clamp(0, whole) as f64, whole as f64);
        let (p, z2) = (part / n, Z * Z);
        let middle = p + z2 / (2.0 * n);
        let reach = Z * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
        let scale = 1.0 + z2 / n;
        // Rounding must not push an end past the share itself.
        let low = ((middle - reach) / scale).clamp(0.0, p);
        let high = ((middle + reach) / scale).clamp(p, 1.0);
        Some(Self { low, high })
    }
}
