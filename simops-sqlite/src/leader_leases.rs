//! The leader lease.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, params};
use simops::Result;
use simops::store::{LeaderLease, LeaderLeaseStore};
use uuid::Uuid;

use crate::SqliteStore;
use crate::error::Work;

#[async_trait]
impl LeaderLeaseStore for SqliteStore {
    async fn leader_lease(&self, name: &str) -> Result<Option<LeaderLease>> {
        let name = name.to_owned();
        self.read(move |connection| leader_lease(connection, &name)).await
    }

    async fn replace_leader_lease(
        &self,
        seen: Option<&LeaderLease>,
        next: &LeaderLease,
    ) -> Result<bool> {
        let (seen, next) = (seen.cloned(), next.clone());
        self.write(move |tx| {
            if leader_lease(tx, &next.name)? != seen {
                return Ok(false);
            }
            let holder = next.holder.as_ref().map(Uuid::as_bytes);
            tx.prepare_cached("INSERT OR REPLACE INTO duties VALUES (?1, ?2, ?3, ?4)")?
                .execute(params![next.name, holder, next.fence, next.renewals])?;
            Ok(true)
        })
        .await
    }
}

pub(crate) fn leader_lease(connection: &Connection, name: &str) -> Work<Option<LeaderLease>> {
    let mut statement = connection
        .prepare_cached("SELECT duty, holder, fence, beat FROM duties WHERE duty = ?1")?;
    let found = statement.query_row([name], |row| {
        Ok(LeaderLease {
            name: row.get(0)?,
            holder: row.get::<_, Option<[u8; 16]>>(1)?.map(Uuid::from_bytes),
            fence: row.get(2)?,
            renewals: row.get(3)?,
        })
    });
    Ok(found.optional()?)
}
