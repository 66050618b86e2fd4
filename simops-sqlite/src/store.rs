//! The store: its threads, and how calls reach them.

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
use crate::kpi_write_buffer::WriteBuffer;
use crate::location::Location;
use crate::queue::Queue;
use crate::{SqliteOptions, reader, revision, writer};

/// Time limit of [`simops::store::ControlStore::ping`].
const PING_TIMEOUT: Duration = Duration::from_secs(1);

/// A store on one SQLite database.
///
/// # Contract
/// - Any number of stores, in this process or others, may be open on one file.
/// - Calls do not block the caller's thread. They need a Tokio runtime with time enabled.
/// - Dropping the store finishes queued writes, ends its threads, and checkpoints the write-ahead
///   log if no other store has the file open.
pub struct SqliteStore {
    writes: Arc<Queue<Box<dyn Job>>>,
    // `None` for a database in memory, which has only the writer's connection.
    reads: Option<Arc<Queue<Box<dyn Job>>>>,
    pub(crate) revision: watch::Sender<u64>,
    pub(crate) kpi_buffer: Arc<Mutex<WriteBuffer>>,
    closed: Arc<AtomicBool>,
    call_timeout: Duration,
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

    /// As [`SqliteStore::open`], with options.
    ///
    /// # Errors
    /// As [`SqliteStore::open`].
    pub async fn open_with(url: &str, options: SqliteOptions) -> Result<Self> {
        let location = Location::parse(url)?;
        let mut store = Self {
            writes: Arc::new(Queue::new(options.max_waiting)),
            reads: None,
            revision: watch::Sender::new(0),
            kpi_buffer: Arc::new(Mutex::new(WriteBuffer::new(options.kpi_write_buffer))),
            closed: Arc::new(AtomicBool::new(false)),
            call_timeout: options.call_timeout,
            side_threads: Vec::new(),
            writer: None,
        };
        let opened = store.start_writer(&location, &options)?;
        opened
            .await
            .map_err(|_| Error::internal("the writer thread did not start"))?
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

    /// Limits the size of the database, or removes the limit. Beyond it, writes fail as on a full
    /// disk.
    ///
    /// # Errors
    /// `Unavailable` if the database cannot be reached.
    pub async fn set_max_bytes(&self, max_bytes: Option<u64>) -> Result<()> {
        self.write(move |tx| limit_size(tx, max_bytes)).await
    }

    /// Runs `work` in a transaction of the writer, durable when this returns.
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
        await_answer(answer, self.call_timeout).await
    }

    /// Runs `work` on a reader, on one snapshot.
    pub(crate) async fn read<T, W>(&self, work: W) -> Result<T>
    where
        T: Send + 'static,
        W: FnOnce(&Connection) -> Work<T> + Send + 'static,
    {
        let (job, answer) = job(move |tx| work(tx));
        self.reads.as_ref().unwrap_or(&self.writes).push(job)?;
        await_answer(answer, self.call_timeout).await
    }

    /// Reads, and takes the write lock.
    pub(crate) async fn probe(&self) -> Result<()> {
        let probe = async {
            self.read(|connection| revision::stored(connection).map(drop)).await?;
            self.write(|_| Ok(())).await
        };
        let late = || Error::unavailable("the database does not answer in time");
        tokio::time::timeout(PING_TIMEOUT, probe).await.map_err(|_| late())?
    }

    /// Running and waiting calls as a share of the maximum.
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
                    // A caller that gave up drops the store, which closes the queue.
                    let _ = ready.send(Ok(()));
                    writer::run(slot, &queue, &revision);
                }
                Err(failure) => drop(ready.send(Err(failure.into_error()))),
            }
        })?);
        Ok(opened)
    }

    fn start_readers(&mut self, location: &Location, options: &SqliteOptions) -> Result<()> {
        let reads = Arc::new(Queue::new(options.max_waiting));
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
        let interval = options.poll_interval;
        let run = move || crate::watch::run(slot, interval, &revision, &closed);
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
    revision::publish(revision, revision::stored(&connection)?);
    Ok(Slot::new(location, Role::Writer, options).holding(connection))
}

fn start(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    let failed =
        |error| Error::unavailable("cannot start a thread for the database").with_source(error);
    Builder::new().name(name.to_owned()).spawn(run).map_err(failed)
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::Release);
        if let Some(reads) = &self.reads {
            reads.close();
        }
        end(self.side_threads.drain(..));
        // The writer ends last: the last connection to close checkpoints the write-ahead log, if it
        // may write.
        self.writes.close();
        end(self.writer.take());
    }
}

fn end(threads: impl IntoIterator<Item = JoinHandle<()>>) {
    for thread in threads {
        thread.thread().unpark();
        if thread.join().is_err() {
            tracing::error!(code = "store_thread_panicked", "store thread panicked");
        }
    }
}
