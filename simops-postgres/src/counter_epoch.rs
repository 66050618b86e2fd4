//! The counter's epoch and its clients.

use async_trait::async_trait;
use simops::Result;
use simops::usage::{CounterClient, CounterEpoch, CounterEpochStore, Lease, Op};
use uuid::Uuid;

use crate::PostgresStore;
use crate::codec::{Micros, Word};
use crate::counter_epoch_rows::{clients, epoch, lock, put_client};
use crate::{counting, lease_rows};

#[async_trait]
impl CounterEpochStore for PostgresStore {
    async fn counter_epoch(&self) -> Result<CounterEpoch> {
        self.base
            .query(|mut connection| async move {
                let epoch = epoch(&mut connection).await?;
                Ok((connection, epoch))
            })
            .await
    }

    async fn advance_counter_epoch(&self, from: u64, to: &CounterEpoch) -> Result<bool> {
        self.base
            .write(|mut tx| async move {
                let moved = sqlx::query(
                    "UPDATE fence SET generation = $1, counted_in = $2, redis = $3, since = $4, \
                         reason = $5 WHERE generation = $6",
                )
                .bind(to.generation.cast_signed())
                .bind(Word(to.backend))
                .bind(&to.redis)
                .bind(Micros(to.since))
                .bind(&to.reason)
                .bind(from.cast_signed())
                .execute(&mut *tx)
                .await?;
                let moved = moved.rows_affected() == 1;
                if moved {
                    tx.notify_watchers();
                }
                Ok((tx, moved))
            })
            .await
    }

    async fn heartbeat(&self, client: &CounterClient, open: &[Lease]) -> Result<CounterEpoch> {
        let (by_time, transfer) = (self.base.ledger_by_time, &[Op::Transfer(open.to_vec())]);
        self.base
            .write_idempotent(|mut tx| async move {
                let epoch = lock(&mut tx).await?;
                if !open.is_empty() {
                    counting::apply_locked(&mut tx, transfer, epoch.clone(), by_time).await?;
                }
                put_client(&mut tx, client).await?;
                Ok((tx, epoch))
            })
            .await
    }

    async fn remove_counter_client(&self, id: Uuid) -> Result<()> {
        self.base
            .write_idempotent(|mut tx| async move {
                sqlx::query("DELETE FROM members WHERE id = $1").bind(id).execute(&mut *tx).await?;
                Ok((tx, ()))
            })
            .await
    }

    async fn counter_clients(&self) -> Result<Vec<CounterClient>> {
        self.base
            .query(|mut connection| async move {
                let clients = clients(&mut connection).await?;
                Ok((connection, clients))
            })
            .await
    }

    async fn open_leases(&self) -> Result<Vec<Lease>> {
        self.base
            .query(|mut connection| async move {
                let open = lease_rows::all(&mut connection).await?;
                Ok((connection, open))
            })
            .await
    }

    async fn is_settled(&self, id: Uuid) -> Result<bool> {
        self.base
            .query(|mut connection| async move {
                let row = sqlx::query("SELECT 1 FROM usage WHERE id = $1").bind(id);
                let found = row.fetch_optional(&mut *connection).await?.is_some();
                Ok((connection, found))
            })
            .await
    }
}
