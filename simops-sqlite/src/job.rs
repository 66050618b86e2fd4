//! A unit of work that a caller awaits and a thread runs.

use std::ffi::c_int;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use rusqlite::Connection;
use simops::store::sql::panicked;
use simops::usage::{Op, Outcome};
use simops::{Error, Result};
use tokio::sync::oneshot;

use crate::counting;
use crate::error::{Failure, Work};

/// How many instructions of SQLite's virtual machine run between two looks at whether a read is still
/// awaited: some tens of microseconds.
const INSTRUCTIONS_PER_LOOK: c_int = 1_000;

/// The transaction that a job runs in.
pub(crate) struct Tx<'c> {
    connection: &'c mut Connection,
    /// Whether to notify watchers once the transaction is durable.
    pub(crate) notify_watchers: bool,
    /// Whether to undo what the job did.
    pub(crate) roll_back: bool,
}

impl<'c> Tx<'c> {
    pub(crate) fn new(connection: &'c mut Connection) -> Self {
        Self { connection, notify_watchers: false, roll_back: false }
    }
}

impl Deref for Tx<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection
    }
}

/// A unit of work in a transaction.
pub(crate) trait Job: Send {
    /// Whether a caller still waits for the result.
    fn is_awaited(&self) -> bool;

    /// Whether it may use the space that is kept for run control on a disk that is full. Such a job can run
    /// again after its transaction has failed.
    fn uses_reserve(&self) -> bool {
        false
    }

    /// This job as a ledger operation, if it is one. The writer applies all of them at once.
    fn as_ledger(&mut self) -> Option<&mut LedgerJob> {
        None
    }

    /// Whether the job has a result.
    fn is_done(&self) -> bool {
        false
    }

    /// Runs the job and keeps its result. The failure is returned for the thread to inspect.
    fn run(&mut self, tx: &mut Tx<'_>) -> Result<(), &Failure>;

    /// Sends the result to the caller, or `overruled` if the transaction failed.
    fn answer(self: Box<Self>, overruled: Option<Error>);
}

struct Task<W, T> {
    work: Option<W>,
    result: Option<Work<T>>,
    reply: Arc<oneshot::Sender<Result<T>>>,
    kind: Kind,
}

/// What a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Reads. It is interrupted once its caller is gone.
    Read,
    /// Writes. It completes once it has begun.
    Write,
}

/// A job that runs `work`, and the receiver of its result.
pub(crate) fn job<T, W>(kind: Kind, work: W) -> (Box<dyn Job>, oneshot::Receiver<Result<T>>)
where
    T: Send + 'static,
    W: FnOnce(&mut Tx<'_>) -> Work<T> + Send + 'static,
{
    let (reply, answer) = oneshot::channel();
    (Box::new(Task { work: Some(work), result: None, reply: Arc::new(reply), kind }), answer)
}

impl<T, W> Task<W, T>
where
    T: Send + 'static,
    W: FnOnce(&mut Tx<'_>) -> Work<T> + Send,
{
    /// Runs `work`, a read only while its caller waits. Nothing but its own statements is
    /// interrupted: SQLite looks at this caller until they have ended.
    fn result(&self, tx: &mut Tx<'_>, work: W) -> Work<T> {
        if self.kind != Kind::Read {
            return guard(|| work(tx));
        }
        let reply = Arc::clone(&self.reply);
        tx.progress_handler(INSTRUCTIONS_PER_LOOK, Some(move || reply.is_closed()))?;
        let result = guard(|| work(tx));
        tx.progress_handler(0, None::<fn() -> bool>)?;
        result
    }
}

impl<T, W> Job for Task<W, T>
where
    T: Send + 'static,
    W: FnOnce(&mut Tx<'_>) -> Work<T> + Send,
{
    fn is_awaited(&self) -> bool {
        !self.reply.is_closed()
    }

    fn run(&mut self, tx: &mut Tx<'_>) -> Result<(), &Failure> {
        if let Some(work) = self.work.take() {
            self.result = Some(self.result(tx, work));
        }
        match &self.result {
            Some(Err(failure)) => Err(failure),
            _ => Ok(()),
        }
    }

    fn answer(self: Box<Self>, overruled: Option<Error>) {
        // Nothing else holds it: the job has ended.
        if let Some(caller) = Arc::into_inner(self.reply) {
            reply(caller, self.result, overruled);
        }
    }
}

/// What [`job_with_reserve`] makes. It keeps its work, to run it again.
struct ReserveTask<W, T> {
    work: W,
    result: Option<Work<T>>,
    reply: oneshot::Sender<Result<T>>,
}

/// A job that writes with `work` and may use the space that is kept for run control on a disk that is
/// full, and the receiver of its result.
pub(crate) fn job_with_reserve<T, W>(work: W) -> (Box<dyn Job>, oneshot::Receiver<Result<T>>)
where
    T: Send + 'static,
    W: FnMut(&mut Tx<'_>) -> Work<T> + Send + 'static,
{
    let (reply, answer) = oneshot::channel();
    (Box::new(ReserveTask { work, result: None, reply }), answer)
}

impl<T, W> Job for ReserveTask<W, T>
where
    T: Send + 'static,
    W: FnMut(&mut Tx<'_>) -> Work<T> + Send,
{
    fn is_awaited(&self) -> bool {
        !self.reply.is_closed()
    }

    fn uses_reserve(&self) -> bool {
        true
    }

    fn run(&mut self, tx: &mut Tx<'_>) -> Result<(), &Failure> {
        match self.result.insert(guard(|| (self.work)(tx))) {
            Ok(_) => Ok(()),
            Err(failure) => Err(failure),
        }
    }

    fn answer(self: Box<Self>, overruled: Option<Error>) {
        reply(self.reply, self.result, overruled);
    }
}

/// The result of an operation. Nothing in it waits, because the calls of [`Tx`] block.
pub(crate) fn now<T>(operation: impl Future<Output = Work<T>>) -> Work<T> {
    match pin!(operation).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => done,
        Poll::Pending => Err(Error::internal("an operation of the store waits").into()),
    }
}

/// A ledger operation that waits for the writer.
pub(crate) struct LedgerJob {
    op: Op,
    result: Option<Work<Outcome>>,
    reply: oneshot::Sender<Result<Outcome>>,
}

/// A job that applies `op`, and the receiver of its outcome.
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

    fn run(&mut self, tx: &mut Tx<'_>) -> Result<(), &Failure> {
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

/// Runs `work`. A panic fails this job, not the thread that serves all callers.
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
        // A job that failed keeps its own error.
        (Some(Err(failure)), _) => Err(failure.into_error()),
        (_, Some(error)) => Err(error),
        (Some(Ok(value)), None) => Ok(value),
        (None, None) => Err(Error::internal("a job was answered before it ran")),
    };
    // The caller may have given up.
    let _ = reply.send(result);
}

#[cfg(test)]
#[allow(clippy::panic, clippy::unwrap_used, reason = "a test of panics")]
mod tests {
    use simops::ErrorKind;
    use simops::store::ControlStore;

    use crate::SqliteStore;

    #[tokio::test]
    async fn a_panic_fails_its_own_call_only() {
        let store = SqliteStore::open("sqlite::memory:").await.unwrap();
        let panicked = store.on_writer::<(), _>(|tx| {
            tx.execute("UPDATE control SET generation = 99", [])?;
            panic!("a defect")
        });
        let (panicked, other) = tokio::join!(panicked, store.on_writer(|_| Ok(7)));
        assert!(panicked.is_err_and(|error| error.kind() == ErrorKind::Internal));
        assert_eq!(other.unwrap(), 7);
        assert_eq!(store.load().await.unwrap().generation, 0);
    }
}
