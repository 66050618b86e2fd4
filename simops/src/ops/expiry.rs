//! The job that deletes expired responses to idempotency keys.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::{Ops, SystemWriter};
use crate::Result;
use crate::jobs::Timer;
use crate::store::FencingToken;

/// The most that one transaction deletes.
const BATCH: usize = 500;
/// The delay after a full batch: other writes go between.
const BATCH_DELAY: Duration = Duration::from_millis(100);
const EVERY: Duration = Duration::from_secs(600);

impl SystemWriter<'_> {
    /// Deletes some of the expired responses to idempotency keys; whether there may be more.
    pub async fn delete_expired_responses(self) -> Result<bool> {
        let now = self.ops.clock().now();
        let deleted = self.ops.store().delete_expired_idempotency(now, BATCH).await?;
        Ok(deleted >= BATCH as u64)
    }
}

/// Deletes expired responses to idempotency keys. Without it they only take space: their keys are free.
pub struct DeleteExpiredResponses(pub Arc<Ops>);

#[async_trait]
impl Timer for DeleteExpiredResponses {
    fn name(&self) -> &'static str {
        "expired_responses"
    }

    async fn run(&self, _: &FencingToken) -> Result<Duration> {
        let more = self.0.system().delete_expired_responses().await?;
        Ok(if more { BATCH_DELAY } else { EVERY })
    }
}
