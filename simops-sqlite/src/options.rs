//! Options of a store.

use std::time::Duration;

/// Options of a store. The defaults suit one machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqliteOptions {
    /// Number of connections that read, without the one that is kept for run control.
    pub readers: usize,
    /// How long to wait for a lock of another process.
    pub busy_timeout: Duration,
    /// How long a call waits for its result before it fails as `Unavailable`.
    pub call_timeout: Duration,
    /// Interval of polling for commits of other processes.
    pub poll_interval: Duration,
    /// Maximum calls that wait for the writer, and for the readers. Further ones are refused.
    pub max_waiting: usize,
    /// Whether to create a missing database and migrate an older schema. Otherwise an older schema is
    /// read as it is, and takes no writes.
    pub migrate: bool,
    /// Whether to open the file read-only: it is neither created nor migrated, and writes fail.
    pub read_only: bool,
    /// Visitors' events that are buffered in memory before they are merged into the trees on disk. A
    /// process that begins to record reads as many. At least 1.
    pub kpi_write_buffer: usize,
    /// Maximum size of the database. Beyond it, writes fail as on a full disk.
    pub max_bytes: Option<u64>,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self {
            readers: 4,
            busy_timeout: Duration::from_secs(2),
            call_timeout: Duration::from_secs(10),
            poll_interval: Duration::from_millis(50),
            max_waiting: 4096,
            migrate: true,
            read_only: false,
            kpi_write_buffer: 1 << 18,
            max_bytes: None,
        }
    }
}
