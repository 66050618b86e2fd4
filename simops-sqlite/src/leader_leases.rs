//! Leader leases.

use async_trait::async_trait;
use rusqlite::{Connection, params};
use simops::Result;
use simops::store::sql::{LEADER_LEASE_COLUMNS, leader_lease};
use simops::store::{LeaderLease, LeaderLeaseStore};
use uuid::Uuid;

use crate::SqliteStore;
use crate::codec::first;
use crate::error::Work;

#[async_trait]
impl LeaderLeaseStore for SqliteStore {
    async fn leader_lease(&self, name: &str) -> Result<Option<LeaderLease>> {
        let name = name.to_owned();
        self.read(move |connection| get(connection, &name)).await
    }

    async fn replace_leader_lease(
        &self,
        seen: Option<&LeaderLease>,
        next: &LeaderLease,
    ) -> Result<bool> {
        let (seen, next) = (seen.cloned(), next.clone());
        self.write(move |tx| {
            if get(tx, &next.name)? != seen {
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

/// The lease of that name.
pub(crate) fn get(connection: &Connection, name: &str) -> Work<Option<LeaderLease>> {
    let sql = format!("SELECT {LEADER_LEASE_COLUMNS} FROM duties WHERE duty = ?1");
    first(connection, &sql, [name], |row| leader_lease(row))
}
