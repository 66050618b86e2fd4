//! Runs a call on one connection, with retries where they are safe and within a time limit.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use simops::store::sql::publish;
use simops::usage::KnownBudgets;
use simops::{Error, Result};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::connection::{Connection, Connections, TxMode};
use crate::error::{Failure, Work};
use crate::link::Link;
use crate::revision::increment_revision;

/// Maximum retries after conflicts with other transactions.
const MAX_CONFLICTS: u32 = 20;
const MIN_BACKOFF: Duration = Duration::from_millis(2);
const MAX_BACKOFF: Duration = Duration::from_millis(200);

/// What every call needs. A clone shares it.
#[derive(Clone)]
pub(crate) struct Base {
    pub(crate) connections: Connections,
    pub(crate) revision: watch::Sender<u64>,
    /// The channel of notifications.
    pub(crate) channel: Arc<str>,
    pub(crate) call_timeout: Duration,
    /// Whether the ledger is partitioned by time.
    pub(crate) ledger_by_time: bool,
    pub(crate) budgets: Arc<KnownBudgets>,
}

/// A transaction.
pub(crate) struct Tx {
    connection: Connection,
    /// Whether to notify watchers once the transaction is durable.
    pub(crate) notify_watchers: bool,
    /// Whether to roll the transaction back instead of committing it.
    pub(crate) roll_back: bool,
    /// Whether the ledger is partitioned by time.
    pub(crate) ledger_by_time: bool,
    pub(crate) budgets: Arc<KnownBudgets>,
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

impl Base {
    /// The same for run control.
    pub(crate) fn for_control(&self) -> Self {
        Self { connections: self.connections.for_control(), ..self.clone() }
    }

    /// Runs `work` in a transaction, durable when this returns. Conflicts with other transactions are
    /// retried, and lost connections except in [`TxMode::WriteOnce`]: then the outcome is unknown.
    pub(crate) async fn run<T, F>(&self, mode: TxMode, work: impl Fn(Tx) -> F) -> Result<T>
    where
        F: Future<Output = Work<(Tx, T)>>,
    {
        let done = self.retry(mode != TxMode::WriteOnce, || self.transaction(mode, &work));
        if mode.is_long() {
            done.await.map_err(Failure::into_error)
        } else {
            self.within(done).await
        }
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
        self.within(self.retry(true, query)).await
    }

    async fn transaction<T, F>(&self, mode: TxMode, work: &impl Fn(Tx) -> F) -> Work<T>
    where
        F: Future<Output = Work<(Tx, T)>>,
    {
        let connection = self.connections.begin(mode).await?;
        let tx = Tx {
            connection,
            notify_watchers: false,
            roll_back: false,
            ledger_by_time: self.ledger_by_time,
            budgets: Arc::clone(&self.budgets),
        };
        let (mut tx, value) = work(tx).await?;
        if tx.roll_back {
            tx.connection.roll_back().await?;
            return Ok(value);
        }
        let new_revision = if tx.notify_watchers {
            Some(increment_revision(&mut tx, &self.channel).await?)
        } else {
            None
        };
        tx.connection.commit().await?;
        if let Some(revision) = new_revision {
            publish(&self.revision, revision);
        }
        Ok(value)
    }

    async fn retry<T, F>(&self, after_loss: bool, attempt: impl Fn() -> F) -> Work<T>
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
                    if after_loss
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
            Ok(done) => done.map_err(Failure::into_error),
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
