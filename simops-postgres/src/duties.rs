//! Duties.

use async_trait::async_trait;
use simops::Result;
use simops::store::{LeaderLease, LeaderLeaseStore};
use sqlx::Row;
use sqlx::postgres::PgRow;

use crate::PostgresStore;

#[async_trait]
impl LeaderLeaseStore for PostgresStore {
    async fn tenure(&self, duty: &str) -> Result<Option<LeaderLease>> {
        self.base
            .look(|mut connection| async move {
                let row = sqlx::query("SELECT * FROM duties WHERE duty = $1").bind(duty);
                let row = row.fetch_optional(&mut *connection).await?;
                Ok((connection, row.as_ref().map(tenure).transpose()?))
            })
            .await
    }

    async fn replace_leader_lease(
        &self,
        seen: Option<&LeaderLease>,
        next: &LeaderLease,
    ) -> Result<bool> {
        self.base
            .write(|mut tx| async move {
                // Of rivals the later one waits for the row, and then finds it moved.
                let query = match seen {
                    None => sqlx::query(
                        "INSERT INTO duties (duty, holder, fence, beat) VALUES ($1, $2, $3, $4) \
                         ON CONFLICT (duty) DO NOTHING",
                    ),
                    Some(_) => sqlx::query(
                        "UPDATE duties SET holder = $2, fence = $3, beat = $4 WHERE duty = $1 \
                         AND holder IS NOT DISTINCT FROM $5 AND fence = $6 AND beat = $7",
                    ),
                };
                let mut query = query
                    .bind(&next.duty)
                    .bind(next.holder)
                    .bind(next.fence.cast_signed())
                    .bind(next.beat.cast_signed());
                if let Some(seen) = seen {
                    query = query
                        .bind(seen.holder)
                        .bind(seen.fence.cast_signed())
                        .bind(seen.beat.cast_signed());
                }
                let moved = query.execute(&mut *tx).await?.rows_affected() == 1;
                Ok((tx, moved))
            })
            .await
    }
}

fn tenure(row: &PgRow) -> sqlx::Result<LeaderLease> {
    Ok(LeaderLease {
        duty: row.try_get("duty")?,
        holder: row.try_get("holder")?,
        fence: row.try_get::<i64, _>("fence")?.cast_unsigned(),
        beat: row.try_get::<i64, _>("beat")?.cast_unsigned(),
    })
}
