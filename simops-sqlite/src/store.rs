//! The store: its threads, and how a call reaches them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use rusqlite::Connection;
use simops::usage::{Op, Outcome};
use simops::{Error, Result};
use tokio::sync::{oneshot, watch};

use crate::connection::{self, Role, Slot, limit_size};
use crate::error::{Failure, Work};
use crate::job::{Job, Tx, await_answer, job, ledger_job};
use crate::kpi_tail::Tail;
use crate::location::Location;
use crate::queue::Queue;
use crate::{SqliteOptions, reader, writer};

/// How long [`simops::store::ControlStore::ping`] waits for a sign of life.
const PING_WITHIN: Duration = Duration::from_secs(1);

/// A store on one SQLite database.
///
/// # Contract
/// - Any number of stores, in this process or others, may be open on one file.
/// - Calls do no blocking work in the caller's thread. They need a Tokio runtime with time enabled.
/// - Dropping the store ends its threads after the writes in hand, and folds the log into the file
///   when no other store has it open.
pub struct SqliteStore {
    writes: Arc<Queue<Box<dyn Job>>>,
    // None: a database in memory has one connection, the writer's.
    reads: Option<Arc<Queue<Box<dyn Job>>>>,
    pub(crate) revision: watch::Sender<u64>,
    pub(crate) kpi_tail: Arc<Mutex<Tail>>,
    closed: Arc<AtomicBool>,
    answer_within: Duration,
    side_threads: Vec<JoinHandle<()>>,
    writer: Option<JoinHandle<()>>,
}

impl SqliteStore {
    /// Opens the database at `url` (`sqlite://PATH`, `sqlite:PATH`, `sqlite::memory:`), creating
    /// and migrating it as needed.
    ///
    /// # Errors
    /// `Invalid` for another URL; `Unavailable` when the file cannot be opened, is locked, or the
    /// disk is full; `Unusable` when it is corrupt, another program's, or of a newer simops.
    pub async fn open(url: &str) -> Result<Self> {
        Self::open_with(url, SqliteOptions::default()).await
    }

    /// As [`SqliteStore::open`], used as `options` say.
    ///
    /// # Errors
    /// As [`SqliteStore::open`].
    pub async fn open_with(url: &str, options: SqliteOptions) -> Result<Self> {
        let location = Location::parse(url)?;
        let mut store = Self {
            writes: Arc::new(Queue::new(options.waiting)),
            reads: None,
            revision: watch::Sender::new(0),
            kpi_tail: Arc::new(Mutex::new(Tail::new(options.kpi_tail))),
            closed: Arc::new(AtomicBool::new(false)),
            answer_within: options.answer_within,
            side_threads: Vec::new(),
            writer: None,
        };
        let opened = store.start_writer(&location, &options)?;
        opened
            .await
            .map_err(|_| Error::internal("the writer did not start"))?
            .map_err(|error| error.about(&location))?;
        if location != Location::Memory {
            store.start_readers(&location, &options)?;
            store.start_watcher(&location, &options)?;
        }
        Ok(store)
    }

    /// Whether the database lies in a file.
    pub(crate) fn is_file(&self) -> bool {
        self.reads.is_some()
    }

    /// Lets the database grow to `max_bytes` at most, or as far as the disk allows. Beyond it,
    /// writes fail as on a full disk.
    ///
    /// # Errors
    /// `Unavailable` when the database is away.
    pub async fn set_max_bytes(&self, max_bytes: Option<u64>) -> Result<()> {
        self.write(move |tx| limit_size(tx, max_bytes)).await
    }

    /// Does `work` in a transaction of the writer, durable when this returns.
    pub(crate) async fn write<T, W>(&self, work: W) -> Result<T>
    where
        T: Send + 'static,
        W: FnOnce(&Tx<'_>) -> Work<T> + Send + 'static,
    {
        let (job, answer) = job(work);
        self.enqueue(job, answer).await
    }

    /// Applies `op` to the ledger, durable when this returns.
    pub(crate) async fn apply(&self, op: Op) -> Result<Outcome> {
        let (job, answer) = ledger_job(op);
        self.enqueue(job, answer).await
    }

    /// Puts a job into the writer's queue and waits for its answer.
    async fn enqueue<T>(
        &self,
        job: Box<dyn Job>,
        answer: oneshot::Receiver<Result<T>>,
    ) -> Result<T> {
        self.writes.push(job)?;
        await_answer(answer, self.answer_within).await
    }

    /// Does `work` beside the writer; all it reads is of one moment.
    pub(crate) async fn read<T, W>(&self, work: W) -> Result<T>
    where
        T: Send + 'static,
        W: FnOnce(&Connection) -> Work<T> + Send + 'static,
    {
        let (job, answer) = job(move |tx| work(tx));
        self.reads.as_ref().unwrap_or(&self.writes).push(job)?;
        await_answer(answer, self.answer_within).await
    }

    /// Reads, and takes the lock for writing.
    pub(crate) async fn probe(&self) -> Result<()> {
        let probe = async {
            self.read(|connection| crate::watch::stored(connection).map(drop)).await?;
            self.write(|_| Ok(())).await
        };
        let late = || Error::unavailable("the database does not answer in time");
        tokio::time::timeout(PING_WITHIN, probe).await.map_err(|_| late())?
    }

    /// The share of calls in hand or waiting of those that may be.
    pub(crate) fn utilization(&self) -> f64 {
        let reads = self.reads.as_ref().map_or(0.0, |reads| reads.utilization());
        self.writes.utilization().max(reads)
    }

    fn start_writer(
        &mut self,
        location: &Location,
        options: &SqliteOptions,
    ) -> Result<oneshot::Receiver<Result<()>>> {
        let (ready, opened) = oneshot::channel();
        let (location, options) = (location.clone(), options.clone());
        let (queue, revision) = (Arc::clone(&self.writes), self.revision.clone());
        self.writer = Some(start("simops-sqlite-writer", move || {
            match open_writer(&location, &options, &revision) {
                Ok(slot) => {
                    // An opener that gave up drops the store, which closes the queue.
                    let _ = ready.send(Ok(()));
                    writer::run(slot, &queue, &revision);
                }
                Err(failure) => drop(ready.send(Err(failure.into_error()))),
            }
        })?);
        Ok(opened)
    }

    fn start_readers(&mut self, location: &Location, options: &SqliteOptions) -> Result<()> {
        let reads = Arc::new(Queue::new(options.waiting));
        for _ in 0..options.readers.max(1) {
            let slot = Slot::new(location, Role::Reader, options);
            let queue = Arc::clone(&reads);
            let thread = start("simops-sqlite-reader", move || reader::run(slot, &queue))?;
            self.side_threads.push(thread);
        }
        self.reads = Some(reads);
        Ok(())
    }

    fn start_watcher(&mut self, location: &Location, options: &SqliteOptions) -> Result<()> {
        let slot = Slot::new(location, Role::Reader, options);
        let (revision, closed) = (self.revision.clone(), Arc::clone(&self.closed));
        let every = options.look_every;
        let run = move || crate::watch::run(slot, every, &revision, &closed);
        self.side_threads.push(start("simops-sqlite-watch", run)?);
        Ok(())
    }
}

fn open_writer(
    location: &Location,
    options: &SqliteOptions,
    revision: &watch::Sender<u64>,
) -> Result<Slot, Failure> {
    let connection = connection::create(location, options)?;
    crate::watch::publish(revision, crate::watch::stored(&connection)?);
    Ok(Slot::new(location, Role::Writer, options).holding(connection))
}

fn start(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    let failed = |error| Error::unavailable("no thread for the database").with_source(error);
    Builder::new().name(name.to_owned()).spawn(run).map_err(failed)
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::Release);
        if let Some(reads) = &self.reads {
            reads.close();
        }
        end(self.side_threads.drain(..));
        // The writer ends last, because only a connection that may write, and is the last one to
        // close, folds the log into the file.
        self.writes.close();
        end(self.writer.take());
    }
}

fn end(threads: impl IntoIterator<Item = JoinHandle<()>>) {
    for thread in threads {
        thread.thread().unpark();
        if thread.join().is_err() {
            tracing::error!("a thread of the store panicked");
        }
    }
}
