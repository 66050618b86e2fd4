//! What an operator wants to know of a database before relying on it.

use jiff::{SignedDuration, Timestamp};
use simops::Result;
use sqlx::Row;

use crate::PostgresStore;
use crate::codec::Micros;

/// What a database says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Examination {
    /// The server's version, as it spells it.
    pub server_version: String,
    /// The schema's version.
    pub schema_version: i64,
    /// How far the server's clock is ahead of ours.
    pub clock_ahead: SignedDuration,
    /// Connections that the server grants to all.
    pub server_connections: i64,
    /// Those in use now, by anybody.
    pub server_connections_used: i64,
    /// Connections that one process of simops takes at most.
    pub pool_connections: u32,
    /// Whether a pooler in transaction mode stands between.
    pub pooled: bool,
    /// Whether notifications arrive.
    pub notified: bool,
    /// Whether a commit that is acknowledged is on disk: `fsync` and `synchronous_commit`.
    pub durable: bool,
    /// Bytes of the database.
    pub bytes: i64,
}

impl PostgresStore {
    /// Asks the database about itself.
    ///
    /// # Errors
    /// `Unavailable` when it is away.
    pub async fn examine(&self) -> Result<Examination> {
        self.base
            .look(|mut connection| async move {
                let asked = Timestamp::now();
                let row = sqlx::query(
                    "SELECT current_setting('server_version'), \
                         (SELECT version::bigint FROM simops_schema), clock_timestamp(), \
                         current_setting('max_connections')::bigint, \
                         (SELECT count(*) FROM pg_stat_activity \
                             WHERE backend_type = 'client backend'), \
                         current_setting('fsync') = 'on' \
                             AND current_setting('synchronous_commit') NOT IN ('off'), \
                         pg_database_size(current_database())",
                )
                .fetch_one(&mut *connection)
                .await?;
                let answered = Timestamp::now();
                let there = row.try_get::<Micros, _>(2)?.0;
                // Read about half way between question and answer.
                let here = asked + answered.duration_since(asked) / 2;
                let found = Examination {
                    server_version: row.try_get(0)?,
                    schema_version: row.try_get(1)?,
                    clock_ahead: there.duration_since(here),
                    server_connections: row.try_get(3)?,
                    server_connections_used: row.try_get(4)?,
                    pool_connections: self.base.connections.max(),
                    pooled: self.base.connections.pooled(),
                    notified: self.direct,
                    durable: row.try_get(5)?,
                    bytes: row.try_get(6)?,
                };
                Ok((connection, found))
            })
            .await
    }
}
