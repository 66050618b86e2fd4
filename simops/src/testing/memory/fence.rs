//! Where calls are counted.

use async_trait::async_trait;
use uuid::Uuid;

use super::MemoryStore;
use crate::Result;
use crate::usage::{Fence, FenceStore, Lease, Member};

#[async_trait]
impl FenceStore for MemoryStore {
    async fn fence(&self) -> Result<Fence> {
        Ok(self.data().fence.clone())
    }

    async fn move_fence(&self, from: u64, to: &Fence) -> Result<bool> {
        let mut data = self.data();
        if data.fence.generation != from {
            return Ok(false);
        }
        data.fence = to.clone();
        drop(data);
        self.tell_watchers();
        Ok(true)
    }

    async fn confirm(&self, member: &Member, open: &[Lease]) -> Result<Fence> {
        let mut data = self.data();
        for lease in open {
            if !data.usage.iter().any(|row| row.id == lease.id) {
                data.leases.entry(lease.id).or_insert_with(|| lease.clone());
            }
        }
        data.members.insert(member.id, member.clone());
        Ok(data.fence.clone())
    }

    async fn forget_member(&self, id: Uuid) -> Result<()> {
        self.data().members.remove(&id);
        Ok(())
    }

    async fn members(&self) -> Result<Vec<Member>> {
        Ok(self.data().members.values().cloned().collect())
    }

    async fn open_leases(&self) -> Result<Vec<Lease>> {
        Ok(self.data().leases.values().cloned().collect())
    }
}
