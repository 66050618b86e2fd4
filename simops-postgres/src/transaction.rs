//! How a call reaches the database: on one connection, repeated where that is right, and never for
//! longer than its caller waits.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use simops::{Error, Result};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::connection::{Connection, Connections, How};
use crate::error::Work;
use crate::link::Link;
use crate::watch::{count_up, publish};

/// How often a transaction is done anew because it gave way to another.
const MOST_CONFLICTS: u32 = 20;
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

/// What every call needs; a clone shares it.
#[derive(Clone)]
pub(crate) struct Base {
    pub(crate) connections: Arc<Connections>,
    pub(crate) revision: watch::Sender<u64>,
    /// Where notifications are heard.
    pub(crate) channel: Arc<str>,
    pub(crate) answer_within: Duration,
    /// Whether the ledger is a table of partitions by time.
    pub(crate) ledger_by_time: bool,
}

/// A transaction that writes.
pub(crate) struct Tx {
    connection: Connection,
    moved: bool,
    undone: bool,
}

impl Tx {
    /// Tells watchers once the transaction is durable.
    pub(crate) fn tell_watchers(&mut self) {
        self.moved = true;
    }

    /// The transaction is to leave nothing behind.
    pub(crate) fn undone(mut self) -> Self {
        self.undone = true;
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

/// What may be done anew.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Again {
    /// What the server says it has undone.
    Undone,
    /// That, and what was lost with its connection: it carries an id, so doing it twice is doing it
    /// once.
    Lost,
}

impl Base {
    /// Does `work` in a transaction, durable when this returns. A connection that is lost at the
    /// commit leaves its outcome unknown.
    pub(crate) async fn write<T, F>(&self, work: impl Fn(Tx) -> F) -> Result<T>
    where
        F: Future<Output = Work<(Tx, T)>>,
    {
        self.within(self.repeat(Again::Undone, || self.transaction(How::Write, &work))).await
    }

    /// As [`Base::write`], for work that carries an id: a lost connection is no reason to fail.
    pub(crate) async fn write_known<T, F>(&self, work: impl Fn(Tx) -> F) -> Result<T>
    where
        F: Future<Output = Work<(Tx, T)>>,
    {
        self.within(self.repeat(Again::Lost, || self.transaction(How::Write, &work))).await
    }

    /// As [`Base::write`], for as long as it takes.
    pub(crate) async fn write_long<T, F>(&self, work: impl Fn(Tx) -> F) -> Result<T>
    where
        F: Future<Output = Work<(Tx, T)>>,
    {
        let done = self.repeat(Again::Lost, || self.transaction(How::WriteLong, &work)).await;
        done.map_err(crate::error::Failure::into_error)
    }

    /// Reads by one statement.
    pub(crate) async fn look<T, F>(&self, work: impl Fn(Connection) -> F) -> Result<T>
    where
        F: Future<Output = Work<(Connection, T)>>,
    {
        let look = async || {
            let (connection, found) = work(self.connections.reader().await?).await?;
            connection.done(self.connections.pooled()).await?;
            Ok(found)
        };
        self.within(self.repeat(Again::Lost, look)).await
    }

    /// Reads by several statements, all of one moment.
    pub(crate) async fn read<T, F>(&self, work: impl Fn(Connection) -> F) -> Result<T>
    where
        F: Future<Output = Work<(Connection, T)>>,
    {
        self.within(self.repeat(Again::Lost, || self.moment(How::Read, &work))).await
    }

    /// As [`Base::read`], for as long as it takes.
    pub(crate) async fn read_long<T, F>(&self, work: impl Fn(Connection) -> F) -> Result<T>
    where
        F: Future<Output = Work<(Connection, T)>>,
    {
        let done = self.repeat(Again::Lost, || self.moment(How::ReadLong, &work)).await;
        done.map_err(crate::error::Failure::into_error)
    }

    async fn moment<T, F>(&self, how: How, work: &impl Fn(Connection) -> F) -> Work<T>
    where
        F: Future<Output = Work<(Connection, T)>>,
    {
        let (connection, found) = work(self.connections.begin(how).await?).await?;
        connection.commit().await?;
        Ok(found)
    }

    async fn transaction<T, F>(&self, how: How, work: &impl Fn(Tx) -> F) -> Work<T>
    where
        F: Future<Output = Work<(Tx, T)>>,
    {
        let connection = self.connections.begin(how).await?;
        let (mut tx, value) = work(Tx { connection, moved: false, undone: false }).await?;
        if tx.undone {
            tx.connection.roll_back().await?;
            return Ok(value);
        }
        let moved = if tx.moved { Some(count_up(&mut tx, &self.channel).await?) } else { None };
        tx.connection.commit().await?;
        if let Some(revision) = moved {
            publish(&self.revision, revision);
        }
        Ok(value)
    }

    async fn repeat<T, F>(&self, again: Again, attempt: impl Fn() -> F) -> Work<T>
    where
        F: Future<Output = Work<T>>,
    {
        let (mut conflicts, mut losses, mut pause) = (0, 0, FIRST_PAUSE);
        loop {
            let failure = match attempt().await {
                Err(failure) if failure.is_conflict() && conflicts < MOST_CONFLICTS => {
                    conflicts += 1;
                    failure
                }
                Err(failure)
                    if again == Again::Lost
                        && failure.spoils_connection()
                        && losses < self.connections.tries() =>
                {
                    losses += 1;
                    failure
                }
                done => return done,
            };
            tracing::debug!(?failure, "done anew");
            sleep(jitter(pause)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn within<T>(&self, work: impl Future<Output = Work<T>>) -> Result<T> {
        match timeout(self.answer_within, work).await {
            Ok(done) => done.map_err(crate::error::Failure::into_error),
            Err(_) => Err(Error::unavailable("the database does not answer in time")),
        }
    }
}

/// Between half of `pause` and all of it, so that rivals do not meet again.
fn jitter(pause: Duration) -> Duration {
    let chance = uuid::Uuid::now_v7().as_u128() % 1_000;
    let share = u32::try_from(chance).unwrap_or(0);
    pause / 2 + pause / 2 * share / 1_000
}
