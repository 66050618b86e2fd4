//! The disk below the database: its free space, and the space that is kept for run control.
//!
//! Space is kept in two places. The file of the log has more space than its length says: the next commits
//! go there, and no other program can take it. A file without content next to the database, the reserve,
//! is cut when the database itself must grow, or deleted when the log does not exist yet; it is made whole
//! again as soon as there is space.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use simops::store::DiskSpace;

use crate::location::Location;

/// The free space below which a disk counts as full. A commit of run control takes less.
pub(crate) const MIN_FREE_BYTES: u64 = 1 << 20;
/// The free space below which a transaction of many may fail for lack of it.
const SHORT_BYTES: u64 = 64 << 20;
/// The most space that is kept in each of the two places: some hundred commits of run control, or the
/// deletion of some ten thousand rows.
const MAX_RESERVE_BYTES: u64 = 8 << 20;
/// The smallest piece of space that is worth keeping.
const MIN_PIECE_BYTES: u64 = 64 << 10;
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
        occupied(&self.with_ending("-wal")) < MIN_FREE_BYTES
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

    /// The size up to which the database may grow while the disk is short of space: half of what is free is
    /// for the log.
    pub(crate) fn max_database_bytes(&self) -> u64 {
        let free = self.space().map_or(0, |space| space.free_bytes);
        self.database_bytes() + if free < MIN_FREE_BYTES { 0 } else { free / 2 }
    }

    /// The size of the database's file.
    pub(crate) fn database_bytes(&self) -> u64 {
        fs::metadata(&self.database).map_or(0, |file| file.len())
    }

    /// Releases `bytes` of the file that keeps space, or all that it has; whether it had any.
    pub(crate) fn release_reserve(&mut self, bytes: u64) -> bool {
        let path = self.reserve();
        let had = fs::metadata(&path).map_or(0, |file| file.len());
        if had == 0 {
            return false;
        }
        let left = had.saturating_sub(bytes) / MIN_PIECE_BYTES * MIN_PIECE_BYTES;
        let released = if left == 0 {
            fs::remove_file(&path)
        } else {
            fs::OpenOptions::new().write(true).open(&path).and_then(|file| file.set_len(left))
        };
        // What is not needed is kept again.
        self.checked = None;
        let left_kib = left >> 10;
        tracing::warn!(
            code = "disk_reserve_released",
            left_kib,
            "the disk of the database is full; space of its reserve is released for run control"
        );
        released.is_ok()
    }

    /// Keeps space in the log and in a file, of what is free. Does nothing more often than once a second.
    pub(crate) fn keep_reserve(&mut self) {
        if self.checked.is_some_and(|checked| checked.elapsed() < CHECK_INTERVAL) {
            return;
        }
        self.checked = Some(Instant::now());
        self.keep_now();
    }

    /// The same when the database has been closed.
    pub(crate) fn keep_reserve_of_closed(&self) {
        if !self.with_ending("-wal").exists() {
            self.keep_now();
        }
    }

    fn keep_now(&self) {
        let log = fs::OpenOptions::new().write(true).open(self.with_ending("-wal"));
        if let (Ok(log), Some(space)) = (log, self.space()) {
            keep(&log, &space, space.free_bytes / 2, Length::Kept);
        }
        if let Some(space) = self.space() {
            let path = self.reserve();
            let made = create(&path).is_ok_and(|file| {
                keep(&file, &space, space.free_bytes, Length::Grown);
                file.metadata().is_ok_and(|file| file.len() > 0)
            });
            if !made {
                let _ = fs::remove_file(path);
            }
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

/// Opens a file that its owner alone may read, and creates it if necessary.
fn create(path: &Path) -> std::io::Result<File> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// The bytes on disk that a file occupies; 0 if there is none.
#[cfg(unix)]
fn occupied(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |file| occupied_by(&file))
}

#[cfg(unix)]
fn occupied_by(file: &fs::Metadata) -> u64 {
    // The unit does not depend on the file system.
    std::os::unix::fs::MetadataExt::blocks(file).saturating_mul(512)
}

#[cfg(not(unix))]
fn occupied(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |file| file.len())
}

/// What happens to the length of a file for which space is kept.
#[derive(Clone, Copy)]
enum Length {
    Kept,
    Grown,
}

/// Lets a file occupy as much of `free` bytes as it lacks. Where the file system cannot do that, nothing
/// is kept.
#[cfg(target_os = "linux")]
fn keep(file: &File, space: &DiskSpace, free: u64, length: Length) {
    use rustix::fs::{FallocateFlags, fallocate};

    let Ok(metadata) = file.metadata() else { return };
    let (has, wanted) = (occupied_by(&metadata), (space.total_bytes / 16).min(MAX_RESERVE_BYTES));
    let piece = wanted.saturating_sub(has).min(free) / MIN_PIECE_BYTES * MIN_PIECE_BYTES;
    let flags = match length {
        Length::Kept => FallocateFlags::KEEP_SIZE,
        Length::Grown => FallocateFlags::empty(),
    };
    if piece > 0 {
        // Without success the space is not kept, and the file stays as it is.
        let _ = fallocate(file, flags, 0, has + piece);
    }
}

#[cfg(not(target_os = "linux"))]
fn keep(_: &File, _: &DiskSpace, _: u64, _: Length) {}
