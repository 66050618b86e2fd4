//! Means, variances and critical values of small samples.

use crate::number::to_f64;

/// The count, mean and unbiased variance of a sample.
pub(crate) struct Sample {
    /// The number of values.
    pub n: f64,
    /// The mean; `None` without values.
    pub mean: Option<f64>,
    /// The sum of squared differences from the mean divided by n − 1; `None` with fewer than two values.
    pub variance: Option<f64>,
}

impl Sample {
    pub(crate) fn of(values: &[f64]) -> Self {
        let n = to_f64(values.len());
        let mean = (n > 0.0).then(|| values.iter().sum::<f64>() / n);
        let variance = mean
            .filter(|_| n > 1.0)
            .map(|mean| values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0));
        Self { n, mean, variance }
    }

    /// The 95 % confidence interval of the mean, if the values are normally distributed:
    /// mean ± t × standard deviation / √n, with t of n − 1 degrees of freedom.
    pub(crate) fn interval_of_mean(&self) -> Option<(f64, f64)> {
        let (mean, variance) = (self.mean?, self.variance?);
        let margin = critical_t(self.n - 1.0, Level::Percent5) * (variance / self.n).sqrt();
        Some((mean - margin, mean + margin))
    }
}

/// The level of a two-sided test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    /// 1 %.
    Percent1,
    /// 5 %.
    Percent5,
}

/// The two-sided critical value of Student's t distribution. Degrees of freedom are rounded down to the
/// next entry of the table.
pub(crate) fn critical_t(degrees_of_freedom: f64, level: Level) -> f64 {
    // Degrees of freedom, and the critical values at 1 % and at 5 %.
    const POINTS: [(f64, f64, f64); 16] = [
        (1.0, 63.657, 12.706),
        (2.0, 9.925, 4.303),
        (3.0, 5.841, 3.182),
        (4.0, 4.604, 2.776),
        (5.0, 4.032, 2.571),
        (6.0, 3.707, 2.447),
        (7.0, 3.499, 2.365),
        (8.0, 3.355, 2.306),
        (9.0, 3.250, 2.262),
        (10.0, 3.169, 2.228),
        (12.0, 3.055, 2.179),
        (15.0, 2.947, 2.131),
        (20.0, 2.845, 2.086),
        (30.0, 2.750, 2.042),
        (60.0, 2.660, 2.000),
        (120.0, 2.617, 1.980),
    ];
    let entry = POINTS.iter().rev().find(|(degrees, ..)| *degrees <= degrees_of_freedom);
    let (_, percent1, percent5) = entry.unwrap_or(&POINTS[0]);
    match level {
        Level::Percent1 => *percent1,
        Level::Percent5 => *percent5,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test")]
mod tests {
    use super::*;

    #[test]
    fn a_sample_has_the_textbook_mean_deviation_and_interval() {
        // n = 10: t with 9 degrees of freedom is 2.262.
        let values: Vec<f64> = (1_u32..=10).map(f64::from).collect();
        let sample = Sample::of(&values);
        assert_eq!(sample.mean, Some(5.5));
        assert!((sample.variance.unwrap().sqrt() - 3.02765).abs() < 1e-5);
        let (low, high) = sample.interval_of_mean().unwrap();
        assert!((low - 3.33430).abs() < 1e-4 && (high - 7.66570).abs() < 1e-4, "{low} {high}");
    }

    #[test]
    fn a_single_value_has_no_spread() {
        let sample = Sample::of(&[4.0]);
        assert_eq!((sample.mean, sample.variance), (Some(4.0), None));
        assert_eq!((sample.interval_of_mean(), Sample::of(&[]).mean), (None, None));
        let same = Sample::of(&[4.0, 4.0]);
        assert_eq!(same.interval_of_mean(), Some((4.0, 4.0)));
    }
}
