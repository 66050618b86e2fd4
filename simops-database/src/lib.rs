//! Opens the store that `DATABASE_URL` names: the one place that knows every kind.
//!
//! A program takes [`DatabaseArgs`] among its flags, turns them into a [`Database`] before anything
//! begins, and opens it.

mod args;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use simops::store::RunStore;
use simops::{Error, Result};
use simops_postgres::{PostgresOptions, PostgresStore};
use simops_sqlite::{SqliteOptions, SqliteStore};

pub use args::DatabaseArgs;
pub use simops_postgres::Examination;

/// Where a database lies and how it is used.
#[derive(Clone)]
pub struct Database {
    url: String,
    kind: Kind,
    options: PostgresOptions,
}

/// The kinds of databases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// In a file.
    Sqlite,
    /// In this process alone.
    SqliteMemory,
    /// On a server.
    Postgres,
}

impl Database {
    /// The database at `url`, used in the default way.
    ///
    /// # Errors
    /// `Invalid` for what is no address; one of a server is not quoted, it may hold a password.
    pub fn at(url: &str) -> Result<Self> {
        let kind = match url.split(':').next().unwrap_or_default() {
            "sqlite" if is_memory(url) => Kind::SqliteMemory,
            "sqlite" => Kind::Sqlite,
            "postgres" | "postgresql" => Kind::Postgres,
            scheme => {
                // A password would stand after the first colon.
                let what = format!(
                    "\"{scheme}:…\" is not allowed; must be sqlite://PATH, sqlite::memory: or \
                     postgres://USER:PASSWORD@HOST:PORT/NAME"
                );
                return Err(Error::invalid("DATABASE_URL", what));
            }
        };
        Ok(Self { url: url.to_owned(), kind, options: PostgresOptions::default() })
    }

    /// What kind it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The file that it lies in, if it does.
    pub fn path(&self) -> Option<&Path> {
        let rest = (self.kind == Kind::Sqlite).then(|| self.url.strip_prefix("sqlite:"))??;
        Some(rest.strip_prefix("//").unwrap_or(rest)).filter(|path| !path.is_empty()).map(Path::new)
    }

    /// Opens it, creating a missing file, and brings its schema up to date.
    ///
    /// # Errors
    /// Of the store: `Invalid`, `Unavailable`, `Unusable`.
    pub async fn open(&self) -> Result<Arc<dyn RunStore>> {
        Ok(match self.kind {
            Kind::Sqlite | Kind::SqliteMemory => Arc::new(SqliteStore::open(&self.url).await?),
            Kind::Postgres => {
                Arc::new(PostgresStore::open_with(&self.url, self.options.clone()).await?)
            }
        })
    }

    /// As [`Database::open`], but changes nothing of a file: not even its schema.
    ///
    /// # Errors
    /// As [`Database::open`].
    pub async fn open_to_read(&self) -> Result<Arc<dyn RunStore>> {
        match self.kind {
            Kind::Sqlite => {
                let options = SqliteOptions { read_only: true, ..SqliteOptions::default() };
                Ok(Arc::new(SqliteStore::open_with(&self.url, options).await?))
            }
            Kind::SqliteMemory | Kind::Postgres => self.open().await,
        }
    }

    /// As [`Database::open`], and what the database says of itself if it is on a server.
    ///
    /// # Errors
    /// As [`Database::open`].
    pub async fn examine(&self) -> Result<(Arc<dyn RunStore>, Option<Examination>)> {
        if self.kind != Kind::Postgres {
            return Ok((self.open().await?, None));
        }
        let store = PostgresStore::open_with(&self.url, self.options.clone()).await?;
        let examination = store.examine().await?;
        Ok((Arc::new(store), Some(examination)))
    }

    /// As [`Database::open`], waiting while it is away; `tell` is told why, once.
    ///
    /// # Errors
    /// Those that waiting does not heal.
    pub async fn open_patiently(&self, tell: impl Fn(&Error)) -> Result<Arc<dyn RunStore>> {
        const LONGEST_BACKOFF: Duration = Duration::from_secs(5);
        let mut backoff = Duration::from_millis(200);
        let mut told = false;
        loop {
            match self.open().await {
                Err(error) if error.is_retryable() => {
                    if !told {
                        tell(&error);
                        told = true;
                    }
                }
                done => return done,
            }
            tokio::time::sleep(backoff).await;
            backoff = (backoff * 2).min(LONGEST_BACKOFF);
        }
    }
}

impl std::fmt::Debug for Database {
    /// Shows no address: it may hold a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Database").field("kind", &self.kind).finish_non_exhaustive()
    }
}

fn is_memory(url: &str) -> bool {
    let rest = url.strip_prefix("sqlite:").unwrap_or_default();
    rest.strip_prefix("//").unwrap_or(rest) == ":memory:"
}
