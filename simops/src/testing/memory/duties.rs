//! Duties.

use async_trait::async_trait;

use super::MemoryStore;
use crate::Result;
use crate::store::{LeaderLease, LeaderLeaseStore};

#[async_trait]
impl LeaderLeaseStore for MemoryStore {
    async fn tenure(&self, duty: &str) -> Result<Option<LeaderLease>> {
        Ok(self.data().duties.get(duty).cloned())
    }

    async fn replace_leader_lease(
        &self,
        seen: Option<&LeaderLease>,
        next: &LeaderLease,
    ) -> Result<bool> {
        let mut data = self.data();
        let same = data.duties.get(&next.duty) == seen;
        if same {
            data.duties.insert(next.duty.clone(), next.clone());
        }
        Ok(same)
    }
}
