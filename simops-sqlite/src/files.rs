//! The files of a database on a disk, as the thread that writes looks after them: it limits the length of
//! the log and keeps space for run control.

use simops::Result;

use crate::SqliteOptions;
use crate::checkpoint::{Checkpointer, Restart};
use crate::connection::{Slot, database_bytes, log_pages};
use crate::disk::{Disk, MIN_FREE_BYTES};
use crate::location::Location;

/// From this length on, the log is begun again while the disk is short of space: 1 MiB.
const MAX_LOG_PAGES_WHEN_SHORT: u32 = 250;
/// How often space of the reserve is released for one checkpoint.
const MAX_ATTEMPTS: usize = 8;

/// The files of a database.
pub(crate) struct Files {
    disk: Disk,
    checkpointer: Checkpointer,
}

impl Files {
    /// The files of the database at `location`; `None` of one in memory, or that is only read.
    pub(crate) fn of(location: &Location, options: &SqliteOptions) -> Result<Option<Self>> {
        let Some(disk) = Disk::of(location).filter(|_| !options.read_only) else { return Ok(None) };
        let mut files = Self { disk, checkpointer: Checkpointer::start(location, options)? };
        files.disk.keep_reserve();
        Ok(Some(files))
    }

    /// How much space their disk has.
    pub(crate) fn disk(&self) -> &Disk {
        &self.disk
    }

    /// Whether the log takes no more commits but those of run control: the disk is full, and readers keep
    /// the log from being begun again.
    pub(crate) fn log_is_kept_for_control(&self) -> bool {
        self.disk.is_full() && log_pages() >= 2 * MAX_LOG_PAGES_WHEN_SHORT
    }

    /// To be called after a transaction, with the slot of the writer: limits the length of the log, and
    /// keeps space for run control.
    pub(crate) fn committed(&mut self, slot: &mut Slot) {
        let is_long = log_pages() >= MAX_LOG_PAGES_WHEN_SHORT && self.disk.is_short();
        if self.checkpointer.committed(slot, is_long) == Restart::NoSpace {
            self.begin_log_again(slot);
        }
        self.disk.keep_reserve();
    }

    /// Makes space for run control on a disk that is full: in the log, or else that of the reserve.
    pub(crate) fn make_space(&mut self, slot: &mut Slot) {
        if !self.begin_log_again(slot) || self.disk.log_is_small() {
            self.disk.release_reserve(MIN_FREE_BYTES);
        }
    }

    /// Begins the log again, with space of the reserve if the database must grow for that; whether that was
    /// possible.
    fn begin_log_again(&mut self, slot: &mut Slot) -> bool {
        for _ in 0..MAX_ATTEMPTS {
            match self.checkpointer.begin_log_again(slot) {
                Restart::Done => return true,
                Restart::NotDone => return false,
                Restart::NoSpace => {
                    let grown = slot.get().and_then(|connection| database_bytes(connection));
                    let lacking = grown.unwrap_or(0).saturating_sub(self.disk.database_bytes());
                    // It can be taken by others before the database grows.
                    if !self.disk.release_reserve(lacking.max(1)) {
                        return false;
                    }
                }
            }
        }
        false
    }

    /// Closes the writer's connection. The last one to close deletes the log, whose space is kept in the
    /// reserve then.
    pub(crate) fn close(self, slot: Slot) {
        let Self { disk, checkpointer } = self;
        drop(checkpointer);
        drop(slot);
        disk.keep_reserve_of_closed();
    }
}
