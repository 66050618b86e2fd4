//! The job of the weekly digest.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tracing::info;

use super::Ops;
use crate::Result;
use crate::jobs::Timer;
use crate::store::FencingToken;

/// The longest time between two looks at the schedule: clocks are set, machines sleep.
const MAX_INTERVAL: Duration = Duration::from_secs(60);

/// Creates the digest of each week. Of several processes that do so at once, one creates it; the
/// others find it when their commit is a conflict.
pub struct WeeklyDigest(pub Arc<Ops>);

#[async_trait]
impl Timer for WeeklyDigest {
    fn name(&self) -> &'static str {
        "weekly_digest"
    }

    async fn run(&self, _: &FencingToken) -> Result<Duration> {
        let drafted = self.0.system().scheduled_digest().await?;
        if let Some(answer) = drafted.filter(|answer| answer.created) {
            info!(slug = answer.slug, "weekly digest created");
        }
        let now = self.0.clock().now();
        let next = self.0.options().digest_schedule.next_after(now);
        let next = next.and_then(|next| Duration::try_from(next).ok()).unwrap_or(MAX_INTERVAL);
        Ok(next.min(MAX_INTERVAL))
    }
}
