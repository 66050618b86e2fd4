//! Facts about a database server.

use jiff::{SignedDuration, Timestamp};
use simops::Result;
use sqlx::Row;

use crate::PostgresStore;
use crate::codec::Micros;

/// Facts about a database server and its configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerInfo {
    /// The server's version.
    pub server_version: String,
    /// The schema's version.
    pub schema_version: i64,
    /// How far the server's clock is ahead of this machine's.
    pub clock_ahead: SignedDuration,
    /// The maximum number of connections of the server.
    pub server_connections: i64,
    /// The number of connections in use, by all clients.
    pub server_connections_used: i64,
    /// The maximum number of connections of this store.
    pub pool_connections: u32,
    /// Whether connections pass a pooler in transaction mode.
    pub pooled: bool,
    /// Whether notifications arrive.
    pub notified: bool,
    /// Whether acknowledged commits are on disk: `fsync` and `synchronous_commit`.
    pub durable: bool,
    /// The size of the database in bytes.
    pub bytes: i64,
}

impl PostgresStore {
    /// Queries facts about the server.
    ///
    /// # Errors
    /// `Unavailable` if the server cannot be reached.
    pub async fn server_info(&self) -> Result<ServerInfo> {
        self.base
            .query(|mut connection| async move {
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
                // The server read its clock about half way between request and response.
                let here = asked + answered.duration_since(asked) / 2;
                let found = ServerInfo {
                    server_version: row.try_get(0)?,
                    schema_version: row.try_get(1)?,
                    clock_ahead: there.duration_since(here),
                    server_connections: row.try_get(3)?,
                    server_connections_used: row.try_get(4)?,
                    pool_connections: self.base.connections.max(),
                    pooled: self.base.connections.pooled(),
                    notified: self.is_notified,
                    durable: row.try_get(5)?,
                    bytes: row.try_get(6)?,
                };
                Ok((connection, found))
            })
            .await
    }
}
