//! A piece of work that a caller awaits and a thread does.

use std::any::Any;
use std::cell::Cell;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use rusqlite::Connection;
use simops::usage::{Op, Outcome};
use simops::{Error, Result};
use tokio::sync::oneshot;

use crate::counting;
use crate::error::{Failure, Work};

/// The transaction that a job works in.
pub(crate) struct Tx<'c> {
    connection: &'c Connection,
    moved: Cell<bool>,
}

impl<'c> Tx<'c> {
    pub(crate) fn new(connection: &'c Connection) -> Self {
        Self { connection, moved: Cell::new(false) }
    }

    /// Tells watchers once the transaction is durable.
    pub(crate) fn tell_watchers(&self) {
        self.moved.set(true);
    }

    /// Whether there is something to tell them.
    pub(crate) fn has_moved(&self) -> bool {
        self.moved.get()
    }
}

impl Deref for Tx<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection
    }
}

/// Work to do in a transaction.
pub(crate) trait Job: Send {
    /// Whether somebody still waits for the answer.
    fn is_awaited(&self) -> bool;

    /// The ledger operation that this job is, if it is one. The writer applies all of them at once.
    fn as_ledger(&mut self) -> Option<&mut LedgerJob> {
        None
    }

    /// Whether the result is there already.
    fn is_done(&self) -> bool {
        false
    }

    /// Does the work and keeps its result. The failure, if any, is for the thread to look at.
    fn run(&mut self, tx: &Tx<'_>) -> Result<(), &Failure>;

    /// Answers with the result, or with `overruled` when the thread could not make it true.
    fn answer(self: Box<Self>, overruled: Option<Error>);
}

struct Task<W, T> {
    work: Option<W>,
    result: Option<Work<T>>,
    reply: oneshot::Sender<Result<T>>,
}

/// A job that does `work`, and where its result will arrive.
pub(crate) fn job<T, W>(work: W) -> (Box<dyn Job>, oneshot::Receiver<Result<T>>)
where
    T: Send + 'static,
    W: FnOnce(&Tx<'_>) -> Work<T> + Send + 'static,
{
    let (reply, answer) = oneshot::channel();
    (Box::new(Task { work: Some(work), result: None, reply }), answer)
}

impl<T, W> Job for Task<W, T>
where
    T: Send,
    W: FnOnce(&Tx<'_>) -> Work<T> + Send,
{
    fn is_awaited(&self) -> bool {
        !self.reply.is_closed()
    }

    fn run(&mut self, tx: &Tx<'_>) -> Result<(), &Failure> {
        if let Some(work) = self.work.take() {
            self.result = Some(guard(|| work(tx)));
        }
        match &self.result {
            Some(Err(failure)) => Err(failure),
            _ => Ok(()),
        }
    }

    fn answer(self: Box<Self>, overruled: Option<Error>) {
        reply(self.reply, self.result, overruled);
    }
}

/// A ledger operation that waits for the writer.
pub(crate) struct LedgerJob {
    op: Op,
    result: Option<Work<Outcome>>,
    reply: oneshot::Sender<Result<Outcome>>,
}

/// A job that applies `op`, and where its outcome will arrive.
pub(crate) fn ledger_job(op: Op) -> (Box<dyn Job>, oneshot::Receiver<Result<Outcome>>) {
    let (reply, answer) = oneshot::channel();
    (Box::new(LedgerJob { op, result: None, reply }), answer)
}

impl Job for LedgerJob {
    fn is_awaited(&self) -> bool {
        !self.reply.is_closed()
    }

    fn as_ledger(&mut self) -> Option<&mut LedgerJob> {
        Some(self)
    }

    fn is_done(&self) -> bool {
        self.result.is_some()
    }

    fn run(&mut self, tx: &Tx<'_>) -> Result<(), &Failure> {
        let result = guard(|| counting::apply_one(tx, &self.op));
        match self.result.insert(result) {
            Ok(_) => Ok(()),
            Err(failure) => Err(failure),
        }
    }

    fn answer(self: Box<Self>, overruled: Option<Error>) {
        reply(self.reply, self.result, overruled);
    }
}

/// Applies the operations of all `jobs` as one batch, and keeps their results.
pub(crate) fn apply_all(connection: &Connection, jobs: &mut [&mut LedgerJob]) -> Work<()> {
    let outcomes = guard(|| {
        let ops: Vec<_> = jobs.iter().map(|job| &job.op).collect();
        counting::apply(connection, &ops)
    })?;
    for (job, outcome) in jobs.iter_mut().zip(outcomes) {
        job.result = Some(outcome.map_err(Failure::from));
    }
    Ok(())
}

/// Does `work`. A panic in it becomes an error for its caller and does not end the thread.
pub(crate) fn guard<T>(work: impl FnOnce() -> Work<T>) -> Work<T> {
    let done = catch_unwind(AssertUnwindSafe(work));
    done.unwrap_or_else(|panic| Err(panicked(&*panic).into()))
}

/// Answers a caller with the result of its job, or with `overruled`.
pub(crate) fn reply<T>(
    reply: oneshot::Sender<Result<T>>,
    result: Option<Work<T>>,
    overruled: Option<Error>,
) {
    let result = match (result, overruled) {
        // A job that failed by itself keeps its own error.
        (Some(Err(failure)), _) => Err(failure.into_error()),
        (_, Some(error)) => Err(error),
        (Some(Ok(value)), None) => Ok(value),
        (None, None) => Err(Error::internal("a job was answered before it was done")),
    };
    // A caller that no longer listens does not need the answer.
    let _ = reply.send(result);
}

fn panicked(panic: &(dyn Any + Send)) -> Error {
    let said = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_default();
    tracing::error!(panic = said, "a job of the store panicked");
    Error::internal("a call of the store failed by a defect of simops")
}

/// The answer, unless it takes longer than `patience`.
pub(crate) async fn await_answer<T>(
    answer: oneshot::Receiver<Result<T>>,
    patience: Duration,
) -> Result<T> {
    match tokio::time::timeout(patience, answer).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(Error::unavailable("the store is closed")),
        Err(_) => Err(Error::unavailable("the database does not answer in time")),
    }
}

#[cfg(test)]
#[allow(clippy::panic, clippy::unwrap_used, reason = "a test of panics")]
mod tests {
    use simops::ErrorKind;
    use simops::store::ControlStore;

    use crate::SqliteStore;

    #[tokio::test]
    async fn a_panic_costs_its_caller_an_error_and_nobody_else_anything() {
        let store = SqliteStore::open("sqlite::memory:").await.unwrap();
        let panicked = store.write::<(), _>(|tx| {
            tx.execute("UPDATE control SET generation = 99", [])?;
            panic!("a defect")
        });
        let (panicked, beside) = tokio::join!(panicked, store.write(|_| Ok(7)));
        assert!(panicked.is_err_and(|error| error.kind() == ErrorKind::Internal));
        assert_eq!(beside.unwrap(), 7);
        assert_eq!(store.load().await.unwrap().generation, 0);
    }
}
