//! Calls counted as they are made: leases beside the ledger that they end in.

use async_trait::async_trait;
use jiff::Timestamp;
use jiff::civil::Date;
use rusqlite::{Connection, OptionalExtension, Row, named_params, params};
use simops::Result;
use simops::usage::{
    Admission, Caps, Counter, DayUse, Lease, NanoUsd, UsageCounter, UsageRow, admit,
};
use uuid::Uuid;

use crate::SqliteStore;
use crate::codec::Micros;
use crate::days::{self, change, day_use};
use crate::error::Work;
use crate::{fence, usage};

/// Most leases that expire in one transaction.
const EXPIRE_AT_ONCE: i64 = 500;

const COLUMNS: &str = "id, day, run_id, agent_id, checkpoint, provider, model, upper_bound, \
     priced, created_at, expires_at";

#[async_trait]
impl UsageCounter for SqliteStore {
    async fn reserve(&self, lease: &Lease, caps: &Caps) -> Result<Admission> {
        let (lease, caps) = (lease.clone(), *caps);
        self.write(move |tx| reserve(tx, &lease, &caps)).await
    }

    async fn settle(&self, row: &UsageRow) -> Result<()> {
        let row = row.clone();
        self.write(move |tx| settle(tx, &row)).await
    }

    async fn release(&self, lease_id: Uuid) -> Result<()> {
        self.write(move |tx| end(tx, lease_id).map(drop)).await
    }

    async fn expire(&self, now: Timestamp) -> Result<u64> {
        // Mostly there is nothing to do, which takes no lock to see.
        if self.read(move |connection| due(connection, now, 1)).await?.is_empty() {
            return Ok(0);
        }
        self.write(move |tx| {
            let due = due(tx, now, EXPIRE_AT_ONCE)?;
            for lease in &due {
                settle(tx, &lease.expired(now))?;
            }
            Ok(due.len().try_into().unwrap_or(u64::MAX))
        })
        .await
    }

    async fn day_use(&self, day: Date) -> Result<DayUse> {
        self.read(move |connection| day_use(connection, day)).await
    }

    fn health(&self) -> Counter {
        Counter::healthy("sqlite")
    }
}

fn reserve(connection: &Connection, lease: &Lease, caps: &Caps) -> Work<Admission> {
    let promised = fence::promised(connection, lease.created_at)?;
    let day = day_use(connection, lease.day)?;
    let seen = DayUse { reserved: day.reserved + promised, ..day };
    match admit(caps, &seen, &lease.totals()) {
        Admission::Refused { .. } if exists(connection, lease.id)? => {
            Ok(Admission::Admitted { degraded: caps.soft_reached(&seen) })
        }
        Admission::Admitted { degraded } => {
            if insert(connection, lease)? {
                let reserved = day.reserved + lease.totals();
                days::put_day_use(connection, lease.day, &DayUse { reserved, ..day })?;
            }
            Ok(Admission::Admitted { degraded })
        }
        refused => Ok(refused),
    }
}

/// Ends the lease of the row's id, if there is one, and books the row.
fn settle(connection: &Connection, row: &UsageRow) -> Work<()> {
    let ended = take(connection, row.id)?;
    let booked = usage::book(connection, row)?;
    // Mostly of one day: its sums are written once.
    if let Some(lease) = &ended
        && lease.day != row.day
    {
        change(connection, lease.day, |day| day.reserved = day.reserved - lease.totals())?;
    }
    let here = ended.filter(|lease| lease.day == row.day);
    if booked.is_some() || here.is_some() {
        change(connection, row.day, |day| {
            if let Some(lease) = &here {
                day.reserved = day.reserved - lease.totals();
            }
            if let Some(more) = booked {
                day.settled = day.settled + more;
                day.version += 1;
            }
        })?;
    }
    Ok(())
}

/// Ends a lease without a row.
fn end(connection: &Connection, id: Uuid) -> Work<()> {
    match take(connection, id)? {
        Some(lease) => {
            change(connection, lease.day, |day| day.reserved = day.reserved - lease.totals())
        }
        None => Ok(()),
    }
}

/// Writes a lease beside the others, unless it has ended in a row.
pub(crate) fn hand_over(connection: &Connection, lease: &Lease) -> Work<()> {
    if usage::exists(connection, lease.id)? || !insert(connection, lease)? {
        return Ok(());
    }
    change(connection, lease.day, |day| day.reserved = day.reserved + lease.totals())
}

/// False when there is one of this id already.
fn insert(connection: &Connection, lease: &Lease) -> Work<bool> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO leases VALUES (:id, :day, :run_id, :agent_id, :checkpoint, :provider, :model, \
             :upper_bound, :priced, :created_at, :expires_at) \
         ON CONFLICT (id) DO NOTHING",
    )?;
    let inserted = statement.execute(named_params! {
        ":id": lease.id.as_bytes(),
        ":day": lease.day.to_string(),
        ":run_id": lease.run_id,
        ":agent_id": lease.agent_id,
        ":checkpoint": lease.checkpoint,
        ":provider": lease.provider,
        ":model": lease.model,
        ":upper_bound": lease.upper_bound.0,
        ":priced": lease.priced,
        ":created_at": Micros(lease.created_at),
        ":expires_at": Micros(lease.expires_at),
    })?;
    Ok(inserted == 1)
}

fn exists(connection: &Connection, id: Uuid) -> Work<bool> {
    let mut statement = connection.prepare_cached("SELECT 1 FROM leases WHERE id = ?1")?;
    Ok(statement.exists([id.as_bytes()])?)
}

fn take(connection: &Connection, id: Uuid) -> Work<Option<Lease>> {
    let sql = format!("DELETE FROM leases WHERE id = ?1 RETURNING {COLUMNS}");
    let mut statement = connection.prepare_cached(&sql)?;
    Ok(statement.query_row([id.as_bytes()], lease).optional()?)
}

fn due(connection: &Connection, now: Timestamp, most: i64) -> Work<Vec<Lease>> {
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
        day: days::date(row, 1)?,
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
