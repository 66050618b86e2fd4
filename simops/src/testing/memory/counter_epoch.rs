//! The counter's epoch and its clients.

use async_trait::async_trait;
use uuid::Uuid;

use super::MemoryStore;
use crate::Result;
use crate::usage::{CounterClient, CounterEpoch, CounterEpochStore, Lease, Op, UsageRow};

#[async_trait]
impl CounterEpochStore for MemoryStore {
    async fn counter_epoch(&self) -> Result<CounterEpoch> {
        Ok(self.data().counter_epoch.clone())
    }

    async fn advance_counter_epoch(&self, from: u64, to: &CounterEpoch) -> Result<bool> {
        let mut data = self.data();
        if data.counter_epoch.generation != from {
            return Ok(false);
        }
        let budgets = data.counter_epoch.budgets;
        data.counter_epoch = CounterEpoch { budgets, ..to.clone() };
        drop(data);
        self.notify_watchers();
        Ok(true)
    }

    async fn heartbeat(&self, client: &CounterClient, open: &[Lease]) -> Result<CounterEpoch> {
        let mut data = self.data();
        data.apply(&Op::Transfer(open.to_vec()))?;
        let known = data.counter_clients.get(&client.id);
        if known.is_none_or(|known| known.sequence < client.sequence) {
            data.counter_clients.insert(client.id, client.clone());
        }
        Ok(data.counter_epoch.clone())
    }

    async fn remove_counter_client(&self, id: Uuid) -> Result<()> {
        self.data().counter_clients.remove(&id);
        Ok(())
    }

    async fn counter_clients(&self) -> Result<Vec<CounterClient>> {
        Ok(self.data().counter_clients.values().cloned().collect())
    }

    async fn open_leases(&self) -> Result<Vec<Lease>> {
        Ok(self.data().leases.values().cloned().collect())
    }

    async fn settled_row(&self, id: Uuid) -> Result<Option<UsageRow>> {
        Ok(self.data().usage.iter().find(|row| row.id == id).cloned())
    }
}
