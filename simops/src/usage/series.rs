//! Calls along time: counted per step of the clock and per provider, for charts and forecasts.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::NanoUsd;

/// What one provider was asked within one step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    /// When the step began.
    pub at: Timestamp,
    /// The provider.
    pub provider: String,
    /// Calls recorded.
    pub calls: i64,
    /// Those of them that failed.
    pub failed: i64,
    /// What they cost.
    pub cost: NanoUsd,
}

/// Sums calls into buckets. Steps are counted from 1970, so that any two series of the same step
/// have the same borders.
#[derive(Debug, Clone)]
pub struct Series {
    step: SignedDuration,
    buckets: BTreeMap<(Timestamp, String), (i64, i64, NanoUsd)>,
}

impl Series {
    /// An empty series of steps that long, at least a second.
    pub fn of_steps(step: SignedDuration) -> Self {
        Self { step: step.max(SignedDuration::from_secs(1)), buckets: BTreeMap::new() }
    }

    /// When the step began that holds `at`.
    pub fn begin(&self, at: Timestamp) -> Timestamp {
        let step = self.step.as_secs();
        let begin = at.as_microsecond().div_euclid(1_000_000 * step).saturating_mul(step);
        Timestamp::from_second(begin).unwrap_or(at)
    }

    /// Counts a call.
    pub fn add(&mut self, at: Timestamp, provider: &str, success: bool, cost: NanoUsd) {
        let place = (self.begin(at), provider.to_owned());
        let (calls, failed, sum) = self.buckets.entry(place).or_default();
        *calls += 1;
        *failed += i64::from(!success);
        *sum = *sum + cost;
    }

    /// The buckets that hold a call, by time and provider.
    pub fn finish(self) -> Vec<Bucket> {
        let bucket =
            |((at, provider), (calls, failed, cost))| Bucket { at, provider, calls, failed, cost };
        self.buckets.into_iter().map(bucket).collect()
    }
}
