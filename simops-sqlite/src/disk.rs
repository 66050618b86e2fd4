//! The disk below the database: its free space, and a file that keeps space for run control.
//!
//! Next to the database lies a file without content that occupies some space, the reserve. When the
//! disk is full, the next commit of run control deletes it and uses its space. It is made again once
//! there is enough space.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use simops::store::DiskSpace;

use crate::location::Location;

/// The free space below which a disk counts as full. A commit of run control takes less.
const MIN_FREE_BYTES: u64 = 1 << 20;
/// The free space below which a transaction of many may fail for lack of it.
const SHORT_BYTES: u64 = 64 << 20;
/// The largest reserve: some thousand commits of run control, or the deletion of some ten thousand rows.
const MAX_RESERVE_BYTES: u64 = 8 << 20;
/// How often the reserve is looked at.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// The disk of a database in a file.
pub(crate) struct Disk {
    database: PathBuf,
    /// When the reserve was looked at.
    checked: Option<Instant>,
}

impl Disk {
    /// The disk of the database there; `None` for one in memory.
    pub(crate) fn of(location: &Location) -> Option<Self> {
        match location {
            Location::Memory => None,
            Location::File(path) => Some(Self { database: path.clone(), checked: None }),
        }
    }

    /// Its space; `None` if the system does not tell.
    pub(crate) fn space(&self) -> Option<DiskSpace> {
        let (free_bytes, total_bytes) = file_system(folder(&self.database))?;
        Some(DiskSpace { free_bytes, total_bytes, log_bytes: self.log_bytes() })
    }

    fn log_bytes(&self) -> u64 {
        fs::metadata(self.with_ending("-wal")).map_or(0, |log| log.len())
    }

    /// Whether the file of the log has less space than a commit of run control needs at most.
    pub(crate) fn log_is_small(&self) -> bool {
        self.log_bytes() < MIN_FREE_BYTES
    }

    /// Whether it is full.
    pub(crate) fn is_full(&self) -> bool {
        self.has_less_than(MIN_FREE_BYTES)
    }

    /// Whether it may be full soon.
    pub(crate) fn is_short(&self) -> bool {
        self.has_less_than(SHORT_BYTES)
    }

    fn has_less_than(&self, bytes: u64) -> bool {
        self.space().is_some_and(|space| space.free_bytes < bytes)
    }

    /// Deletes the reserve; whether there was one.
    pub(crate) fn release_reserve(&self) -> bool {
        let released = fs::remove_file(self.reserve()).is_ok();
        if released {
            tracing::warn!(
                code = "disk_reserve_released",
                "the disk of the database is full; its reserve is released for run control"
            );
        }
        released
    }

    /// Makes the reserve if it is missing and the disk has enough space. Does nothing more often than
    /// once a second.
    pub(crate) fn keep_reserve(&mut self) {
        if self.checked.is_some_and(|checked| checked.elapsed() < CHECK_INTERVAL) {
            return;
        }
        self.checked = Some(Instant::now());
        let path = self.reserve();
        let Some(space) = self.space().filter(|_| !path.exists()) else { return };
        let size = (space.total_bytes / 16).min(MAX_RESERVE_BYTES);
        if space.free_bytes >= 2 * size && !occupy(&path, size) {
            let _ = fs::remove_file(path);
        }
    }

    fn reserve(&self) -> PathBuf {
        self.with_ending("-reserve")
    }

    fn with_ending(&self, ending: &str) -> PathBuf {
        let mut path = self.database.clone().into_os_string();
        path.push(ending);
        path.into()
    }
}

fn folder(database: &Path) -> &Path {
    match database.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// The free bytes and the size of the file system of a folder.
#[cfg(unix)]
fn file_system(folder: &Path) -> Option<(u64, u64)> {
    let found = rustix::fs::statvfs(folder).ok()?;
    let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
    Some((bytes(found.f_bavail), bytes(found.f_blocks)))
}

#[cfg(not(unix))]
fn file_system(_: &Path) -> Option<(u64, u64)> {
    None
}

/// Makes a file that occupies `size` bytes; whether that was possible.
#[cfg(target_os = "linux")]
fn occupy(path: &Path, size: u64) -> bool {
    use std::os::unix::fs::OpenOptionsExt;
    let made = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let flags = rustix::fs::FallocateFlags::empty();
    made.is_ok_and(|file| rustix::fs::fallocate(&file, flags, 0, size).is_ok())
}

#[cfg(not(target_os = "linux"))]
fn occupy(_: &Path, _: u64) -> bool {
    false
}
