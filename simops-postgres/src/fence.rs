//! Where calls are counted, and the processes that count in Redis.

use async_trait::async_trait;
use simops::Result;
use simops::usage::{Fence, FenceStore, Lease, Member};
use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use crate::PostgresStore;
use crate::codec::{Micros, Word};
use crate::counting::{self, Touched};
use crate::days::{sums, totals};
use crate::error::Work;
use crate::leases;
use crate::link::Link;

#[async_trait]
impl FenceStore for PostgresStore {
    async fn fence(&self) -> Result<Fence> {
        self.base
            .look(|mut connection| async move {
                let row = sqlx::query("SELECT * FROM fence").fetch_one(&mut *connection).await?;
                Ok((connection, fence(&row)?))
            })
            .await
    }

    async fn move_fence(&self, from: u64, to: &Fence) -> Result<bool> {
        self.base
            .write(|mut tx| async move {
                let moved = sqlx::query(
                    "UPDATE fence SET generation = $1, counted_in = $2, redis = $3, since = $4, \
                         reason = $5 WHERE generation = $6",
                )
                .bind(to.generation.cast_signed())
                .bind(Word(to.counted_in))
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

    async fn confirm(&self, member: &Member, open: &[Lease]) -> Result<Fence> {
        let by_time = self.base.ledger_by_time;
        self.base
            .write_known(|mut tx| async move {
                let fence = lock(&mut tx).await?;
                let mut touched = Touched::default();
                touched.ids.extend(open.iter().map(|lease| lease.id));
                touched.days.extend(open.iter().map(|lease| lease.day));
                if !open.is_empty() {
                    let mut books = counting::open(&mut tx, touched, &fence, by_time).await?;
                    open.iter().for_each(|lease| books.hand_over(lease));
                    counting::close(&mut tx, &books).await?;
                }
                put_member(&mut tx, member).await?;
                Ok((tx, fence))
            })
            .await
    }

    async fn forget_member(&self, id: Uuid) -> Result<()> {
        self.base
            .write_known(|mut tx| async move {
                sqlx::query("DELETE FROM members WHERE id = $1").bind(id).execute(&mut *tx).await?;
                Ok((tx, ()))
            })
            .await
    }

    async fn members(&self) -> Result<Vec<Member>> {
        self.base
            .look(|mut connection| async move {
                let members = members(&mut connection).await?;
                Ok((connection, members))
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
}

/// The fence, its row locked until the transaction ends.
pub(crate) async fn lock(connection: &mut Link) -> Work<Fence> {
    let row = sqlx::query("SELECT * FROM fence FOR NO KEY UPDATE").fetch_one(connection).await?;
    Ok(fence(&row)?)
}

fn fence(row: &PgRow) -> sqlx::Result<Fence> {
    Ok(Fence {
        generation: row.try_get::<i64, _>("generation")?.cast_unsigned(),
        counted_in: row.try_get::<Word<_>, _>("counted_in")?.0,
        namespace: row.try_get("namespace")?,
        redis: row.try_get("redis")?,
        since: row.try_get::<Micros, _>("since")?.0,
        reason: row.try_get("reason")?,
    })
}

/// All members by id.
pub(crate) async fn members(connection: &mut Link) -> Work<Vec<Member>> {
    let rows = sqlx::query(
        "SELECT calls_total, calls_openrouter_free, calls_groq, calls_gemini, calls_unpriced, \
             cost, id, generation, until FROM members ORDER BY id",
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.iter().map(member).collect::<sqlx::Result<_>>()?)
}

fn member(row: &PgRow) -> sqlx::Result<Member> {
    Ok(Member {
        id: row.try_get("id")?,
        generation: row.try_get::<i64, _>("generation")?.cast_unsigned(),
        until: row.try_get::<Micros, _>("until")?.0,
        promise: totals(row, 0)?,
    })
}

async fn put_member(connection: &mut Link, member: &Member) -> Work<()> {
    let mut query = sqlx::query(
        "INSERT INTO members (id, generation, until, calls_total, calls_openrouter_free, \
             calls_groq, calls_gemini, calls_unpriced, cost) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) \
         ON CONFLICT (id) DO UPDATE SET generation = $2, until = $3, calls_total = $4, \
             calls_openrouter_free = $5, calls_groq = $6, calls_gemini = $7, calls_unpriced = $8, \
             cost = $9",
    )
    .bind(member.id)
    .bind(member.generation.cast_signed())
    .bind(Micros(member.until));
    for sum in sums(&member.promise) {
        query = query.bind(sum);
    }
    query.execute(connection).await?;
    Ok(())
}
