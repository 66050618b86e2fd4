//! Leader leases.

use async_trait::async_trait;
use simops::Result;
use simops::store::sql::{LEADER_LEASE_COLUMNS, leader_lease};
use simops::store::{LeaderLease, LeaderLeaseStore};
use sqlx::AssertSqlSafe;

use crate::PostgresStore;

#[async_trait]
impl LeaderLeaseStore for PostgresStore {
    async fn leader_lease(&self, name: &str) -> Result<Option<LeaderLease>> {
        let statement = || {
            let sql = format!("SELECT {LEADER_LEASE_COLUMNS} FROM duties WHERE duty = $1");
            sqlx::query(AssertSqlSafe(sql)).bind(name)
        };
        self.base.fetch_optional(statement, |row| leader_lease(row)).await
    }

    async fn replace_leader_lease(
        &self,
        seen: Option<&LeaderLease>,
        next: &LeaderLease,
    ) -> Result<bool> {
        self.base
            .write(|mut tx| async move {
                // The later of two rivals waits for the row and then finds it changed.
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
