//! Opens connections, and replaces those that failed.

use std::cell::Cell;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use simops::output::create_file;
use simops::{Error, ErrorKind};

use crate::SqliteOptions;
use crate::error::{Failure, Work};
use crate::location::Location;
use crate::migrate;

/// The write-ahead log is truncated to this size when it is written from its start again.
const MAX_LOG_BYTES: i64 = 16 << 20;
/// Page cache of a connection, in KiB. Writes append to their trees, so a cache larger than the
/// processor's would only cause cache misses.
const CACHE_KIB: i64 = 8 << 10;
/// Capacity of the statement cache: more than the store has.
const STATEMENT_CACHE: usize = 64;
/// The most pages that SQLite allows.
const MAX_PAGES: u64 = 4_294_967_294;
/// How long processes that create the same database wait for each other.
const CREATE_TIMEOUT: Duration = Duration::from_secs(10);

/// How often to try a lock that another process holds. SQLite's own busy handler waits up to 100 ms
/// between two attempts: while other processes write all the time, it can miss every moment in
/// which the lock is free.
const LOCK_POLL_INTERVAL: Duration = Duration::from_millis(1);

thread_local! {
    /// How long this thread waits for a lock, and the end of the present wait. SQLite tells its
    /// busy handler neither; a connection is used by the thread that opened it.
    static LOCK_WAIT: Cell<(Duration, Option<Instant>)> = const { Cell::new((Duration::ZERO, None)) };
    /// The length of the write-ahead log after the last commit of this thread, in pages.
    static LOG_PAGES: Cell<u32> = const { Cell::new(0) };
}

/// The length of the write-ahead log after the last commit of this thread, in pages.
pub(crate) fn log_pages() -> u32 {
    LOG_PAGES.get()
}

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Writer,
    Reader,
}

/// Opens the connection that writes, and creates and migrates the database if `options` say so. Waits
/// for another process that migrates it, until `closed`.
pub(crate) fn create(
    location: &Location,
    options: &SqliteOptions,
    closed: &AtomicBool,
) -> Work<Connection> {
    if let (Location::File(path), true) = (location, options.read_only || !options.migrate) {
        let connection = reopen(path, Role::Writer, options)?;
        migrate::check_newer(&connection)?;
        return Ok(connection);
    }
    let connection = match location {
        Location::Memory => Connection::open_in_memory()?,
        Location::File(path) => {
            // A new file is its owner's alone; SQLite gives its log the same permissions. A file that
            // exists keeps its own; other failures are reported when it is opened.
            let _ = create_file(path);
            open_file(
                path,
                OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
                options,
            )?
        }
    };
    // The database of another program is refused before anything in it changes, including its
    // journal mode.
    migrate::check_newer(&connection)?;
    if *location != Location::Memory {
        enable_wal(&connection)?;
    }
    prepare_writer(&connection, options)?;
    migrate::migrate(&connection, closed)?;
    Ok(connection)
}

/// Opens an existing database. Does not create one: an empty database in place of a missing one
/// would look like lost records.
fn reopen(path: &Path, role: Role, options: &SqliteOptions) -> Work<Connection> {
    if options.read_only {
        return read_only(path, options);
    }
    let flags = match role {
        Role::Writer => OpenFlags::SQLITE_OPEN_READ_WRITE,
        Role::Reader => OpenFlags::SQLITE_OPEN_READ_ONLY,
    };
    let connection = open_file(path, flags, options)?;
    migrate::check_reader(&connection)?;
    if role == Role::Writer {
        enable_wal(&connection)?;
        prepare_writer(&connection, options)?;
    }
    Ok(connection)
}

/// Opens a database read-only, also in a folder that cannot be written.
///
/// Reading a write-ahead log requires a shared-memory file in the same folder. Where that cannot be
/// created and there is no log, the file is complete and opened as immutable.
fn read_only(path: &Path, options: &SqliteOptions) -> Work<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
    let opened = open_file(path, flags, options).and_then(|connection| {
        migrate::check_reader(&connection)?;
        Ok(connection)
    });
    match opened {
        Err(failure) if failure.spoils_connection() && !has_log(path) => {
            let text = path.to_string_lossy();
            let text = text.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
            let frozen = format!("file:{text}?immutable=1");
            let flags = flags | OpenFlags::SQLITE_OPEN_URI;
            let connection = open_file(Path::new(&frozen), flags, options)?;
            migrate::check_reader(&connection)?;
            Ok(connection)
        }
        opened => opened,
    }
}

/// Whether a write-ahead log holds commits.
fn has_log(path: &Path) -> bool {
    log_bytes(path) > 0
}

/// The size of the write-ahead log.
fn log_bytes(path: &Path) -> u64 {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    std::fs::metadata(log).map_or(0, |log| log.len())
}

fn open_file(path: &Path, flags: OpenFlags, options: &SqliteOptions) -> Work<Connection> {
    // Each connection is used by one thread, so SQLite's mutexes are not needed.
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)
        .map_err(|error| cannot_open(path, error))?;
    // With its first statement, SQLite would delete the log of an empty file: commits of the database
    // that was here. Before the file is open, it could still be replaced.
    if std::fs::metadata(path).is_ok_and(|file| file.len() == 0) && has_log(path) {
        let detail = "the database file is empty, but its log is not: restore the file, or delete \
                      its -wal file too";
        return Err(Error::new(ErrorKind::Unusable, detail).into());
    }
    LOCK_WAIT.set((options.busy_timeout, None));
    connection.busy_handler(Some(wait_for_lock))?;
    connection.set_prepared_statement_cache_capacity(STATEMENT_CACHE);
    Ok(connection)
}

/// Runs `work`, which waits at most `timeout` for locks, on this thread.
pub(crate) fn with_lock_timeout<T>(timeout: Duration, work: impl FnOnce() -> T) -> T {
    let (usual, _) = LOCK_WAIT.get();
    LOCK_WAIT.set((usual.min(timeout), None));
    let done = work();
    LOCK_WAIT.set((usual, None));
    done
}

/// SQLite's busy handler: waits after an attempt to take a lock that is held. Returns whether to
/// try again.
fn wait_for_lock(earlier_attempts: i32) -> bool {
    let (timeout, end) = LOCK_WAIT.get();
    let now = Instant::now();
    let end = end.filter(|_| earlier_attempts > 0).unwrap_or(now + timeout);
    LOCK_WAIT.set((timeout, Some(end)));
    let waits = now < end;
    if waits {
        sleep(LOCK_POLL_INTERVAL);
    }
    waits
}

fn cannot_open(path: &Path, error: rusqlite::Error) -> Failure {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let detail = match folder {
        Some(folder) if !folder.exists() => "the database's folder does not exist",
        _ => "the database cannot be opened: check that the file and its folder may be written",
    };
    Error::unavailable(detail).with_source(error).into()
}

/// Enables the write-ahead log, which readers concurrent with a writer require.
fn enable_wal(connection: &Connection) -> Work<()> {
    let deadline = Instant::now() + CREATE_TIMEOUT;
    loop {
        // The busy handler is not called for the lock that this change takes.
        match connection
            .pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get::<_, String>(0))
        {
            Err(error) => {
                let failure = Failure::from(error);
                if !failure.is_locked() || Instant::now() > deadline {
                    return Err(failure);
                }
                sleep(Duration::from_millis(10));
            }
            Ok(mode) if mode == "wal" => return Ok(()),
            Ok(mode) => {
                let detail = format!(
                    "the database keeps its journal mode {mode}: its file system cannot share memory"
                );
                return Err(Error::unavailable(detail).into());
            }
        }
    }
}

fn prepare_writer(connection: &Connection, options: &SqliteOptions) -> Work<()> {
    connection.set_prepared_statement_cache_capacity(STATEMENT_CACHE);
    // FULL: acknowledged writes survive a power failure. NORMAL may lose the last commits.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.pragma_update(None, "journal_size_limit", MAX_LOG_BYTES)?;
    // In place of the hook with which SQLite checkpoints within commits.
    connection.wal_hook(Some(|_, pages| {
        LOG_PAGES.set(u32::try_from(pages).unwrap_or(0));
        Ok(())
    }));
    limit_size(connection, options.max_bytes)
}

/// Limits the size of the database to `max_bytes`.
pub(crate) fn limit_size(connection: &Connection, max_bytes: Option<u64>) -> Work<()> {
    let page = page_bytes(connection)?;
    let pages = max_bytes.map_or(MAX_PAGES, |bytes| bytes / page);
    let pages = pages.clamp(1, MAX_PAGES).cast_signed();
    connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))?;
    Ok(())
}

/// Runs `work`, in which the database grows to `max_bytes` at most: what needs more fails as on a full disk.
pub(crate) fn within_size<T>(
    connection: &mut Connection,
    max_bytes: u64,
    work: impl FnOnce(&mut Connection) -> Work<T>,
) -> Work<T> {
    let usual: i64 = connection.pragma_query_value(None, "max_page_count", |row| row.get(0))?;
    let limit = |connection: &Connection, pages: i64| {
        connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))
    };
    let pages = (max_bytes / page_bytes(connection)?).clamp(1, MAX_PAGES).cast_signed();
    // SQLite takes the present size in place of less.
    limit(connection, pages.min(usual))?;
    let done = work(connection);
    limit(connection, usual)?;
    done
}

/// The size of the database, with what is still in the log only.
pub(crate) fn database_bytes(connection: &Connection) -> Work<u64> {
    let pages: i64 = connection.pragma_query_value(None, "page_count", |row| row.get(0))?;
    Ok(pages.unsigned_abs() * page_bytes(connection)?)
}

fn page_bytes(connection: &Connection) -> Work<u64> {
    let bytes: i64 = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
    Ok(bytes.unsigned_abs().max(1))
}

/// What a checkpoint did.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Checkpoint {
    /// Whether it did all of its mode: other processes or readers may prevent that.
    pub(crate) is_whole: bool,
    /// Pages of the log that are copied.
    pub(crate) copied_pages: u32,
}

/// The connection of one thread.
///
/// It is opened on demand, and dropped after a failure or when its file is no longer the one at the
/// path. So an outage ends when its cause does.
pub(crate) struct Slot {
    location: Location,
    role: Role,
    options: SqliteOptions,
    connection: Option<(Connection, FileId)>,
}

impl Slot {
    pub(crate) fn new(location: &Location, role: Role, options: &SqliteOptions) -> Self {
        Self { location: location.clone(), role, options: options.clone(), connection: None }
    }

    /// The slot with an open connection.
    pub(crate) fn holding(mut self, connection: Connection) -> Self {
        let id = self.file_id();
        self.connection = Some((connection, id));
        self
    }

    /// The connection, reopened if necessary.
    pub(crate) fn get(&mut self) -> Work<&mut Connection> {
        let id = self.file_id();
        if self.connection.as_ref().is_some_and(|(_, opened)| *opened != id) {
            self.abandon();
        }
        let connection = match self.connection.take() {
            Some((connection, _)) => connection,
            None => match &self.location {
                Location::File(path) => reopen(path, self.role, &self.options)?,
                // Its content was lost with its connection.
                Location::Memory => return Err(Error::unavailable("the store is closed").into()),
            },
        };
        let (connection, _) = self.connection.insert((connection, id));
        Ok(connection)
    }

    /// Drops the connection if `failure` may have damaged it.
    pub(crate) fn after(&mut self, failure: &Failure) {
        if failure.spoils_connection() && self.location != Location::Memory {
            self.connection = None;
        }
    }

    /// Copies the log to the database, outside of transactions.
    pub(crate) fn checkpoint(&mut self, mode: &str) -> Work<Checkpoint> {
        let statement = format!("PRAGMA wal_checkpoint({mode})");
        let done = self.get().and_then(|connection| {
            Ok(connection.query_row(&statement, [], |row| {
                let copied_pages = u32::try_from(row.get::<_, i64>(2)?).unwrap_or(0);
                Ok(Checkpoint { is_whole: row.get::<_, i64>(0)? == 0, copied_pages })
            })?)
        });
        match &done {
            Ok(done) if done.is_whole && mode == "RESTART" => LOG_PAGES.set(0),
            Ok(_) => {}
            // A write reports the reason.
            Err(failure) => self.after(failure),
        }
        done
    }

    /// Drops a connection whose file has been deleted or replaced.
    fn abandon(&mut self) {
        if let Some((connection, _)) = self.connection.take() {
            tracing::warn!(
                code = "database_file_replaced",
                location = ?self.location,
                "database file moved or replaced; reopening"
            );
            // A checkpoint on close would delete the log of the new file at this path.
            let kept = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
            if let Err(error) = kept {
                tracing::warn!(code = "database_log_at_risk", %error, "cannot disable the checkpoint on close");
            }
        }
    }

    fn file_id(&self) -> FileId {
        match &self.location {
            Location::Memory => None,
            Location::File(path) => file_id(path),
        }
    }
}

/// Identifies the file at a path; `None` if there is none or the platform cannot tell.
type FileId = Option<(u64, u64)>;

#[cfg(unix)]
fn file_id(path: &Path) -> FileId {
    use std::os::unix::fs::MetadataExt;
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

#[cfg(not(unix))]
fn file_id(_path: &Path) -> FileId {
    None
}
