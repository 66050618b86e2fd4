//! Connections: how they are opened, and a slot that replaces one that has gone bad.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use simops::Error;

use crate::SqliteOptions;
use crate::error::{Failure, Work};
use crate::location::Location;
use crate::migrate;

/// The log is cut back to this size after a burst.
const LOG_BYTES: i64 = 16 << 20;
/// Pages that a connection may keep, in KiB. What is written goes to the end of its tree: more pages than
/// the processor keeps near would only make each new one a cold one.
const CACHE_KIB: i64 = 8 << 10;
/// Statements kept prepared: more than the store has.
const STATEMENTS: usize = 64;
/// How long several processes that create one database wait for each other.
const CREATE_WITHIN: Duration = Duration::from_secs(10);

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Writer,
    Reader,
}

/// Opens the connection that writes, creating and migrating the database.
pub(crate) fn create(location: &Location, options: &SqliteOptions) -> Work<Connection> {
    if let (Location::File(path), true) = (location, options.read_only) {
        return read_only(path, options);
    }
    let connection = match location {
        Location::Memory => Connection::open_in_memory()?,
        Location::File(path) => open_file(
            path,
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
            options,
        )?,
    };
    // A stranger's database is refused before anything of it is changed, its journal mode too.
    migrate::identify(&connection)?;
    if *location != Location::Memory {
        keep_log(&connection)?;
    }
    prepare_writer(&connection, options)?;
    migrate::migrate(&connection)?;
    Ok(connection)
}

/// Opens a database that exists. Never creates one: an empty database in the place of one that
/// went missing would look like lost records.
fn reopen(path: &Path, role: Role, options: &SqliteOptions) -> Work<Connection> {
    if options.read_only {
        return read_only(path, options);
    }
    let flags = match role {
        Role::Writer => OpenFlags::SQLITE_OPEN_READ_WRITE,
        Role::Reader => OpenFlags::SQLITE_OPEN_READ_ONLY,
    };
    let connection = open_file(path, flags, options)?;
    migrate::check_current(&connection)?;
    if role == Role::Writer {
        keep_log(&connection)?;
        prepare_writer(&connection, options)?;
    }
    Ok(connection)
}

/// Opens a database that may not be written, perhaps not even its folder.
///
/// Reading the write-ahead log takes a file beside it. Where that cannot be made and there is no log,
/// the database is all in one file that nobody changes, and is read as such.
fn read_only(path: &Path, options: &SqliteOptions) -> Work<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
    let opened = open_file(path, flags, options).and_then(|connection| {
        migrate::check_current(&connection)?;
        Ok(connection)
    });
    match opened {
        Err(failure) if failure.spoils_connection() && !has_log(path) => {
            let text = path.to_string_lossy();
            let text = text.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
            let frozen = format!("file:{text}?immutable=1");
            let flags = flags | OpenFlags::SQLITE_OPEN_URI;
            let connection = open_file(Path::new(&frozen), flags, options)?;
            migrate::check_current(&connection)?;
            Ok(connection)
        }
        opened => opened,
    }
}

/// Whether commits wait in a write-ahead log beside the file.
fn has_log(path: &Path) -> bool {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    std::fs::metadata(log).is_ok_and(|log| log.len() > 0)
}

fn open_file(path: &Path, flags: OpenFlags, options: &SqliteOptions) -> Work<Connection> {
    // Every connection stays in one thread, so SQLite's own mutexes are not needed.
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)
        .map_err(|error| cannot_open(path, error))?;
    connection.busy_timeout(options.busy_timeout)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(connection)
}

fn cannot_open(path: &Path, error: rusqlite::Error) -> Failure {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let detail = match folder {
        Some(folder) if !folder.exists() => "the database's folder does not exist",
        _ => "the database cannot be opened: check that the file and its folder may be written",
    };
    Error::unavailable(detail).with_source(error).into()
}

/// Readers beside a writer need the write-ahead log.
fn keep_log(connection: &Connection) -> Work<()> {
    let deadline = Instant::now() + CREATE_WITHIN;
    loop {
        // SQLite does not wait by itself for the lock that this change takes.
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
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // FULL: what was acknowledged survives a loss of power; NORMAL may lose the last commits.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.pragma_update(None, "journal_size_limit", LOG_BYTES)?;
    limit_size(connection, options.max_bytes)
}

/// Lets the database grow to `max_bytes` at most.
pub(crate) fn limit_size(connection: &Connection, max_bytes: Option<u64>) -> Work<()> {
    // SQLite's own upper bound.
    const MOST_PAGES: u64 = 4_294_967_294;
    let page: i64 = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
    let pages = max_bytes.map_or(MOST_PAGES, |bytes| bytes / page.unsigned_abs().max(1));
    let pages = pages.clamp(1, MOST_PAGES).cast_signed();
    connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))?;
    Ok(())
}

/// The connection of one thread.
///
/// It is opened when it is needed and dropped when it has gone bad or its file is no longer the
/// one at the path; so an outage ends by itself when its cause does.
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

    /// The same slot with a connection that is open already.
    pub(crate) fn holding(mut self, connection: Connection) -> Self {
        let id = self.file_id();
        self.connection = Some((connection, id));
        self
    }

    /// The connection, opened anew if need be.
    pub(crate) fn get(&mut self) -> Work<&Connection> {
        let id = self.file_id();
        if self.connection.as_ref().is_some_and(|(_, opened)| *opened != id) {
            self.abandon();
        }
        let connection = match self.connection.take() {
            Some((connection, _)) => connection,
            None => match &self.location {
                Location::File(path) => reopen(path, self.role, &self.options)?,
                // Its content went with its connection.
                Location::Memory => return Err(Error::unavailable("the store is closed").into()),
            },
        };
        let (connection, _) = self.connection.insert((connection, id));
        Ok(connection)
    }

    /// Drops the connection if `failure` says that it may have gone bad.
    pub(crate) fn after(&mut self, failure: &Failure) {
        if failure.spoils_connection() && self.location != Location::Memory {
            self.connection = None;
        }
    }

    /// Drops a connection whose file has been deleted or replaced.
    fn abandon(&mut self) {
        if let Some((connection, _)) = self.connection.take() {
            tracing::warn!(location = ?self.location, "the database file was moved or replaced");
            // Closing would delete the log that now belongs to another file of the same name.
            let kept = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
            if let Err(error) = kept {
                tracing::warn!(%error, "the log of a moved database could not be kept");
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

/// Which file lies at a path; `None` when there is none, or no way to tell.
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
