//! A router's time-outs and policies.

use std::time::Duration;

use super::BudgetReservation;
use super::breaker::BreakerPolicy;
use super::retry::RetryPolicy;
use crate::usage::UnpricedPolicy;

/// A router's time-outs and policies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RouterOptions {
    /// Limit of a whole call: waiting for limits, attempts, pauses between them, all routes.
    pub call_timeout: Duration,
    /// Limit of one attempt, from sending to the last byte.
    pub attempt_timeout: Duration,
    /// Limit of one call to the usage counter. A response waits this long for its row to be
    /// recorded, then is returned anyway while the row is written in the background.
    pub counter_timeout: Duration,
    /// How long a lease outlives its attempt's time-out. A late row replaces an expired lease, so
    /// this only decides how soon the call of a dead process is charged what it had reserved.
    pub lease_margin: Duration,
    /// Retries on one route.
    pub retry: RetryPolicy,
    /// When a provider's circuit breaker opens.
    pub breaker: BreakerPolicy,
    /// Most calls in flight or not yet recorded, over all providers. It bounds the memory that an
    /// outage of the store can take; further calls are refused.
    pub max_pending: usize,
    /// What to do with a model that has no price.
    pub unpriced: UnpricedPolicy,
    /// How many dollars a call reserves.
    pub reservation: BudgetReservation,
}

impl Default for RouterOptions {
    fn default() -> Self {
        Self {
            call_timeout: Duration::from_secs(30),
            attempt_timeout: Duration::from_secs(20),
            counter_timeout: Duration::from_secs(2),
            lease_margin: Duration::from_secs(60),
            retry: RetryPolicy::default(),
            breaker: BreakerPolicy::default(),
            max_pending: 1024,
            unpriced: UnpricedPolicy::default(),
            reservation: BudgetReservation::default(),
        }
    }
}
