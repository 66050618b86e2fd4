//! The usage counter and its open leases.

use std::collections::BTreeSet;

use async_trait::async_trait;
use jiff::Timestamp;
use jiff::civil::Date;
use rusqlite::{Connection, OptionalExtension, Row, params};
use simops::Result;
use simops::usage::{
    Admission, Caps, CounterStatus, DayUse, Lease, NanoUsd, Op, UsageCounter, UsageRow,
};
use uuid::Uuid;

use crate::SqliteStore;
use crate::codec::Micros;
use crate::days::{date, day_use};
use crate::error::Work;

const COLUMNS: &str = "id, day, run_id, agent_id, checkpoint, provider, model, upper_bound, \
     priced, created_at, expires_at";

#[async_trait]
impl UsageCounter for SqliteStore {
    async fn reserve(&self, lease: &Lease, caps: &Caps) -> Result<Admission> {
        self.apply(Op::Reserve(Box::new(lease.clone()), *caps)).await?.admission()
    }

    async fn settle(&self, row: &UsageRow) -> Result<()> {
        self.apply(Op::Settle(vec![row.clone()])).await.map(drop)
    }

    async fn release(&self, lease_id: Uuid) -> Result<()> {
        self.apply(Op::Release(lease_id)).await.map(drop)
    }

    async fn expire(&self, now: Timestamp) -> Result<u64> {
        // Usually no lease is due, and finding that out takes no lock.
        if self.read(move |connection| due(connection, now, 1)).await?.is_empty() {
            return Ok(0);
        }
        self.apply(Op::Expire(now)).await?.expired()
    }

    async fn day_use(&self, day: Date) -> Result<DayUse> {
        self.read(move |connection| day_use(connection, day)).await
    }

    fn health(&self) -> CounterStatus {
        CounterStatus::healthy("sqlite")
    }
}

/// The open leases of `ids`.
pub(crate) fn of_ids(connection: &Connection, ids: &BTreeSet<Uuid>) -> Work<Vec<Lease>> {
    let sql = format!("SELECT {COLUMNS} FROM leases WHERE id = ?1");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut leases = Vec::new();
    for id in ids {
        leases.extend(statement.query_row([id.as_bytes()], lease).optional()?);
    }
    Ok(leases)
}

/// Inserts leases.
pub(crate) fn insert(connection: &Connection, new: &[Lease]) -> Work<()> {
    let mut statement = connection.prepare_cached(&format!(
        "INSERT INTO leases ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    ))?;
    for lease in new {
        statement.execute(params![
            lease.id.as_bytes(),
            lease.day.to_string(),
            lease.run_id,
            lease.agent_id,
            lease.checkpoint,
            lease.provider,
            lease.model,
            lease.upper_bound.0,
            lease.priced,
            Micros(lease.created_at),
            Micros(lease.expires_at),
        ])?;
    }
    Ok(())
}

/// Deletes leases.
pub(crate) fn delete(connection: &Connection, ids: &BTreeSet<Uuid>) -> Work<()> {
    let mut statement = connection.prepare_cached("DELETE FROM leases WHERE id = ?1")?;
    for id in ids {
        statement.execute([id.as_bytes()])?;
    }
    Ok(())
}

/// At most `most` leases that expired before `now`, the oldest first.
pub(crate) fn due(connection: &Connection, now: Timestamp, most: i64) -> Work<Vec<Lease>> {
    let sql =
        format!("SELECT {COLUMNS} FROM leases WHERE expires_at < ?1 ORDER BY expires_at LIMIT ?2");
    let mut statement = connection.prepare_cached(&sql)?;
    let leases = statement.query_map(params![Micros(now), most], lease)?;
    Ok(leases.collect::<rusqlite::Result<_>>()?)
}

/// All open leases.
pub(crate) fn all(connection: &Connection) -> Work<Vec<Lease>> {
    let mut statement = connection.prepare(&format!("SELECT {COLUMNS} FROM leases ORDER BY id"))?;
    let leases = statement.query_map([], lease)?;
    Ok(leases.collect::<rusqlite::Result<_>>()?)
}

fn lease(row: &Row<'_>) -> rusqlite::Result<Lease> {
    Ok(Lease {
        id: Uuid::from_bytes(row.get(0)?),
        day: date(row, 1)?,
        run_id: row.get(2)?,
        agent_id: row.get(3)?,
        checkpoint: row.get(4)?,
        provider: row.get(5)?,
        model: row.get(6)?,
        upper_bound: NanoUsd(row.get(7)?),
        priced: row.get(8)?,
        created_at: row.get::<_, Micros>(9)?.0,
        expires_at: row.get::<_, Micros>(10)?.0,
    })
}
