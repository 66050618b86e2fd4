//! The pool of connections. It distinguishes "all in use" from "unreachable", keeps some connections
//! for run control, and cleans up connections after failures and cancelled calls.

use std::mem;
use std::ops::{Deref, DerefMut};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use simops::{Error, Result};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection as _, Executor};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::PostgresOptions;
use crate::error::{Failure, Work};
use crate::link::{Link, ServerProcess};
use crate::location::Location;
use crate::schema;

/// Connections that only run control uses, while all others are in use.
const RESERVED: u32 = 2;
/// Connections that only cancel statements.
const CANCELLING: u32 = 1;
/// How long the statement of a dropped connection may go on before the server is asked to cancel it.
const CANCEL_DELAY: Duration = Duration::from_millis(20);
/// Age at which connections are replaced, to find a server that was moved or promoted.
const MAX_LIFETIME: Duration = Duration::from_secs(30 * 60);

/// The connections of a store, as one class of calls sees them.
#[derive(Clone)]
pub(crate) struct Connections {
    pool: Arc<Pool>,
    /// Whether the reserved connections may be used, too.
    is_control: bool,
}

struct Pool {
    connect: PgConnectOptions,
    /// Those that are not in use. The last one was used last.
    idle: Mutex<Vec<Link>>,
    ordinary: Permits,
    reserved: Permits,
    max: u32,
    max_waiting: usize,
    acquire_timeout: Duration,
    /// Time limit for rolling back a connection that was dropped in a transaction.
    rollback_timeout: Duration,
    session: Session,
    cancels: Cancels,
}

/// Permits for connections, and the number of calls that wait for one.
struct Permits {
    free: Arc<Semaphore>,
    waiting: AtomicUsize,
}

impl Permits {
    fn new(count: u32) -> Self {
        Self { free: Arc::new(Semaphore::new(count as usize)), waiting: AtomicUsize::new(0) }
    }
}

/// Limits of a session, set at its start or, behind a pooler, in each transaction.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    limits: [(&'static str, String); 4],
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
                // A slow read takes one processor, not all of them.
                ("max_parallel_workers_per_gather", "0".to_owned()),
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

    /// The statements that begin a transaction. Behind a pooler, the first row is the server's process,
    /// which may be another one in each transaction. If it writes, the last row is the version of the
    /// schema.
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
        if self.pooled {
            sql.push_str(&format!("; {}", ServerProcess::QUERY));
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
        let pool = Pool {
            connect: session.configure(location.connect.clone()),
            idle: Mutex::new(Vec::new()),
            ordinary: Permits::new(max),
            reserved: Permits::new(RESERVED),
            max,
            max_waiting: options.max_waiting,
            acquire_timeout: options.acquire_timeout,
            rollback_timeout: options.call_timeout / 5,
            session,
            cancels: Cancels::default(),
        };
        Self { pool: Arc::new(pool), is_control: false }
    }

    /// The same connections for run control, which has some that no other call uses.
    pub(crate) fn for_control(&self) -> Self {
        Self { pool: Arc::clone(&self.pool), is_control: true }
    }

    /// The share of connections in use, without the reserved ones: those say nothing about the load.
    pub(crate) fn utilization(&self) -> f64 {
        let max = self.pool.max;
        let free = u32::try_from(self.pool.ordinary.free.available_permits()).unwrap_or(max);
        f64::from(max.saturating_sub(free)) / f64::from(max)
    }

    /// A connection without a transaction. It may be dead.
    async fn acquire(&self) -> Work<Connection> {
        let permit = self.permit().await?;
        let link = self.pool.link().await?;
        Ok(Connection {
            link: Some(link),
            permit: Some(permit),
            pool: Arc::clone(&self.pool),
            is_clean: false,
        })
    }

    async fn permit(&self) -> Result<OwnedSemaphorePermit> {
        let Pool { ordinary, reserved, max_waiting, acquire_timeout, .. } = &*self.pool;
        let full = || Error::unavailable("all connections to the database are in use");
        let waiting = if self.is_control { &reserved.waiting } else { &ordinary.waiting };
        let _waiting = Waiting::begin(waiting, *max_waiting).ok_or_else(full)?;
        let of = |permits: &Permits| Arc::clone(&permits.free).acquire_owned();
        let permit = async {
            if !self.is_control {
                return of(ordinary).await;
            }
            tokio::select! {
                biased;
                permit = of(ordinary) => permit,
                permit = of(reserved) => permit,
            }
        };
        let closed = |_| Error::unavailable("the store is closed");
        timeout(*acquire_timeout, permit).await.map_err(|_| full())?.map_err(closed)
    }

    /// A connection in a transaction. Dead ones, as after a restart of the server, are replaced.
    ///
    /// # Errors
    /// `Unusable` if this program may not write to the schema, besides those of the database.
    pub(crate) async fn begin(&self, mode: TxMode) -> Work<Connection> {
        let sql = self.pool.session.begin(mode);
        let mut dead = 0;
        loop {
            let mut connection = self.acquire().await?;
            connection.in_transaction = true;
            match connection.fetch_all(AssertSqlSafe(sql.as_str())).await {
                Ok(rows) => {
                    if self.pooled()
                        && let Some(process) = rows.first()
                    {
                        connection.process = ServerProcess::read(process)?;
                    }
                    if mode.writes()
                        && let Some(stored) = rows.last()
                    {
                        schema::check_writer(stored)?;
                    }
                    return Ok(connection);
                }
                Err(error) => {
                    let failure = Failure::from(error);
                    if !failure.spoils_connection() || dead >= self.max() {
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
        if self.pooled() { self.begin(TxMode::Read).await } else { self.acquire().await }
    }

    /// The maximum number of connections.
    pub(crate) fn max(&self) -> u32 {
        self.pool.max + RESERVED + CANCELLING
    }

    /// Whether connections pass a pooler in transaction mode.
    pub(crate) fn pooled(&self) -> bool {
        self.pool.session.pooled
    }

    /// Maximum retries of a call on dead connections.
    pub(crate) fn max_retries(&self) -> u32 {
        self.max() + 1
    }
}

impl Pool {
    /// An idle connection, or a new one.
    async fn link(&self) -> Work<Link> {
        let idle = {
            let mut idle = self.idle();
            idle.retain(|link| link.opened.elapsed() < MAX_LIFETIME);
            idle.pop()
        };
        if let Some(link) = idle {
            return Ok(link);
        }
        let late = |_| Error::unavailable("the database does not answer");
        timeout(self.acquire_timeout, self.open()).await.map_err(late)?
    }

    async fn open(&self) -> Work<Link> {
        let live = PgConnection::connect_with(&self.connect).await?;
        let mut link = Link::new(live, !self.session.pooled);
        if !self.session.pooled {
            link.process = ServerProcess::read(&link.fetch_one(ServerProcess::QUERY).await?)?;
        }
        Ok(link)
    }

    /// Asks the server to cancel the statement that `process` runs.
    async fn cancel(&self, process: ServerProcess) -> Work<()> {
        self.cancels.waiting().push(process);
        let mut link = self.cancels.link.lock().await;
        let processes = mem::take(&mut *self.cancels.waiting());
        if processes.is_empty() {
            // Another call sent it along with its own.
            return Ok(());
        }
        // Closed if it fails.
        let mut live = match link.take() {
            Some(live) => live,
            None => self.open().await?,
        };
        ServerProcess::cancel(&processes, &mut live).await?;
        *link = Some(live);
        Ok(())
    }

    fn put_back(&self, link: Link) {
        self.idle().push(link);
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Link>> {
        // No code that can panic runs under the lock.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends what a dropped connection was doing, and keeps it if that succeeds in time.
    async fn recover(&self, mut link: Link) {
        let process = link.process.clone();
        let rolled_back = {
            let mut roll_back = pin!(roll_back(&mut link));
            match timeout(CANCEL_DELAY, &mut roll_back).await {
                Ok(done) => done,
                Err(_) => {
                    let ended = async {
                        if let Err(failure) = self.cancel(process).await {
                            tracing::debug!(?failure, "statement not cancelled");
                        }
                        roll_back.await
                    };
                    timeout(self.rollback_timeout, ended).await.unwrap_or(false)
                }
            }
        };
        if rolled_back {
            link.in_transaction = false;
            self.put_back(link);
        }
    }
}

/// Waits for the end of the statement that a connection runs, then rolls back. `false` if that fails.
async fn roll_back(link: &mut Link) -> bool {
    // The server warns of a rollback of nothing.
    let end = if link.in_transaction { "ROLLBACK" } else { "SELECT" };
    // Answered first by the error of the statement, if it fails or is cancelled. A request to cancel
    // that comes late ends the rollback itself.
    for _ in 0..3 {
        match link.execute(end).await.map_err(Failure::from) {
            Ok(_) => return true,
            Err(failure) if failure.spoils_connection() => return false,
            Err(_) => {}
        }
    }
    false
}

/// Requests to cancel statements, sent on a connection of their own: neither do they wait for calls, nor
/// calls for them. Those that come while one is sent go out together.
#[derive(Default)]
struct Cancels {
    waiting: Mutex<Vec<ServerProcess>>,
    /// Opened at the first request.
    link: tokio::sync::Mutex<Option<Link>>,
}

impl Cancels {
    fn waiting(&self) -> MutexGuard<'_, Vec<ServerProcess>> {
        // No code that can panic runs under the lock.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
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
/// If it is dropped before [`Connection::done`], as by a cancelled call, its statement is cancelled and
/// it is rolled back, in the background. It is closed if that takes too long.
pub(crate) struct Connection {
    link: Option<Link>,
    permit: Option<OwnedSemaphorePermit>,
    pool: Arc<Pool>,
    is_clean: bool,
}

impl Connection {
    /// Commits the transaction.
    pub(crate) async fn commit(mut self) -> Work<()> {
        self.execute("COMMIT").await?;
        self.in_transaction = false;
        self.is_clean = true;
        Ok(())
    }

    /// Rolls the transaction back.
    pub(crate) async fn roll_back(mut self) -> Work<()> {
        self.execute("ROLLBACK").await?;
        self.in_transaction = false;
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
        self.link = None;
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let Some(link) = self.link.take() else { return };
        if self.is_clean {
            // Before the permit is free, so that the next call finds it.
            return self.pool.put_back(link);
        }
        // Without a runtime, it is closed.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let (pool, permit) = (Arc::clone(&self.pool), self.permit.take());
            runtime.spawn(async move {
                pool.recover(link).await;
                drop(permit);
            });
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
