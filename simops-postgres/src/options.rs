//! How a store uses its database.

use std::time::Duration;

/// How a store uses its database. The defaults suit a few processes on one Postgres.
#[derive(Clone)]
pub struct PostgresOptions {
    /// The address past any pooler, for migrations and notifications. With one, the other address
    /// is taken for that of a pooler.
    pub direct_url: Option<String>,
    /// Connections at most, but for the one that listens for notifications.
    pub max_connections: u32,
    /// How long to wait for a free connection, and as long for a new one.
    pub acquire_within: Duration,
    /// How long a caller waits for an answer before it is told that the database is away; the
    /// server gives up a statement after as long.
    pub answer_within: Duration,
    /// How often to look for changes that no notification told.
    pub look_every: Duration,
    /// How often to look for changes where no notification arrives: behind a pooler without
    /// `direct_url`.
    pub look_every_unnotified: Duration,
    /// Calls that may wait for a connection; more are refused at once.
    pub waiting: usize,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self {
            direct_url: None,
            max_connections: 10,
            acquire_within: Duration::from_secs(3),
            answer_within: Duration::from_secs(10),
            look_every: Duration::from_secs(1),
            look_every_unnotified: Duration::from_millis(100),
            waiting: 1024,
        }
    }
}

impl std::fmt::Debug for PostgresOptions {
    /// Shows no address: it may hold a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresOptions")
            .field("has_direct_url", &self.direct_url.is_some())
            .field("max_connections", &self.max_connections)
            .field("acquire_within", &self.acquire_within)
            .field("answer_within", &self.answer_within)
            .finish_non_exhaustive()
    }
}
