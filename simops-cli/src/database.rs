//! Opening a database: commands open one that exists, workers create one or wait for it.

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use simops::llm::Router;
use simops::settings::Registry;
use simops::store::RunStore;
use simops::usage::{UsageCounter, open_counter};
use simops::{Error, SystemClock};
use simops_database::{Database, Kind};

use crate::exit::Failure;
use crate::globals::OnDatabase;
use crate::print;

/// The time that model calls in flight have to be recorded; after that their leases expire into rows.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(3);

/// Opens a database that exists, and migrates it.
pub(crate) async fn open(database: &Database) -> Result<Arc<dyn RunStore>, Failure> {
    must_exist(database)?;
    explained(database, database.open().await)
}

/// Opens a database that exists for a command that only reads: its schema stays as it is, and one that
/// may not be written is read.
pub(crate) async fn open_to_read(database: &Database) -> Result<Arc<dyn RunStore>, Failure> {
    must_exist(database)?;
    explained(database, database.open_to_read().await)
}

fn must_exist(database: &Database) -> Result<(), Failure> {
    not_in_memory(database)?;
    match database.path() {
        Some(path) if matches!(path.try_exists(), Ok(false)) => Err(Failure::new(format!(
            "there is no database {}: simops-server and `simops-cli worker` create one; \
             --database-url names another, --url a server",
            path.display()
        ))),
        _ => Ok(()),
    }
}

fn explained<T>(database: &Database, opened: simops::Result<T>) -> Result<T, Failure> {
    match opened {
        Err(error) if database.path().is_some_and(is_read_only) => Err(Failure::new(format!(
            "{}; even to read it, a database that no other process has open must be writable: run \
             this as its owner, work on a copy, or name a server with --url",
            Failure::from(error)
        ))),
        opened => Ok(opened?),
    }
}

/// Whether this user may read the file but not write it.
fn is_read_only(path: &Path) -> bool {
    let denied = |error: std::io::Error| error.kind() == ErrorKind::PermissionDenied;
    let written = OpenOptions::new().append(true).open(path);
    File::open(path).is_ok() && written.is_err_and(denied)
}

/// Opens a database, creates it if it is missing, and waits while it is unavailable. `None` when
/// `shutdown` completes first.
pub(crate) async fn open_when_available(
    database: &Database,
    shutdown: impl Future<Output = ()>,
) -> Result<Option<Arc<dyn RunStore>>, Failure> {
    not_in_memory(database)?;
    let report = |error: &Error| {
        let cause = std::error::Error::source(error).map(|cause| format!(" ({cause})"));
        let cause = cause.unwrap_or_default();
        print::note(&format!("the database is unavailable, waiting for it: {error}{cause}"));
    };
    tokio::select! {
        store = database.open_when_available(report) => Ok(Some(store?)),
        () = shutdown => Ok(None),
    }
}

pub(crate) async fn counter(
    store: &Arc<dyn RunStore>,
    on: OnDatabase<'_>,
) -> Result<Arc<dyn UsageCounter>, Failure> {
    let redis_url = on.0.redis_url.as_deref();
    Ok(open_counter(store.clone(), redis_url, Arc::new(SystemClock)).await?)
}

/// Waits for the model calls in flight to be recorded, for at most [`FLUSH_TIMEOUT`].
pub(crate) async fn flush(router: Option<&Router>) {
    let Some(router) = router else { return };
    if let Err(pending) = router.flush(FLUSH_TIMEOUT).await {
        print::note(&format!(
            "{pending} model calls were not recorded in time; they are charged when their leases expire"
        ));
    }
}

/// The built-in settings with the defaults of this environment.
pub(crate) fn registry() -> Result<Arc<Registry>, Failure> {
    Ok(Arc::new(Registry::builtin().with_defaults_from(|name| std::env::var(name).ok())?))
}

fn not_in_memory(database: &Database) -> Result<(), Failure> {
    if database.kind() == Kind::SqliteMemory {
        return Err(Failure::new(
            "a database in memory belongs to a single process: use sqlite://PATH, or --url for the \
             server that holds it",
        ));
    }
    Ok(())
}
