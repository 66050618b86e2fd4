//! The disk below a database.

/// The file system that holds a database, where the store can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskSpace {
    /// The bytes that may still be written.
    pub free_bytes: u64,
    /// The size of the file system.
    pub total_bytes: u64,
    /// The size of the write-ahead log, which the database may still grow by.
    pub log_bytes: u64,
}

impl DiskSpace {
    /// The bytes that are kept for run control unless the configuration says otherwise: 5 % of the file
    /// system, at most 256 MiB.
    pub fn default_reserve(&self) -> u64 {
        (self.total_bytes / 20).min(256 << 20)
    }

    /// The bytes that may be written while `reserve` is kept.
    pub fn room(&self, reserve: u64) -> u64 {
        self.free_bytes.saturating_sub(self.log_bytes).saturating_sub(reserve)
    }
}
