//! How a store uses its database.

use std::time::Duration;

/// How a store uses its database. The defaults suit one machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqliteOptions {
    /// Connections that read beside the writer.
    pub readers: usize,
    /// How long to wait for a lock that another process holds.
    pub busy_timeout: Duration,
    /// How long a caller waits for an answer before it is told that the database is away.
    pub answer_within: Duration,
    /// How often to look for commits of other processes.
    pub look_every: Duration,
    /// Calls that may wait for the writer, and as many for the readers; more are refused.
    pub waiting: usize,
    /// Whether the database is only read: it is neither created nor migrated, and writes fail.
    pub read_only: bool,
    /// So many visitors' events are remembered before they are folded into the trees on disk, and
    /// as many may have to be read by a process that begins to record. At least 1.
    pub kpi_tail: usize,
    /// The database grows no further than so many bytes; beyond, it is as if the disk were full.
    pub max_bytes: Option<u64>,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self {
            readers: 4,
            busy_timeout: Duration::from_secs(2),
            answer_within: Duration::from_secs(10),
            look_every: Duration::from_millis(50),
            waiting: 4096,
            read_only: false,
            kpi_tail: 1 << 18,
            max_bytes: None,
        }
    }
}
