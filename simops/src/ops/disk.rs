//! The disk of the database: what visitors' events leave free for run control.

use std::time::Duration;

use super::Ops;
use crate::store::DiskSpace;
use crate::{Error, Result};

/// The bytes on disk that one byte of a request with visitors' events may take: rows and indexes, in
/// the log and in the database.
const BYTES_PER_BYTE: u64 = 4;
/// When to send refused events again.
const RETRY_AFTER: Duration = Duration::from_secs(30);

impl Ops {
    /// The file system that holds the database; `None` if the store cannot tell, as on Postgres.
    pub fn disk_space(&self) -> Option<DiskSpace> {
        self.store.disk_space()
    }

    /// Checks that requests with visitors' events of `bytes` fit on the disk of the database, without
    /// the reserve that is kept for run control.
    ///
    /// # Errors
    /// Returns `Unavailable` when they do not fit.
    pub fn check_room_for_visits(&self, bytes: u64) -> Result<()> {
        let Some(disk) = self.disk_space() else { return Ok(()) };
        let reserve = self.options.visits_disk_reserve.unwrap_or_else(|| disk.default_reserve());
        if reserve == 0 || disk.room(reserve) > bytes.saturating_mul(BYTES_PER_BYTE) {
            return Ok(());
        }
        let (free, kept) = (disk.free_bytes >> 20, (reserve + disk.log_bytes) >> 20);
        let detail = format!(
            "the disk of the database is nearly full ({free} MiB free): visitors' events are \
             refused so that {kept} MiB are left for run control; nothing was recorded, send them \
             again later"
        );
        Err(Error::unavailable(detail).with_retry_after(RETRY_AFTER))
    }
}
