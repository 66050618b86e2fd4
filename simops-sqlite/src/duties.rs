//! Duties.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, params};
use simops::Result;
use simops::store::{LeaderLease, LeaderLeaseStore};
use uuid::Uuid;

use crate::SqliteStore;
use crate::error::Work;

#[async_trait]
impl LeaderLeaseStore for SqliteStore {
    async fn tenure(&self, duty: &str) -> Result<Option<LeaderLease>> {
        let duty = duty.to_owned();
        self.read(move |connection| tenure(connection, &duty)).await
    }

    async fn replace_leader_lease(
        &self,
        seen: Option<&LeaderLease>,
        next: &LeaderLease,
    ) -> Result<bool> {
        let (seen, next) = (seen.cloned(), next.clone());
        self.write(move |tx| {
            if tenure(tx, &next.duty)? != seen {
                return Ok(false);
            }
            let holder = next.holder.as_ref().map(Uuid::as_bytes);
            tx.prepare_cached("INSERT OR REPLACE INTO duties VALUES (?1, ?2, ?3, ?4)")?
                .execute(params![next.duty, holder, next.fence, next.beat])?;
            Ok(true)
        })
        .await
    }
}

pub(crate) fn tenure(connection: &Connection, duty: &str) -> Work<Option<LeaderLease>> {
    let mut statement = connection
        .prepare_cached("SELECT duty, holder, fence, beat FROM duties WHERE duty = ?1")?;
    let found = statement.query_row([duty], |row| {
        Ok(LeaderLease {
            duty: row.get(0)?,
            holder: row.get::<_, Option<[u8; 16]>>(1)?.map(Uuid::from_bytes),
            fence: row.get(2)?,
            beat: row.get(3)?,
        })
    });
    Ok(found.optional()?)
}
