//! The pool of connections. It distinguishes "all in use" from "unreachable", and cleans up
//! connections after failures and cancelled calls.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use simops::{Error, Result};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, Executor};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::PostgresOptions;
use crate::error::{Failure, Work};
use crate::link::Link;
use crate::location::Location;
use crate::schema;

/// Time limit for rolling back a connection that was dropped in a transaction.
const ROLLBACK_TIMEOUT: Duration = Duration::from_secs(2);
/// Age at which connections are replaced, to find a server that was moved or promoted.
const MAX_LIFETIME: Duration = Duration::from_secs(30 * 60);

/// The connections of a store.
pub(crate) struct Connections {
    pool: PgPool,
    permits: Arc<Semaphore>,
    max: u32,
    waiting: AtomicUsize,
    max_waiting: usize,
    acquire_timeout: Duration,
    session: Session,
}

/// Time limits of a session, set at its start or, behind a pooler, in each transaction.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    limits: [(&'static str, String); 3],
    /// Whether a pooler may run each transaction on another session.
    pub(crate) pooled: bool,
}

impl Session {
    pub(crate) fn new(options: &PostgresOptions, pooled: bool) -> Self {
        let limit = |time: Duration| format!("{}ms", time.as_millis().max(1));
        Self {
            // A client that stops in a transaction loses it before others give up on its locks.
            limits: [
                ("statement_timeout", limit(options.call_timeout)),
                ("lock_timeout", limit(options.call_timeout / 2)),
                ("idle_in_transaction_session_timeout", limit(options.call_timeout / 4)),
            ],
            pooled,
        }
    }

    /// Connection options that set the limits. Poolers accept no session parameters and keep no
    /// prepared statements.
    pub(crate) fn configure(&self, connect: PgConnectOptions) -> PgConnectOptions {
        if self.pooled {
            return connect.statement_cache_capacity(0);
        }
        connect.options(self.limits.clone())
    }

    /// The statements that begin a transaction. One that writes returns the version of the schema in
    /// the last row.
    pub(crate) fn begin(&self, mode: TxMode) -> String {
        let mut sql = match mode {
            TxMode::Read | TxMode::ReadLong => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
            TxMode::Write | TxMode::WriteOnce | TxMode::WriteLong | TxMode::Migrate => {
                "BEGIN ISOLATION LEVEL READ COMMITTED"
            }
        }
        .to_owned();
        if mode.is_long() {
            for (name, _) in &self.limits {
                sql.push_str(&format!("; SET LOCAL {name} = 0"));
            }
        } else if self.pooled {
            for (name, limit) in &self.limits {
                sql.push_str(&format!("; SET LOCAL {name} = '{limit}'"));
            }
        }
        if mode.writes() {
            sql.push_str(&format!("; {}; {}", schema::LOCK_WRITER, schema::STORED));
        }
        sql
    }
}

/// The mode of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TxMode {
    /// Reads one snapshot.
    Read,
    /// Reads one snapshot, without a time limit.
    ReadLong,
    /// Writes what can be repeated: it carries an id, so repeating it has no further effect.
    Write,
    /// Writes what cannot be repeated.
    WriteOnce,
    /// As `Write`, without a time limit.
    WriteLong,
    /// Changes the schema, without a time limit.
    Migrate,
}

impl TxMode {
    /// Whether there is no time limit.
    pub(crate) fn is_long(self) -> bool {
        matches!(self, Self::ReadLong | Self::WriteLong | Self::Migrate)
    }

    /// Whether it writes to the tables, which takes a schema that this program knows.
    fn writes(self) -> bool {
        matches!(self, Self::Write | Self::WriteOnce | Self::WriteLong)
    }
}

impl Connections {
    pub(crate) fn new(location: &Location, options: &PostgresOptions, session: Session) -> Self {
        let max = options.max_connections.max(1);
        let pool = PgPoolOptions::new()
            .max_connections(max)
            .acquire_timeout(options.acquire_timeout)
            // Dead connections fail at BEGIN and are replaced there.
            .test_before_acquire(false)
            .max_lifetime(MAX_LIFETIME)
            .connect_lazy_with(session.configure(location.connect.clone()));
        Self {
            pool,
            permits: Arc::new(Semaphore::new(max as usize)),
            max,
            waiting: AtomicUsize::new(0),
            max_waiting: options.max_waiting,
            acquire_timeout: options.acquire_timeout,
            session,
        }
    }

    /// The share of connections in use.
    pub(crate) fn utilization(&self) -> f64 {
        let free = u32::try_from(self.permits.available_permits()).unwrap_or(self.max);
        f64::from(self.max.saturating_sub(free)) / f64::from(self.max)
    }

    /// A connection without a transaction. It may be dead.
    async fn acquire(&self) -> Work<Connection> {
        let permit = self.permit().await?;
        let live = self.pool.acquire().await?;
        let link = Link::new(live, !self.session.pooled);
        Ok(Connection { link: Some(link), permit: Some(permit), is_clean: false })
    }

    async fn permit(&self) -> Result<OwnedSemaphorePermit> {
        let full = || Error::unavailable("all connections to the database are in use");
        let _waiting = Waiting::begin(&self.waiting, self.max_waiting).ok_or_else(full)?;
        let permit = timeout(self.acquire_timeout, Arc::clone(&self.permits).acquire_owned());
        let closed = |_| Error::unavailable("the store is closed");
        permit.await.map_err(|_| full())?.map_err(closed)
    }

    /// A connection in a transaction. Dead ones, as after a restart of the server, are replaced.
    ///
    /// # Errors
    /// `Unusable` if this program may not write to the schema, besides those of the database.
    pub(crate) async fn begin(&self, mode: TxMode) -> Work<Connection> {
        let sql = self.session.begin(mode);
        let mut dead = 0;
        loop {
            let mut connection = self.acquire().await?;
            match connection.fetch_all(AssertSqlSafe(sql.as_str())).await {
                Ok(rows) => {
                    rows.last().map_or(Ok(()), schema::check_writer)?;
                    return Ok(connection);
                }
                Err(error) => {
                    let failure = Failure::from(error);
                    if !failure.spoils_connection() || dead >= self.max {
                        return Err(failure);
                    }
                    connection.discard();
                    dead += 1;
                }
            }
        }
    }

    /// A connection for one statement that reads.
    pub(crate) async fn reader(&self) -> Work<Connection> {
        // Behind a pooler, only a transaction stays on one session.
        if self.session.pooled { self.begin(TxMode::Read).await } else { self.acquire().await }
    }

    /// The maximum number of connections.
    pub(crate) fn max(&self) -> u32 {
        self.max
    }

    /// Whether connections pass a pooler in transaction mode.
    pub(crate) fn pooled(&self) -> bool {
        self.session.pooled
    }

    /// Maximum retries of a call on dead connections.
    pub(crate) fn max_retries(&self) -> u32 {
        self.max + 1
    }
}

/// Counts a call that waits for a connection.
struct Waiting<'c>(&'c AtomicUsize);

impl<'c> Waiting<'c> {
    fn begin(waiting: &'c AtomicUsize, max: usize) -> Option<Self> {
        let guard = Self(waiting);
        (waiting.fetch_add(1, Ordering::Relaxed) < max).then_some(guard)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A connection in use.
///
/// If it is dropped before [`Connection::done`], as by a cancelled call, it is rolled back in the
/// background, and closed if that takes too long.
pub(crate) struct Connection {
    link: Option<Link>,
    permit: Option<OwnedSemaphorePermit>,
    is_clean: bool,
}

impl Connection {
    /// Commits the transaction.
    pub(crate) async fn commit(mut self) -> Work<()> {
        self.execute("COMMIT").await?;
        self.is_clean = true;
        Ok(())
    }

    /// Rolls the transaction back.
    pub(crate) async fn roll_back(mut self) -> Work<()> {
        self.execute("ROLLBACK").await?;
        self.is_clean = true;
        Ok(())
    }

    /// Returns the connection to the pool, and ends its read transaction behind a pooler.
    pub(crate) async fn done(mut self, pooled: bool) -> Work<()> {
        if pooled {
            return self.commit().await;
        }
        self.is_clean = true;
        Ok(())
    }

    /// Closes the connection without a goodbye to the server.
    fn discard(mut self) {
        if let Some(link) = self.link.take() {
            link.discard();
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let Some(mut link) = self.link.take() else { return };
        let permit = self.permit.take();
        match tokio::runtime::Handle::try_current() {
            Ok(_) if self.is_clean => drop(link),
            Ok(runtime) => drop(runtime.spawn(async move {
                let rolled_back = timeout(ROLLBACK_TIMEOUT, link.execute("ROLLBACK")).await;
                if !matches!(rolled_back, Ok(Ok(_))) {
                    link.discard();
                }
                drop(permit);
            })),
            Err(_) => link.discard(),
        }
    }
}

const TAKEN: &str = "a connection is taken only when it is dropped";

impl Deref for Connection {
    type Target = Link;

    #[expect(clippy::expect_used, reason = "holds until the drop")]
    fn deref(&self) -> &Link {
        self.link.as_ref().expect(TAKEN)
    }
}

impl DerefMut for Connection {
    #[expect(clippy::expect_used, reason = "holds until the drop")]
    fn deref_mut(&mut self) -> &mut Link {
        self.link.as_mut().expect(TAKEN)
    }
}
