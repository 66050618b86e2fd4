//! The timer of the weekly digest.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tracing::info;

use super::Ops;
use crate::Result;
use crate::jobs::Timer;
use crate::store::FencingToken;

/// The schedule is looked at so often at least: clocks are set, machines sleep.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// Drafts the digest of each week. Two processes that do so at once draft one: the commit that keeps
/// it is decided anew when another was faster.
pub struct WeeklyDigest(pub Arc<Ops>);

#[async_trait]
impl Timer for WeeklyDigest {
    fn name(&self) -> &'static str {
        "weekly_digest"
    }

    async fn run(&self, _: &FencingToken) -> Result<Duration> {
        let drafted = self.0.scheduled_digest().await?;
        if let Some(answer) = drafted.filter(|answer| answer.created) {
            info!(slug = answer.slug, "the weekly digest was drafted");
        }
        let now = self.0.clock().now();
        let next = self.0.options().digest_schedule.next_after(now);
        let next = next.and_then(|next| Duration::try_from(next).ok()).unwrap_or(LOOK_EVERY);
        Ok(next.min(LOOK_EVERY))
    }
}
