//! Who is there.

use async_trait::async_trait;
use jiff::Timestamp;

use crate::Result;
use crate::control::HostReport;

/// What hosts report of themselves.
#[async_trait]
pub trait HostStore: Send + Sync {
    /// Keeps a host's latest report. Moves the watched revision when its state or generation is
    /// new, not for a mere sign of life.
    async fn report(&self, report: &HostReport) -> Result<()>;

    /// Forgets a host that has left. Moves the watched revision if it was known.
    async fn leave(&self, host_id: &str) -> Result<()>;

    /// Every host that has reported at `since` or later, by name.
    async fn hosts(&self, since: Timestamp) -> Result<Vec<HostReport>>;

    /// Forgets hosts that have not reported since `before`.
    async fn delete_hosts(&self, before: Timestamp) -> Result<()>;
}
