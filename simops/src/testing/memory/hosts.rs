//! Reports of hosts.

use async_trait::async_trait;
use jiff::Timestamp;

use super::MemoryStore;
use crate::Result;
use crate::control::HostReport;
use crate::store::HostStore;

#[async_trait]
impl HostStore for MemoryStore {
    async fn report(&self, report: &HostReport) -> Result<()> {
        let before = self.data().hosts.insert(report.id.clone(), report.clone());
        let watched =
            |report: &HostReport| (report.state, report.generation, report.run_id.clone());
        if before.as_ref().map(watched) != Some(watched(report)) {
            self.notify_watchers();
        }
        Ok(())
    }

    async fn leave(&self, host_id: &str) -> Result<()> {
        let known = self.data().hosts.remove(host_id);
        if known.is_some() {
            self.notify_watchers();
        }
        Ok(())
    }

    async fn hosts(&self, since: Timestamp) -> Result<Vec<HostReport>> {
        let data = self.data();
        Ok(data.hosts.values().filter(|host| host.last_seen >= since).cloned().collect())
    }

    async fn delete_hosts(&self, before: Timestamp) -> Result<()> {
        self.data().hosts.retain(|_, host| host.last_seen >= before);
        Ok(())
    }
}
