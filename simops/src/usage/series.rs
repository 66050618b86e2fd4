//! Calls over time, counted per time step and provider, for charts and forecasts.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::money::{NanoUsd, as_dollars};

/// The calls to one provider within one step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = UsageStep))]
pub struct Bucket {
    /// The start of the step.
    pub at: Timestamp,
    /// The provider.
    pub provider: String,
    /// Calls recorded.
    pub calls: i64,
    /// The calls that failed.
    pub failed: i64,
    /// What they cost; in JSON as dollars.
    #[serde(rename = "cost_usd", serialize_with = "as_dollars::serialize")]
    #[cfg_attr(feature = "openapi", schema(value_type = f64))]
    pub cost: NanoUsd,
}

/// Sums calls into buckets. Steps are aligned to 1970, so that all series of the same step have the
/// same borders.
#[derive(Debug, Clone)]
pub struct Series {
    step: SignedDuration,
    buckets: BTreeMap<(Timestamp, String), (i64, i64, NanoUsd)>,
}

impl Series {
    /// An empty series of steps of this length, at least a second.
    pub fn of_steps(step: SignedDuration) -> Self {
        Self { step: step.max(SignedDuration::from_secs(1)), buckets: BTreeMap::new() }
    }

    /// The start of the step that contains `at`.
    pub fn begin(&self, at: Timestamp) -> Timestamp {
        let step = self.step.as_secs();
        let begin = at.as_microsecond().div_euclid(1_000_000 * step).saturating_mul(step);
        Timestamp::from_second(begin).unwrap_or(at)
    }

    /// Counts a call.
    pub fn add(&mut self, at: Timestamp, provider: &str, success: bool, cost: NanoUsd) {
        let bucket = (self.begin(at), provider.to_owned());
        let (calls, failed, sum) = self.buckets.entry(bucket).or_default();
        *calls += 1;
        *failed += i64::from(!success);
        *sum = *sum + cost;
    }

    /// The buckets with calls, by time and provider.
    pub fn finish(self) -> Vec<Bucket> {
        let bucket =
            |((at, provider), (calls, failed, cost))| Bucket { at, provider, calls, failed, cost };
        self.buckets.into_iter().map(bucket).collect()
    }
}
