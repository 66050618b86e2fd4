//! Opening a database: at once and only if it exists for commands, patiently for workers.

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use simops::SystemClock;
use simops::settings::Registry;
use simops::store::RunStore;
use simops::usage::{UsageCounter, open_counter};
use simops_sqlite::{SqliteOptions, SqliteStore};

use crate::args::Globals;
use crate::exit::Failure;
use crate::print;

const FIRST_BACKOFF: Duration = Duration::from_millis(200);
const LONGEST_BACKOFF: Duration = Duration::from_secs(5);

/// Opens a database that exists.
pub(crate) async fn open(url: &str) -> Result<Arc<dyn RunStore>, Failure> {
    not_in_memory(url)?;
    let path = path_of(url);
    if let Some(path) = path
        && matches!(Path::new(path).try_exists(), Ok(false))
    {
        return Err(Failure::new(format!(
            "there is no database {path}: simops-server and `simops-cli worker` create one; \
             --database-url names another, --url a server"
        )));
    }
    match SqliteStore::open(url).await {
        Ok(store) => Ok(Arc::new(store)),
        Err(error) if path.is_some_and(is_read_only) => Err(Failure::new(format!(
            "{}; even to read it, a database that no other process has open must be writable: run \
             this as its owner, work on a copy, or name a server with --url",
            Failure::from(error)
        ))),
        Err(error) => Err(error.into()),
    }
}

/// Opens a database that exists for a command that only reads: one that may not be written is read
/// as it is.
pub(crate) async fn open_to_read(url: &str) -> Result<Arc<dyn RunStore>, Failure> {
    let opened = open(url).await;
    if opened.is_ok() || !path_of(url).is_some_and(|path| Path::new(path).exists()) {
        return opened;
    }
    let options = SqliteOptions { read_only: true, ..SqliteOptions::default() };
    match SqliteStore::open_with(url, options).await {
        Ok(store) => Ok(Arc::new(store)),
        // Why it cannot be opened as usual tells more.
        Err(_) => opened,
    }
}

/// Whether this user may read the file but not write it.
fn is_read_only(path: &str) -> bool {
    let denied = |error: std::io::Error| error.kind() == ErrorKind::PermissionDenied;
    let written = OpenOptions::new().append(true).open(path);
    File::open(path).is_ok() && written.is_err_and(denied)
}

/// Opens a database, creates it if it is missing, and waits while it is away. `None` when
/// `shutdown` completes first.
pub(crate) async fn open_patiently(
    url: &str,
    shutdown: impl Future<Output = ()>,
) -> Result<Option<Arc<dyn RunStore>>, Failure> {
    not_in_memory(url)?;
    let opened = async {
        let mut backoff = FIRST_BACKOFF;
        loop {
            match SqliteStore::open(url).await {
                Ok(store) => return Ok(store),
                Err(error) if error.is_retryable() => {
                    if backoff == FIRST_BACKOFF {
                        let detail = Failure::from(error);
                        print::note(&format!("the database is away, waiting for it: {detail}"));
                    }
                }
                Err(error) => return Err(Failure::from(error)),
            }
            tokio::time::sleep(backoff).await;
            backoff = (backoff * 2).min(LONGEST_BACKOFF);
        }
    };
    tokio::select! {
        store = opened => Ok(Some(Arc::new(store?))),
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

fn not_in_memory(url: &str) -> Result<(), Failure> {
    if path_of(url) == Some(":memory:") {
        return Err(Failure::new(
            "a database in memory belongs to one process alone: use sqlite://PATH, or --url for \
             the server that holds it",
        ));
    }
    Ok(())
}

/// The file that a URL of SQLite names; what else is wrong with it is the store's to say.
fn path_of(url: &str) -> Option<&str> {
    let rest = url.strip_prefix("sqlite:")?;
    Some(rest.strip_prefix("//").unwrap_or(rest)).filter(|path| !path.is_empty())
}
