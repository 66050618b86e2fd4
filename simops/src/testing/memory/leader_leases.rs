//! The leader lease.

use async_trait::async_trait;

use super::MemoryStore;
use crate::Result;
use crate::store::{LeaderLease, LeaderLeaseStore};

#[async_trait]
impl LeaderLeaseStore for MemoryStore {
    async fn leader_lease(&self, name: &str) -> Result<Option<LeaderLease>> {
        Ok(self.data().leader_leases.get(name).cloned())
    }

    async fn replace_leader_lease(
        &self,
        seen: Option<&LeaderLease>,
        next: &LeaderLease,
    ) -> Result<bool> {
        let mut data = self.data();
        let same = data.leader_leases.get(&next.name) == seen;
        if same {
            data.leader_leases.insert(next.name.clone(), next.clone());
        }
        Ok(same)
    }
}
