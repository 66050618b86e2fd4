//! Runs a call on one connection, with retries where they are safe and within a time limit.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use simops::{Error, Result};
use sqlx::Postgres;
use sqlx::postgres::PgArguments;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::codec::Cells;
use crate::connection::{Connection, Connections, TxMode};
use crate::error::Work;
use crate::link::Link;
use crate::revision::{increment_revision, publish};

/// Maximum retries after conflicts with other transactions.
const MAX_CONFLICTS: u32 = 20;
const MIN_BACKOFF: Duration = Duration::from_millis(2);
const MAX_BACKOFF: Duration = Duration::from_millis(200);

/// What every call needs. A clone shares it.
#[derive(Clone)]
pub(crate) struct Base {
    pub(crate) connections: Arc<Connections>,
    pub(crate) revision: watch::Sender<u64>,
    /// The channel of notifications.
    pub(crate) channel: Arc<str>,
    pub(crate) call_timeout: Duration,
    /// Whether the ledger is partitioned by time.
    pub(crate) ledger_by_time: bool,
}

/// A transaction that writes.
pub(crate) struct Tx {
    connection: Connection,
    notify: bool,
    rolled_back: bool,
}

impl Tx {
    /// Notifies watchers once the transaction is durable.
    pub(crate) fn notify_watchers(&mut self) {
        self.notify = true;
    }

    /// Rolls the transaction back instead of committing it.
    pub(crate) fn rolled_back(mut self) -> Self {
        self.rolled_back = true;
        self
    }
}

impl Deref for Tx {
    type Target = Link;

    fn deref(&self) -> &Link {
        &self.connection
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut Link {
        &mut self.connection
    }
}

/// A statement with its values.
pub(crate) type Statement = sqlx::query::Query<'static, Postgres, PgArguments>;

/// Which failures are retried.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum RetryOn {
    /// Transactions that the server rolled back.
    Conflict,
    /// Those, and lost connections: the work carries an id, so repeating it has no further effect.
    LostConnection,
}

impl Base {
    /// Runs `work` in a transaction, durable when this returns. If the connection is lost during the
    /// commit, the outcome is unknown.
    pub(crate) async fn write<T, F>(&self, work: impl Fn(Tx) -> F) -> Result<T>
    where
        F: Future<Output = Work<(Tx, T)>>,
    {
        self.within(self.retry(RetryOn::Conflict, || self.transaction(TxMode::Write, &work))).await
    }

    /// As [`Base::write`], for work that carries an id and is retried after a lost connection.
    pub(crate) async fn write_idempotent<T, F>(&self, work: impl Fn(Tx) -> F) -> Result<T>
    where
        F: Future<Output = Work<(Tx, T)>>,
    {
        self.within(self.retry(RetryOn::LostConnection, || self.transaction(TxMode::Write, &work)))
            .await
    }

    /// As [`Base::write_idempotent`], without a time limit.
    pub(crate) async fn write_long<T, F>(&self, work: impl Fn(Tx) -> F) -> Result<T>
    where
        F: Future<Output = Work<(Tx, T)>>,
    {
        let done = self
            .retry(RetryOn::LostConnection, || self.transaction(TxMode::WriteLong, &work))
            .await;
        done.map_err(crate::error::Failure::into_error)
    }

    /// Reads with one statement.
    pub(crate) async fn query<T, F>(&self, work: impl Fn(Connection) -> F) -> Result<T>
    where
        F: Future<Output = Work<(Connection, T)>>,
    {
        let query = async || {
            let (connection, found) = work(self.connections.reader().await?).await?;
            connection.done(self.connections.pooled()).await?;
            Ok(found)
        };
        self.within(self.retry(RetryOn::LostConnection, query)).await
    }

    /// Reads all rows of a statement.
    pub(crate) async fn fetch_all<T>(
        &self,
        statement: impl Fn() -> Statement + Sync,
        read: impl Fn(Cells<'_>) -> sqlx::Result<T> + Sync,
    ) -> Result<Vec<T>> {
        let (statement, read) = (&statement, &read);
        self.query(|mut connection| async move {
            let rows = statement().fetch_all(&mut *connection).await?;
            let found = rows.iter().map(|row| read(Cells(row))).collect::<sqlx::Result<_>>()?;
            Ok((connection, found))
        })
        .await
    }

    /// Reads the row of a statement, if there is one.
    pub(crate) async fn fetch_optional<T>(
        &self,
        statement: impl Fn() -> Statement + Sync,
        read: impl Fn(Cells<'_>) -> sqlx::Result<T> + Sync,
    ) -> Result<Option<T>> {
        let (statement, read) = (&statement, &read);
        self.query(|mut connection| async move {
            let row = statement().fetch_optional(&mut *connection).await?;
            let found = row.as_ref().map(|row| read(Cells(row))).transpose()?;
            Ok((connection, found))
        })
        .await
    }

    /// Reads with several statements, on one snapshot.
    pub(crate) async fn read<T, F>(&self, work: impl Fn(Connection) -> F) -> Result<T>
    where
        F: Future<Output = Work<(Connection, T)>>,
    {
        self.within(self.retry(RetryOn::LostConnection, || self.snapshot(TxMode::Read, &work)))
            .await
    }

    /// As [`Base::read`], without a time limit.
    pub(crate) async fn read_long<T, F>(&self, work: impl Fn(Connection) -> F) -> Result<T>
    where
        F: Future<Output = Work<(Connection, T)>>,
    {
        let done =
            self.retry(RetryOn::LostConnection, || self.snapshot(TxMode::ReadLong, &work)).await;
        done.map_err(crate::error::Failure::into_error)
    }

    async fn snapshot<T, F>(&self, how: TxMode, work: &impl Fn(Connection) -> F) -> Work<T>
    where
        F: Future<Output = Work<(Connection, T)>>,
    {
        let (connection, found) = work(self.connections.begin(how).await?).await?;
        connection.commit().await?;
        Ok(found)
    }

    async fn transaction<T, F>(&self, how: TxMode, work: &impl Fn(Tx) -> F) -> Work<T>
    where
        F: Future<Output = Work<(Tx, T)>>,
    {
        let connection = self.connections.begin(how).await?;
        let (mut tx, value) = work(Tx { connection, notify: false, rolled_back: false }).await?;
        if tx.rolled_back {
            tx.connection.roll_back().await?;
            return Ok(value);
        }
        let new_revision =
            if tx.notify { Some(increment_revision(&mut tx, &self.channel).await?) } else { None };
        tx.connection.commit().await?;
        if let Some(revision) = new_revision {
            publish(&self.revision, revision);
        }
        Ok(value)
    }

    async fn retry<T, F>(&self, retry_on: RetryOn, attempt: impl Fn() -> F) -> Work<T>
    where
        F: Future<Output = Work<T>>,
    {
        let (mut conflicts, mut losses, mut backoff) = (0, 0, MIN_BACKOFF);
        loop {
            let failure = match attempt().await {
                Err(failure) if failure.is_conflict() && conflicts < MAX_CONFLICTS => {
                    conflicts += 1;
                    failure
                }
                Err(failure)
                    if retry_on == RetryOn::LostConnection
                        && failure.spoils_connection()
                        && losses < self.connections.max_retries() =>
                {
                    losses += 1;
                    failure
                }
                done => return done,
            };
            tracing::debug!(?failure, "transaction retried");
            sleep(jitter(backoff)).await;
            backoff = (backoff * 2).min(MAX_BACKOFF);
        }
    }

    async fn within<T>(&self, work: impl Future<Output = Work<T>>) -> Result<T> {
        match timeout(self.call_timeout, work).await {
            Ok(done) => done.map_err(crate::error::Failure::into_error),
            Err(_) => Err(Error::unavailable("the database does not answer in time")),
        }
    }
}

/// Between half of `backoff` and all of it, so that rivals do not retry at the same time.
fn jitter(backoff: Duration) -> Duration {
    let chance = uuid::Uuid::now_v7().as_u128() % 1_000;
    let share = u32::try_from(chance).unwrap_or(0);
    backoff / 2 + backoff / 2 * share / 1_000
}
