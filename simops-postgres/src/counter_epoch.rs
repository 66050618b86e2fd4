//! The counter's epoch and its clients. The tables are `fence` and `members`.

use async_trait::async_trait;
use simops::Result;
use simops::usage::{CounterClient, CounterEpoch, CounterEpochStore, Lease, Op};
use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use crate::PostgresStore;
use crate::codec::{Micros, Word};
use crate::days::{sums, totals};
use crate::error::Work;
use crate::link::Link;
use crate::{counting, leases};

#[async_trait]
impl CounterEpochStore for PostgresStore {
    async fn counter_epoch(&self) -> Result<CounterEpoch> {
        self.base
            .look(|mut connection| async move {
                let row = sqlx::query("SELECT * FROM fence").fetch_one(&mut *connection).await?;
                Ok((connection, epoch(&row)?))
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
                    tx.tell_watchers();
                }
                Ok((tx, moved))
            })
            .await
    }

    async fn heartbeat(&self, client: &CounterClient, open: &[Lease]) -> Result<CounterEpoch> {
        let (by_time, transfer) = (self.base.ledger_by_time, &[Op::Transfer(open.to_vec())]);
        self.base
            .write_known(|mut tx| async move {
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
            .write_known(|mut tx| async move {
                sqlx::query("DELETE FROM members WHERE id = $1").bind(id).execute(&mut *tx).await?;
                Ok((tx, ()))
            })
            .await
    }

    async fn counter_clients(&self) -> Result<Vec<CounterClient>> {
        self.base
            .look(|mut connection| async move {
                let clients = clients(&mut connection).await?;
                Ok((connection, clients))
            })
            .await
    }

    async fn open_leases(&self) -> Result<Vec<Lease>> {
        self.base
            .look(|mut connection| async move {
                let open = leases::all(&mut connection).await?;
                Ok((connection, open))
            })
            .await
    }

    async fn is_settled(&self, id: Uuid) -> Result<bool> {
        self.base
            .look(|mut connection| async move {
                let row = sqlx::query("SELECT 1 FROM usage WHERE id = $1").bind(id);
                let found = row.fetch_optional(&mut *connection).await?.is_some();
                Ok((connection, found))
            })
            .await
    }
}

/// The epoch. Its row stays locked until the transaction ends.
pub(crate) async fn lock(connection: &mut Link) -> Work<CounterEpoch> {
    let row = sqlx::query("SELECT * FROM fence FOR NO KEY UPDATE").fetch_one(connection).await?;
    Ok(epoch(&row)?)
}

fn epoch(row: &PgRow) -> sqlx::Result<CounterEpoch> {
    Ok(CounterEpoch {
        generation: row.try_get::<i64, _>("generation")?.cast_unsigned(),
        backend: row.try_get::<Word<_>, _>("counted_in")?.0,
        namespace: row.try_get("namespace")?,
        redis: row.try_get("redis")?,
        since: row.try_get::<Micros, _>("since")?.0,
        reason: row.try_get("reason")?,
    })
}

/// All clients by id.
pub(crate) async fn clients(connection: &mut Link) -> Work<Vec<CounterClient>> {
    let rows = sqlx::query(
        "SELECT calls_total, calls_openrouter_free, calls_groq, calls_gemini, calls_unpriced, \
             cost, id, generation, until FROM members ORDER BY id",
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.iter().map(client).collect::<sqlx::Result<_>>()?)
}

fn client(row: &PgRow) -> sqlx::Result<CounterClient> {
    Ok(CounterClient {
        id: row.try_get("id")?,
        generation: row.try_get::<i64, _>("generation")?.cast_unsigned(),
        until: row.try_get::<Micros, _>("until")?.0,
        allotment: totals(row, 0)?,
    })
}

async fn put_client(connection: &mut Link, client: &CounterClient) -> Work<()> {
    let mut query = sqlx::query(
        "INSERT INTO members (id, generation, until, calls_total, calls_openrouter_free, \
             calls_groq, calls_gemini, calls_unpriced, cost) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) \
         ON CONFLICT (id) DO UPDATE SET generation = $2, until = $3, calls_total = $4, \
             calls_openrouter_free = $5, calls_groq = $6, calls_gemini = $7, calls_unpriced = $8, \
             cost = $9",
    )
    .bind(client.id)
    .bind(client.generation.cast_signed())
    .bind(Micros(client.until));
    for sum in sums(&client.allotment) {
        query = query.bind(sum);
    }
    query.execute(connection).await?;
    Ok(())
}
