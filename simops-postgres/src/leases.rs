//! The usage counter and its open leases.

use std::collections::BTreeSet;

use async_trait::async_trait;
use jiff::Timestamp;
use jiff::civil::Date;
use simops::Result;
use simops::usage::{
    Admission, Caps, CounterStatus, DayUse, Lease, NanoUsd, Op, UsageCounter, UsageRow,
};
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Row};
use uuid::Uuid;

use crate::PostgresStore;
use crate::codec::{Day, Micros};
use crate::days::day_uses;
use crate::error::Work;
use crate::link::Link;

const COLUMNS: &str = "id, day, run_id, agent_id, checkpoint, provider, model, upper_bound, \
     priced, created_at, expires_at";

#[async_trait]
impl UsageCounter for PostgresStore {
    async fn reserve(&self, lease: &Lease, caps: &Caps) -> Result<Admission> {
        let op = Op::Reserve(Box::new(lease.clone()), *caps);
        self.counting.call(op).await?.admission()
    }

    async fn settle(&self, row: &UsageRow) -> Result<()> {
        self.counting.call(Op::Settle(vec![row.clone()])).await.map(drop)
    }

    async fn release(&self, lease_id: Uuid) -> Result<()> {
        self.counting.call(Op::Release(lease_id)).await.map(drop)
    }

    async fn expire(&self, now: Timestamp) -> Result<u64> {
        // Usually no lease is due, and finding that out takes no lock.
        let due_now = self.base.look(|mut connection| async move {
            let due = due(&mut connection, now, 1).await?;
            Ok((connection, due))
        });
        if due_now.await?.is_empty() {
            return Ok(0);
        }
        self.counting.call(Op::Expire(now)).await?.expired()
    }

    async fn day_use(&self, day: Date) -> Result<DayUse> {
        self.base
            .look(|mut connection| async move {
                let found = day_uses(&mut connection, [day]).await?;
                Ok((connection, found.get(&day).copied().unwrap_or_default()))
            })
            .await
    }

    fn health(&self) -> CounterStatus {
        CounterStatus::healthy("postgres")
    }
}

/// The open leases of `ids`.
pub(crate) async fn of_ids(connection: &mut Link, ids: &[Uuid]) -> Work<Vec<Lease>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let sql = format!("SELECT {COLUMNS} FROM leases WHERE id = ANY($1)");
    let rows = sqlx::query(AssertSqlSafe(sql)).bind(ids).fetch_all(connection).await?;
    Ok(rows.iter().map(lease).collect::<sqlx::Result<_>>()?)
}

/// All open leases.
pub(crate) async fn all(connection: &mut Link) -> Work<Vec<Lease>> {
    let sql = format!("SELECT {COLUMNS} FROM leases ORDER BY id");
    let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(connection).await?;
    Ok(rows.iter().map(lease).collect::<sqlx::Result<_>>()?)
}

/// At most `most` leases that expired before `now`, the oldest first.
pub(crate) async fn due(connection: &mut Link, now: Timestamp, most: i64) -> Work<Vec<Lease>> {
    let sql =
        format!("SELECT {COLUMNS} FROM leases WHERE expires_at < $1 ORDER BY expires_at LIMIT $2");
    let query = sqlx::query(AssertSqlSafe(sql)).bind(Micros(now)).bind(most);
    let rows = query.fetch_all(connection).await?;
    Ok(rows.iter().map(lease).collect::<sqlx::Result<_>>()?)
}

/// Deletes leases.
pub(crate) async fn delete(connection: &mut Link, ids: &BTreeSet<Uuid>) -> Work<()> {
    if ids.is_empty() {
        return Ok(());
    }
    sqlx::query("DELETE FROM leases WHERE id = ANY($1)")
        .bind(ids.iter().copied().collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}

/// Inserts leases.
pub(crate) async fn insert(connection: &mut Link, new: &[Lease]) -> Work<()> {
    if new.is_empty() {
        return Ok(());
    }
    let sql = format!(
        "INSERT INTO leases ({COLUMNS}) \
         SELECT * FROM unnest($1::uuid[], $2::date[], $3::text[], $4::bigint[], $5::bigint[], \
             $6::text[], $7::text[], $8::bigint[], $9::bool[], $10::timestamptz[], \
             $11::timestamptz[])"
    );
    sqlx::query(AssertSqlSafe(sql))
        .bind(new.iter().map(|lease| lease.id).collect::<Vec<_>>())
        .bind(new.iter().map(|lease| Day(lease.day)).collect::<Vec<_>>())
        .bind(new.iter().map(|lease| lease.run_id.as_deref()).collect::<Vec<_>>())
        .bind(new.iter().map(|lease| lease.agent_id).collect::<Vec<_>>())
        .bind(new.iter().map(|lease| lease.checkpoint).collect::<Vec<_>>())
        .bind(new.iter().map(|lease| lease.provider.as_str()).collect::<Vec<_>>())
        .bind(new.iter().map(|lease| lease.model.as_str()).collect::<Vec<_>>())
        .bind(new.iter().map(|lease| lease.upper_bound.0).collect::<Vec<_>>())
        .bind(new.iter().map(|lease| lease.priced).collect::<Vec<_>>())
        .bind(new.iter().map(|lease| Micros(lease.created_at)).collect::<Vec<_>>())
        .bind(new.iter().map(|lease| Micros(lease.expires_at)).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}

fn lease(row: &PgRow) -> sqlx::Result<Lease> {
    Ok(Lease {
        id: row.try_get(0)?,
        day: row.try_get::<Day, _>(1)?.0,
        run_id: row.try_get(2)?,
        agent_id: row.try_get(3)?,
        checkpoint: row.try_get(4)?,
        provider: row.try_get(5)?,
        model: row.try_get(6)?,
        upper_bound: NanoUsd(row.try_get(7)?),
        priced: row.try_get(8)?,
        created_at: row.try_get::<Micros, _>(9)?.0,
        expires_at: row.try_get::<Micros, _>(10)?.0,
    })
}
