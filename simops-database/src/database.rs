//! A database: the kind its URL names, and how its store is opened.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use simops::store::RunStore;
use simops::{Error, Result};
use simops_postgres::{PostgresOptions, PostgresStore, ServerInfo};
use simops_sqlite::{SqliteOptions, SqliteStore};

/// The URL of a database and its options.
#[derive(Clone)]
pub struct Database {
    url: String,
    kind: Kind,
    pub(crate) options: PostgresOptions,
}

/// The kind of a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// SQLite in a file.
    Sqlite,
    /// SQLite in memory, lost with the process.
    SqliteMemory,
    /// A Postgres server.
    Postgres,
}

impl Database {
    /// The database at `url` with default options.
    ///
    /// # Errors
    /// `Invalid` for a URL of another kind. It is not quoted, since it may hold a password.
    pub fn at(url: &str) -> Result<Self> {
        let kind = match url.split(':').next().unwrap_or_default() {
            "sqlite" if is_memory(url) => Kind::SqliteMemory,
            "sqlite" => Kind::Sqlite,
            "postgres" | "postgresql" => Kind::Postgres,
            _ => {
                let what = "is not the URL of a database (not shown: it may hold a password); must be \
                            sqlite://PATH, sqlite::memory: or postgres://USER:PASSWORD@HOST:PORT/NAME";
                return Err(Error::invalid("DATABASE_URL", what));
            }
        };
        if kind == Kind::Sqlite {
            simops_sqlite::check_url(url)?;
        }
        Ok(Self { url: url.to_owned(), kind, options: PostgresOptions::default() })
    }

    /// Whether it is on a server at `url`, or its connections past a pooler are, and `url` has no
    /// password.
    pub(crate) fn asks_for_password(&self, url: &str) -> bool {
        let is_here = self.url == url || self.options.direct_url.as_deref() == Some(url);
        let rest = url.split_once("://").map_or("", |(_, rest)| rest);
        let user = rest.split(['/', '?']).next().and_then(|place| place.rsplit_once('@'));
        let has_password =
            user.is_some_and(|(user, _)| user.contains(':')) || rest.contains("password=");
        is_here && self.kind == Kind::Postgres && !has_password
    }

    /// The kind of the database.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The path of its file; `None` if it has none.
    pub fn path(&self) -> Option<&Path> {
        let rest = (self.kind == Kind::Sqlite).then(|| self.url.strip_prefix("sqlite:"))??;
        Some(rest.strip_prefix("//").unwrap_or(rest)).filter(|path| !path.is_empty()).map(Path::new)
    }

    /// Opens the store. Creates a missing file and migrates the schema.
    ///
    /// # Errors
    /// `Invalid` for a malformed URL; `Unavailable` if the database cannot be reached or opened;
    /// `Unusable` if it is corrupt, belongs to another program or to a newer simops.
    pub async fn open(&self) -> Result<Arc<dyn RunStore>> {
        Ok(match self.kind {
            Kind::Sqlite | Kind::SqliteMemory => Arc::new(SqliteStore::open(&self.url).await?),
            Kind::Postgres => Arc::new(self.postgres(true).await?),
        })
    }

    /// As [`Database::open`], but the database is neither created nor migrated. An older schema takes no
    /// writes then. A file that may not be written is read as it is.
    ///
    /// # Errors
    /// As [`Database::open`].
    pub async fn open_to_read(&self) -> Result<Arc<dyn RunStore>> {
        if self.kind == Kind::Postgres {
            return Ok(Arc::new(self.postgres(false).await?));
        }
        let unchanged = SqliteOptions { migrate: false, ..SqliteOptions::default() };
        let read_only = SqliteOptions { read_only: true, ..unchanged.clone() };
        match SqliteStore::open_with(&self.url, unchanged).await {
            Ok(store) => Ok(Arc::new(store)),
            Err(error) => match SqliteStore::open_with(&self.url, read_only).await {
                Ok(store) => Ok(Arc::new(store)),
                // The reason why it cannot be written is the more useful one.
                Err(_) => Err(error),
            },
        }
    }

    /// As [`Database::open_to_read`], with facts about the server if there is one.
    ///
    /// # Errors
    /// As [`Database::open`].
    pub async fn open_with_info(&self) -> Result<(Arc<dyn RunStore>, Option<ServerInfo>)> {
        if self.kind != Kind::Postgres {
            return Ok((self.open_to_read().await?, None));
        }
        let store = self.postgres(false).await?;
        let info = store.server_info().await?;
        Ok((Arc::new(store), Some(info)))
    }

    async fn postgres(&self, migrate: bool) -> Result<PostgresStore> {
        let options = PostgresOptions { migrate, ..self.options.clone() };
        PostgresStore::open_with(&self.url, options).await
    }

    /// As [`Database::open`], but retries while the database is unavailable. `on_unavailable` is called
    /// with the first error.
    ///
    /// # Errors
    /// `Invalid` or `Unusable`, as [`Database::open`].
    pub async fn open_when_available(
        &self,
        on_unavailable: impl Fn(&Error),
    ) -> Result<Arc<dyn RunStore>> {
        const MAX_BACKOFF: Duration = Duration::from_secs(5);
        let mut backoff = Duration::from_millis(200);
        let mut has_failed = false;
        loop {
            match self.open().await {
                Err(error) if error.is_retryable() => {
                    if !has_failed {
                        on_unavailable(&error);
                        has_failed = true;
                    }
                }
                done => return done,
            }
            tokio::time::sleep(backoff).await;
            backoff = (backoff * 2).min(MAX_BACKOFF);
        }
    }
}

impl std::fmt::Debug for Database {
    /// Omits the URL, which may hold a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Database").field("kind", &self.kind).finish_non_exhaustive()
    }
}

fn is_memory(url: &str) -> bool {
    let rest = url.strip_prefix("sqlite:").unwrap_or_default();
    rest.strip_prefix("//").unwrap_or(rest) == ":memory:"
}
