//! Options of a store.

use std::time::Duration;

/// Options of a store. The defaults suit a few processes on one Postgres.
#[derive(Clone)]
pub struct PostgresOptions {
    /// The URL past a pooler, for migrations and notifications. If it is set, the main URL is assumed
    /// to be that of a pooler.
    pub direct_url: Option<String>,
    /// Whether to migrate an empty database or an older schema. Otherwise an older schema is read as it
    /// is, and takes no writes.
    pub migrate: bool,
    /// Maximum connections, without four: one listens for notifications, one cancels statements, two
    /// are kept for run control.
    pub max_connections: u32,
    /// How long to wait for a free connection, and for a new one.
    pub acquire_timeout: Duration,
    /// How long a call waits for its result before it fails as `Unavailable`. The server cancels
    /// statements after the same time.
    pub call_timeout: Duration,
    /// Interval of polling for changes that were not notified.
    pub poll_interval: Duration,
    /// Interval of polling while notifications do not arrive, as behind a pooler without `direct_url`.
    pub poll_interval_unnotified: Duration,
    /// Maximum calls that wait for a connection. Further ones are refused.
    pub max_waiting: usize,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self {
            direct_url: None,
            migrate: true,
            max_connections: 10,
            acquire_timeout: Duration::from_secs(3),
            call_timeout: Duration::from_secs(10),
            poll_interval: Duration::from_secs(1),
            poll_interval_unnotified: Duration::from_millis(100),
            max_waiting: 1024,
        }
    }
}

impl std::fmt::Debug for PostgresOptions {
    /// Omits URLs, which may hold a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresOptions")
            .field("has_direct_url", &self.direct_url.is_some())
            .field("max_connections", &self.max_connections)
            .field("acquire_timeout", &self.acquire_timeout)
            .field("call_timeout", &self.call_timeout)
            .finish_non_exhaustive()
    }
}
