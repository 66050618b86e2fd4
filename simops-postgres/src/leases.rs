//! Calls counted as they are made: leases beside the ledger that they end in.

use std::collections::BTreeSet;

use async_trait::async_trait;
use jiff::Timestamp;
use jiff::civil::Date;
use simops::Result;
use simops::usage::{Admission, Caps, Counter, DayUse, Lease, NanoUsd, UsageCounter, UsageRow};
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Row};
use uuid::Uuid;

use crate::PostgresStore;
use crate::books::{Step, booked, verdict};
use crate::codec::{Day, Micros};
use crate::counting::{self, Touched};
use crate::days::day_uses;
use crate::error::Work;
use crate::fence;
use crate::link::Link;

/// Most leases that expire in one transaction.
const EXPIRE_AT_ONCE: i64 = 500;

const COLUMNS: &str = "id, day, run_id, agent_id, checkpoint, provider, model, upper_bound, \
     priced, created_at, expires_at";

#[async_trait]
impl UsageCounter for PostgresStore {
    async fn reserve(&self, lease: &Lease, caps: &Caps) -> Result<Admission> {
        let step = Step::Reserve(Box::new(lease.clone()), *caps);
        verdict(self.counting.call(step).await?)
    }

    async fn settle(&self, row: &UsageRow) -> Result<()> {
        booked(self.counting.call(Step::Settle(Box::new(row.clone()))).await?)
    }

    async fn release(&self, lease_id: Uuid) -> Result<()> {
        booked(self.counting.call(Step::Release(lease_id)).await?)
    }

    async fn expire(&self, now: Timestamp) -> Result<u64> {
        // Mostly there is nothing to do, which takes no lock to see.
        let due_now = self.base.look(|mut connection| async move {
            let due = due(&mut connection, now, 1).await?;
            Ok((connection, due))
        });
        if due_now.await?.is_empty() {
            return Ok(0);
        }
        let by_time = self.base.ledger_by_time;
        self.base
            .write_known(|mut tx| async move {
                let fence = fence::lock(&mut tx).await?;
                let rows: Vec<_> = due(&mut tx, now, EXPIRE_AT_ONCE)
                    .await?
                    .into_iter()
                    .map(|lease| lease.expired(now))
                    .collect();
                let mut touched = Touched::default();
                rows.iter().for_each(|row| touched.row(row));
                let mut books = counting::open(&mut tx, touched, &fence, by_time).await?;
                rows.iter().for_each(|row| books.settle(row));
                counting::close(&mut tx, &books).await?;
                Ok((tx, rows.len().try_into().unwrap_or(u64::MAX)))
            })
            .await
    }

    async fn day_use(&self, day: Date) -> Result<DayUse> {
        self.base
            .look(|mut connection| async move {
                let found = day_uses(&mut connection, [day]).await?;
                Ok((connection, found.get(&day).copied().unwrap_or_default()))
            })
            .await
    }

    fn health(&self) -> Counter {
        Counter::healthy("postgres")
    }
}

/// Those of `ids` that are open.
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

async fn due(connection: &mut Link, now: Timestamp, most: i64) -> Work<Vec<Lease>> {
    let sql =
        format!("SELECT {COLUMNS} FROM leases WHERE expires_at < $1 ORDER BY expires_at LIMIT $2");
    let query = sqlx::query(AssertSqlSafe(sql)).bind(Micros(now)).bind(most);
    let rows = query.fetch_all(connection).await?;
    Ok(rows.iter().map(lease).collect::<sqlx::Result<_>>()?)
}

/// Deletes those that are over.
pub(crate) async fn end(connection: &mut Link, ids: &BTreeSet<Uuid>) -> Work<()> {
    if ids.is_empty() {
        return Ok(());
    }
    sqlx::query("DELETE FROM leases WHERE id = ANY($1)")
        .bind(ids.iter().copied().collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}

/// Writes those that are new.
pub(crate) async fn begin(connection: &mut Link, new: &[&Lease]) -> Work<()> {
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
