//! Connections: a pool that tells "all in use" from "away", and what is done with one that a
//! failure or a caller who gave up leaves behind.

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

/// How long a connection that was left in the middle of something may take to be used again.
const TIDY_WITHIN: Duration = Duration::from_secs(2);
/// Connections are replaced after so long, so that a moved or promoted server is found.
const MAX_LIFETIME: Duration = Duration::from_secs(30 * 60);

/// The connections of a store.
pub(crate) struct Connections {
    pool: PgPool,
    permits: Arc<Semaphore>,
    max: u32,
    waiting: AtomicUsize,
    most_waiting: usize,
    acquire_within: Duration,
    session: Session,
}

/// What a session is told, at its start or, behind a pooler, in each transaction.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    limits: [(&'static str, String); 3],
    /// Whether a transaction is all that one may rely on: the pooler may lend each to another
    /// session.
    pub(crate) pooled: bool,
}

impl Session {
    pub(crate) fn new(options: &PostgresOptions, pooled: bool) -> Self {
        let limit = |time: Duration| format!("{}ms", time.as_millis().max(1));
        Self {
            limits: [
                ("statement_timeout", limit(options.answer_within)),
                ("lock_timeout", limit(options.answer_within / 2)),
                ("idle_in_transaction_session_timeout", limit(options.answer_within)),
            ],
            pooled,
        }
    }

    /// How to connect, so that every session knows the limits. Poolers take no session parameters,
    /// and keep no prepared statements.
    pub(crate) fn of(&self, connect: PgConnectOptions) -> PgConnectOptions {
        if self.pooled {
            return connect.statement_cache_capacity(0);
        }
        connect.options(self.limits.clone())
    }

    /// The statement that begins a transaction as `how` says.
    pub(crate) fn begin(&self, how: How) -> String {
        let mut sql = match how {
            How::Read | How::ReadLong => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
            How::Write | How::WriteLong => "BEGIN ISOLATION LEVEL READ COMMITTED",
        }
        .to_owned();
        if matches!(how, How::ReadLong | How::WriteLong) {
            for (name, _) in &self.limits {
                sql.push_str(&format!("; SET LOCAL {name} = 0"));
            }
        } else if self.pooled {
            for (name, limit) in &self.limits {
                sql.push_str(&format!("; SET LOCAL {name} = '{limit}'"));
            }
        }
        sql
    }
}

/// What a transaction is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    /// To read, all of one moment.
    Read,
    /// The same, for as long as it takes.
    ReadLong,
    /// To write.
    Write,
    /// The same, for as long as it takes.
    WriteLong,
}

impl Connections {
    pub(crate) fn new(location: &Location, options: &PostgresOptions, session: Session) -> Self {
        let max = options.max_connections.max(1);
        let pool = PgPoolOptions::new()
            .max_connections(max)
            .acquire_timeout(options.acquire_within)
            // One that has died is found by the statement that begins, and replaced.
            .test_before_acquire(false)
            .max_lifetime(MAX_LIFETIME)
            .connect_lazy_with(session.of(location.connect.clone()));
        Self {
            pool,
            permits: Arc::new(Semaphore::new(max as usize)),
            max,
            waiting: AtomicUsize::new(0),
            most_waiting: options.waiting,
            acquire_within: options.acquire_within,
            session,
        }
    }

    /// The share of connections in use.
    pub(crate) fn utilization(&self) -> f64 {
        let free = u32::try_from(self.permits.available_permits()).unwrap_or(self.max);
        f64::from(self.max.saturating_sub(free)) / f64::from(self.max)
    }

    /// A connection with nothing begun on it. Nobody can tell whether it is still good.
    async fn acquire(&self) -> Work<Connection> {
        let permit = self.permit().await?;
        let live = self.pool.acquire().await?;
        let link = Link::new(live, !self.session.pooled);
        Ok(Connection { link: Some(link), permit: Some(permit), tidy: false })
    }

    async fn permit(&self) -> Result<OwnedSemaphorePermit> {
        let full = || Error::unavailable("all connections to the database are in use");
        let _waits = Waits::among(&self.waiting, self.most_waiting).ok_or_else(full)?;
        let permit = timeout(self.acquire_within, Arc::clone(&self.permits).acquire_owned());
        let closed = |_| Error::unavailable("the store is closed");
        permit.await.map_err(|_| full())?.map_err(closed)
    }

    /// A connection in a transaction. One that turns out to be dead, as all are after a restart of
    /// the server, is replaced: nothing has been done on it.
    pub(crate) async fn begin(&self, how: How) -> Work<Connection> {
        let sql = self.session.begin(how);
        let mut spoilt = 0;
        loop {
            let mut connection = self.acquire().await?;
            match connection.execute(AssertSqlSafe(sql.as_str())).await {
                Ok(_) => return Ok(connection),
                Err(error) => {
                    let failure = Failure::from(error);
                    if !failure.spoils_connection() || spoilt >= self.max {
                        return Err(failure);
                    }
                    connection.discard();
                    spoilt += 1;
                }
            }
        }
    }

    /// A connection for one statement that reads.
    pub(crate) async fn reader(&self) -> Work<Connection> {
        // Behind a pooler, only what is in a transaction is sure to reach one session.
        if self.session.pooled { self.begin(How::Read).await } else { self.acquire().await }
    }

    /// Connections at most.
    pub(crate) fn max(&self) -> u32 {
        self.max
    }

    /// Whether only a transaction is sure to reach one session.
    pub(crate) fn pooled(&self) -> bool {
        self.session.pooled
    }

    /// How often a read may be tried on connections that turn out to be dead.
    pub(crate) fn tries(&self) -> u32 {
        self.max + 1
    }
}

/// One of those who wait for a connection.
struct Waits<'c>(&'c AtomicUsize);

impl<'c> Waits<'c> {
    fn among(waiting: &'c AtomicUsize, most: usize) -> Option<Self> {
        let waits = Self(waiting);
        (waiting.fetch_add(1, Ordering::Relaxed) < most).then_some(waits)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A connection in use.
///
/// Dropped before [`Connection::done`], it is rolled back beside the caller, and closed if that
/// takes long: so a transaction that a caller gave up neither lives on nor blocks a connection.
pub(crate) struct Connection {
    link: Option<Link>,
    permit: Option<OwnedSemaphorePermit>,
    tidy: bool,
}

impl Connection {
    /// Ends the transaction, which is durable then.
    pub(crate) async fn commit(mut self) -> Work<()> {
        self.execute("COMMIT").await?;
        self.tidy = true;
        Ok(())
    }

    /// Ends the transaction, which leaves nothing behind.
    pub(crate) async fn roll_back(mut self) -> Work<()> {
        self.execute("ROLLBACK").await?;
        self.tidy = true;
        Ok(())
    }

    /// Gives the connection back; if it is in a transaction that has only read, that ends.
    pub(crate) async fn done(mut self, pooled: bool) -> Work<()> {
        if pooled {
            return self.commit().await;
        }
        self.tidy = true;
        Ok(())
    }

    /// Closes it without a word.
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
            Ok(_) if self.tidy => drop(link),
            Ok(runtime) => drop(runtime.spawn(async move {
                let rolled_back = timeout(TIDY_WITHIN, link.execute("ROLLBACK")).await;
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
