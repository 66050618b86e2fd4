//! The leader lease.

use async_trait::async_trait;
use simops::Result;
use simops::store::{LeaderLease, LeaderLeaseStore};
use sqlx::Row;
use sqlx::postgres::PgRow;

use crate::PostgresStore;

#[async_trait]
impl LeaderLeaseStore for PostgresStore {
    async fn leader_lease(&self, name: &str) -> Result<Option<LeaderLease>> {
        self.base
            .look(|mut connection| async move {
                let row = sqlx::query("SELECT * FROM duties WHERE duty = $1").bind(name);
                let row = row.fetch_optional(&mut *connection).await?;
                Ok((connection, row.as_ref().map(leader_lease).transpose()?))
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
                // Concurrent candidates queue on the row lock; the second one finds the row changed.
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
                    .bind(&next.name)
                    .bind(next.holder)
                    .bind(next.fence.cast_signed())
                    .bind(next.renewals.cast_signed());
                if let Some(seen) = seen {
                    query = query
                        .bind(seen.holder)
                        .bind(seen.fence.cast_signed())
                        .bind(seen.renewals.cast_signed());
                }
                let moved = query.execute(&mut *tx).await?.rows_affected() == 1;
                Ok((tx, moved))
            })
            .await
    }
}

fn leader_lease(row: &PgRow) -> sqlx::Result<LeaderLease> {
    Ok(LeaderLease {
        name: row.try_get("duty")?,
        holder: row.try_get("holder")?,
        fence: row.try_get::<i64, _>("fence")?.cast_unsigned(),
        renewals: row.try_get::<i64, _>("beat")?.cast_unsigned(),
    })
}
