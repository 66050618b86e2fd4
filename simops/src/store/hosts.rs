//! Storage of the state that hosts report.

use async_trait::async_trait;
use jiff::Timestamp;

use crate::Result;
use crate::control::HostReport;

/// State reports of hosts.
#[async_trait]
pub trait HostStore: Send + Sync {
    /// Replaces the report of a host. Advances the watched revision if the state or the generation
    /// changed, but not for a heartbeat.
    async fn report(&self, report: &HostReport) -> Result<()>;

    /// Deletes the report of a host that shuts down. Advances the watched revision if it existed.
    async fn leave(&self, host_id: &str) -> Result<()>;

    /// The hosts that reported at or after `since`, ordered by name.
    async fn hosts(&self, since: Timestamp) -> Result<Vec<HostReport>>;

    /// Deletes the hosts whose last report is before `before`.
    async fn delete_hosts(&self, before: Timestamp) -> Result<()>;
}
