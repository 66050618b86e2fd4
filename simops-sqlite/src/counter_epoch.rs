//! The counter's epoch and its clients.

use async_trait::async_trait;
use rusqlite::params;
use simops::Result;
use simops::usage::{CounterClient, CounterEpoch, CounterEpochStore, Lease, Op};
use uuid::Uuid;

use crate::SqliteStore;
use crate::codec::{Micros, Word};
use crate::counter_epoch_rows::{clients, epoch, put_client};
use crate::{counting, lease_rows};

#[async_trait]
impl CounterEpochStore for SqliteStore {
    async fn counter_epoch(&self) -> Result<CounterEpoch> {
        self.read(epoch).await
    }

    async fn advance_counter_epoch(&self, from: u64, to: &CounterEpoch) -> Result<bool> {
        let to = to.clone();
        self.write(move |tx| {
            let mut statement = tx.prepare_cached(
                "UPDATE fence SET generation = ?1, counted_in = ?2, redis = ?3, since = ?4, \
                     reason = ?5 WHERE generation = ?6",
            )?;
            let moved = statement.execute(params![
                to.generation,
                Word(to.backend),
                to.redis,
                Micros(to.since),
                to.reason,
                from
            ])? == 1;
            if moved {
                tx.notify_watchers();
            }
            Ok(moved)
        })
        .await
    }

    async fn heartbeat(&self, client: &CounterClient, open: &[Lease]) -> Result<CounterEpoch> {
        let (client, transfer) = (client.clone(), Op::Transfer(open.to_vec()));
        self.write(move |tx| {
            counting::apply_one(tx, &transfer)?;
            put_client(tx, &client)?;
            epoch(tx)
        })
        .await
    }

    async fn remove_counter_client(&self, id: Uuid) -> Result<()> {
        self.write(move |tx| {
            tx.prepare_cached("DELETE FROM members WHERE id = ?1")?.execute([id.as_bytes()])?;
            Ok(())
        })
        .await
    }

    async fn counter_clients(&self) -> Result<Vec<CounterClient>> {
        self.read(clients).await
    }

    async fn open_leases(&self) -> Result<Vec<Lease>> {
        self.read(lease_rows::all).await
    }

    async fn is_settled(&self, id: Uuid) -> Result<bool> {
        self.read(move |connection| {
            let mut statement = connection.prepare_cached("SELECT 1 FROM usage WHERE id = ?1")?;
            Ok(statement.exists([id.as_bytes()])?)
        })
        .await
    }
}
