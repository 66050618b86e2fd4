//! A router's patience.

use std::time::Duration;

use super::breaker::BreakerPolicy;
use super::retry::RetryPolicy;
use crate::usage::UnpricedPolicy;

/// A router's patience, in one table of defaults.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RouterOptions {
    /// All of a call: waiting for places, attempts, pauses, later routes.
    pub call_timeout: Duration,
    /// One attempt, from sending to the last byte.
    pub attempt_timeout: Duration,
    /// One word with the counter; and how long an answer waits for its row to be durable before it
    /// is handed out all the same (the row is then written in the background).
    pub counter_timeout: Duration,
    /// How much longer than its attempt a lease lives. Its row replaces an expired one, so this
    /// only decides how soon a dead process' call is written off.
    pub lease_margin: Duration,
    /// Retries on one route.
    pub retry: RetryPolicy,
    /// When a provider is left alone.
    pub breaker: BreakerPolicy,
    /// Calls and unwritten rows at once, in all: the memory that an outage of the store may cost.
    /// Beyond that no call is made.
    pub max_unbooked: usize,
    /// What to do with a model that the price book does not know.
    pub unpriced: UnpricedPolicy,
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
            max_unbooked: 1024,
            unpriced: UnpricedPolicy::default(),
        }
    }
}
