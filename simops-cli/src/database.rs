//! Opening a database: at once and only if it exists for commands, patiently for workers.

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use simops::settings::Registry;
use simops::store::RunStore;
use simops::usage::{UsageCounter, open_counter};
use simops::{Error, SystemClock};
use simops_database::{Database, Kind};

use crate::args::Globals;
use crate::exit::Failure;
use crate::print;

/// Opens a database that exists.
pub(crate) async fn open(database: &Database) -> Result<Arc<dyn RunStore>, Failure> {
    not_in_memory(database)?;
    let path = database.path();
    if let Some(path) = path
        && matches!(path.try_exists(), Ok(false))
    {
        return Err(Failure::new(format!(
            "there is no database {}: simops-server and `simops-cli worker` create one; \
             --database-url names another, --url a server",
            path.display()
        )));
    }
    match database.open().await {
        Err(error) if path.is_some_and(is_read_only) => Err(Failure::new(format!(
            "{}; even to read it, a database that no other process has open must be writable: run \
             this as its owner, work on a copy, or name a server with --url",
            Failure::from(error)
        ))),
        opened => Ok(opened?),
    }
}

/// Opens a database that exists for a command that only reads: one that may not be written is read
/// as it is.
pub(crate) async fn open_to_read(database: &Database) -> Result<Arc<dyn RunStore>, Failure> {
    let opened = open(database).await;
    if opened.is_ok() || !database.path().is_some_and(Path::exists) {
        return opened;
    }
    match database.open_to_read().await {
        Ok(store) => Ok(store),
        // Why it cannot be opened as usual tells more.
        Err(_) => opened,
    }
}

/// Whether this user may read the file but not write it.
fn is_read_only(path: &Path) -> bool {
    let denied = |error: std::io::Error| error.kind() == ErrorKind::PermissionDenied;
    let written = OpenOptions::new().append(true).open(path);
    File::open(path).is_ok() && written.is_err_and(denied)
}

/// Opens a database, creates it if it is missing, and waits while it is away. `None` when
/// `shutdown` completes first.
pub(crate) async fn open_when_available(
    database: &Database,
    shutdown: impl Future<Output = ()>,
) -> Result<Option<Arc<dyn RunStore>>, Failure> {
    not_in_memory(database)?;
    let tell = |error: &Error| {
        let cause = std::error::Error::source(error).map(|cause| format!(" ({cause})"));
        let cause = cause.unwrap_or_default();
        print::note(&format!("the database is away, waiting for it: {error}{cause}"));
    };
    tokio::select! {
        store = database.open_when_available(tell) => Ok(Some(store?)),
        () = shutdown => Ok(None),
    }
}

/// Where calls are counted.
pub(crate) async fn counter(
    store: &Arc<dyn RunStore>,
    globals: &Globals,
) -> Result<Arc<dyn UsageCounter>, Failure> {
    let redis_url = globals.redis_url.as_deref();
    Ok(open_counter(store.clone(), redis_url, Arc::new(SystemClock)).await?)
}

/// The built-in settings with the defaults of this environment.
pub(crate) fn registry() -> Result<Arc<Registry>, Failure> {
    Ok(Arc::new(Registry::builtin().with_defaults_from(|name| std::env::var(name).ok())?))
}

fn not_in_memory(database: &Database) -> Result<(), Failure> {
    if database.kind() == Kind::SqliteMemory {
        return Err(Failure::new(
            "a database in memory belongs to one process alone: use sqlite://PATH, or --url for \
             the server that holds it",
        ));
    }
    Ok(())
}
