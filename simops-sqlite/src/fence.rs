//! Where calls are counted, and the processes that count in Redis.

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::{Connection, Row, named_params, params};
use simops::Result;
use simops::usage::{DayTotals, Fence, FenceStore, Lease, Member};
use uuid::Uuid;

use crate::SqliteStore;
use crate::codec::{Micros, Word};
use crate::days::totals;
use crate::error::Work;
use crate::leases::{self, hand_over};

#[async_trait]
impl FenceStore for SqliteStore {
    async fn fence(&self) -> Result<Fence> {
        self.read(fence).await
    }

    async fn move_fence(&self, from: u64, to: &Fence) -> Result<bool> {
        let to = to.clone();
        self.write(move |tx| {
            let mut statement = tx.prepare_cached(
                "UPDATE fence SET generation = ?1, counted_in = ?2, redis = ?3, since = ?4, \
                     reason = ?5 WHERE generation = ?6",
            )?;
            let moved = statement.execute(params![
                to.generation,
                Word(to.counted_in),
                to.redis,
                Micros(to.since),
                to.reason,
                from
            ])? == 1;
            if moved {
                tx.tell_watchers();
            }
            Ok(moved)
        })
        .await
    }

    async fn confirm(&self, member: &Member, open: &[Lease]) -> Result<Fence> {
        let (member, open) = (member.clone(), open.to_vec());
        self.write(move |tx| {
            for lease in &open {
                hand_over(tx, lease)?;
            }
            put_member(tx, &member)?;
            fence(tx)
        })
        .await
    }

    async fn forget_member(&self, id: Uuid) -> Result<()> {
        self.write(move |tx| {
            tx.prepare_cached("DELETE FROM members WHERE id = ?1")?.execute([id.as_bytes()])?;
            Ok(())
        })
        .await
    }

    async fn members(&self) -> Result<Vec<Member>> {
        self.read(members).await
    }

    async fn open_leases(&self) -> Result<Vec<Lease>> {
        self.read(leases::all).await
    }
}

/// What members that are behind may hold.
///
/// # Errors
/// When calls are not counted here.
pub(crate) fn promised(connection: &Connection, now: Timestamp) -> Work<DayTotals> {
    let fence = fence(connection)?;
    fence.check_counted_in_database()?;
    // Without Redis there has never been a move, nor a member.
    if fence.generation == 0 {
        return Ok(DayTotals::default());
    }
    Ok(fence.promised(&members(connection)?, now))
}

fn fence(connection: &Connection) -> Work<Fence> {
    let mut statement = connection.prepare_cached(
        "SELECT generation, counted_in, namespace, redis, since, reason FROM fence",
    )?;
    Ok(statement.query_row([], |row| {
        Ok(Fence {
            generation: row.get(0)?,
            counted_in: row.get::<_, Word<_>>(1)?.0,
            namespace: row.get(2)?,
            redis: row.get(3)?,
            since: row.get::<_, Micros>(4)?.0,
            reason: row.get(5)?,
        })
    })?)
}

fn members(connection: &Connection) -> Work<Vec<Member>> {
    let mut statement = connection.prepare_cached(
        "SELECT id, generation, until, calls_total, calls_openrouter_free, calls_groq, \
             calls_gemini, calls_unpriced, cost FROM members ORDER BY id",
    )?;
    let members = statement.query_map([], member)?;
    Ok(members.collect::<rusqlite::Result<_>>()?)
}

fn member(row: &Row<'_>) -> rusqlite::Result<Member> {
    Ok(Member {
        id: Uuid::from_bytes(row.get(0)?),
        generation: row.get(1)?,
        until: row.get::<_, Micros>(2)?.0,
        promise: totals(row, 3)?,
    })
}

fn put_member(connection: &Connection, member: &Member) -> Work<()> {
    let Member { id, generation, promise, until } = member;
    let mut statement = connection.prepare_cached(
        "INSERT OR REPLACE INTO members (id, generation, until, calls_total, \
             calls_openrouter_free, calls_groq, calls_gemini, calls_unpriced, cost) \
         VALUES (:id, :generation, :until, :calls_total, :calls_openrouter_free, :calls_groq, \
             :calls_gemini, :calls_unpriced, :cost)",
    )?;
    statement.execute(named_params! {
        ":id": id.as_bytes(),
        ":generation": generation,
        ":until": Micros(*until),
        ":calls_total": promise.calls_total,
        ":calls_openrouter_free": promise.calls_openrouter_free,
        ":calls_groq": promise.calls_groq,
        ":calls_gemini": promise.calls_gemini,
        ":calls_unpriced": promise.calls_unpriced,
        ":cost": promise.cost.0,
    })?;
    Ok(())
}
