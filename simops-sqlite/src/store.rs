//! The store: its threads, and how calls reach them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use simops::store::DiskSpace;
use simops::store::sql::{SqlOperation, SqlRecord, SqlStore, Statement, await_answer, publish};
use simops::usage::{Op, Outcome};
use simops::{Error, Result};
use tokio::sync::{oneshot, watch};

use crate::codec::{all, first};
use crate::connection::{self, Role, Slot, limit_size};
use crate::disk::Disk;
use crate::error::{Failure, Work};
use crate::files::Files;
use crate::job::{Job, Kind, Tx, job, job_with_reserve, ledger_job, now};
use crate::kpi_write_buffer::WriteBuffer;
use crate::location::Location;
use crate::queue::Queue;
use crate::threads::{end, start};
use crate::{SqliteOptions, reader, revision, writer};

/// The time limit of calls that may take long.
pub(crate) const NO_LIMIT: Duration = Duration::MAX;

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
    reads: Option<Reads>,
    pub(crate) revision: watch::Sender<u64>,
    pub(crate) kpi_buffer: Arc<Mutex<WriteBuffer>>,
    disk: Option<Disk>,
    closed: Arc<AtomicBool>,
    pub(crate) call_timeout: Duration,
    side_threads: Vec<JoinHandle<()>>,
    writer: Option<JoinHandle<()>>,
}

/// The queues of the threads that read.
struct Reads {
    ordinary: Arc<Queue<Box<dyn Job>>>,
    /// That of one thread, for run control.
    control: Arc<Queue<Box<dyn Job>>>,
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
            disk: Disk::of(&location),
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

    /// Limits the size of the database, or removes the limit. Beyond it, writes fail as on a full
    /// disk.
    ///
    /// # Errors
    /// `Unavailable` if the database cannot be reached.
    pub async fn set_max_bytes(&self, max_bytes: Option<u64>) -> Result<()> {
        self.on_writer(move |tx| limit_size(tx, max_bytes)).await
    }

    /// Runs `work` in a transaction of the writer, durable when this returns.
    pub(crate) async fn on_writer<T, W>(&self, work: W) -> Result<T>
    where
        T: Send + 'static,
        W: FnOnce(&mut Tx<'_>) -> Work<T> + Send + 'static,
    {
        self.write_as(self.call_timeout, work).await
    }

    /// As [`on_writer`](Self::on_writer), without a time limit.
    pub(crate) async fn on_writer_long<T, W>(&self, work: W) -> Result<T>
    where
        T: Send + 'static,
        W: FnOnce(&mut Tx<'_>) -> Work<T> + Send + 'static,
    {
        self.write_as(NO_LIMIT, work).await
    }

    async fn write_as<T, W>(&self, limit: Duration, work: W) -> Result<T>
    where
        T: Send + 'static,
        W: FnOnce(&mut Tx<'_>) -> Work<T> + Send + 'static,
    {
        let (job, answer) = job(Kind::Write, work);
        self.enqueue(job, answer, limit).await
    }

    /// Runs `work` in a transaction of the writer, for at most `limit`; it may use the space that is kept
    /// for run control on a disk that is full, and runs again when space was made for it.
    pub(crate) async fn write_with_reserve<T, W>(&self, limit: Duration, work: W) -> Result<T>
    where
        T: Send + 'static,
        W: FnMut(&mut Tx<'_>) -> Work<T> + Send + 'static,
    {
        let (job, answer) = job_with_reserve(work);
        self.enqueue(job, answer, limit).await
    }

    /// Puts a job into the writer's queue and waits for its answer, at most `limit`.
    async fn enqueue<T>(
        &self,
        job: Box<dyn Job>,
        answer: oneshot::Receiver<Result<T>>,
        limit: Duration,
    ) -> Result<T> {
        self.writes.push(job)?;
        await_answer(answer, limit).await
    }

    /// Runs `work` on a reader, on one snapshot. It is interrupted when this call is dropped or takes
    /// too long.
    pub(crate) async fn on_reader<T, W>(&self, work: W) -> Result<T>
    where
        T: Send + 'static,
        W: FnOnce(&mut Tx<'_>) -> Work<T> + Send + 'static,
    {
        self.read_as(false, work).await
    }

    /// As [`SqliteStore::on_reader`], on the reader of run control if `is_control`.
    pub(crate) async fn read_as<T, W>(&self, is_control: bool, work: W) -> Result<T>
    where
        T: Send + 'static,
        W: FnOnce(&mut Tx<'_>) -> Work<T> + Send + 'static,
    {
        await_answer(self.push_read(is_control, work)?, self.call_timeout).await
    }

    /// As [`SqliteStore::on_reader`], without a time limit.
    pub(crate) async fn on_reader_long<T, W>(&self, work: W) -> Result<T>
    where
        T: Send + 'static,
        W: FnOnce(&mut Tx<'_>) -> Work<T> + Send + 'static,
    {
        await_answer(self.push_read(false, work)?, NO_LIMIT).await
    }

    fn push_read<T, W>(&self, is_control: bool, work: W) -> Result<oneshot::Receiver<Result<T>>>
    where
        T: Send + 'static,
        W: FnOnce(&mut Tx<'_>) -> Work<T> + Send + 'static,
    {
        let (job, answer) = job(Kind::Read, work);
        match (&self.reads, is_control) {
            (Some(reads), true) => reads.control.push(job)?,
            (Some(reads), false) => reads.ordinary.push(job)?,
            (None, true) => self.writes.push(job)?,
            (None, false) => self.writes.push_yielding(job)?,
        }
        Ok(answer)
    }

    fn start_writer(
        &mut self,
        location: &Location,
        options: &SqliteOptions,
    ) -> Result<oneshot::Receiver<Result<()>>> {
        let (ready, opened) = oneshot::channel();
        let (location, options) = (location.clone(), options.clone());
        let (queue, revision) = (Arc::clone(&self.writes), self.revision.clone());
        let closed = Arc::clone(&self.closed);
        self.writer = Some(start("simops-sqlite-writer", move || {
            let opened = open_writer(&location, &options, &revision, &closed)
                .and_then(|slot| Ok((slot, Files::of(&location, &options)?)));
            match opened {
                Ok((slot, files)) => {
                    // A caller that gave up drops the store, which closes the queue.
                    let _ = ready.send(Ok(()));
                    writer::run(slot, &queue, &revision, files);
                }
                Err(failure) => drop(ready.send(Err(failure.into_error()))),
            }
        })?);
        Ok(opened)
    }

    fn start_readers(&mut self, location: &Location, options: &SqliteOptions) -> Result<()> {
        let queue = || Arc::new(Queue::new(options.max_waiting));
        let reads = Reads { ordinary: queue(), control: queue() };
        let ordinary = std::iter::repeat_n(&reads.ordinary, options.readers.max(1));
        for queue in ordinary.chain([&reads.control]) {
            let slot = Slot::new(location, Role::Reader, options);
            let queue = Arc::clone(queue);
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

impl SqlStore for SqliteStore {
    const BACKEND: &'static str = "sqlite";

    fn revision(&self) -> &watch::Sender<u64> {
        &self.revision
    }

    fn outlives_process(&self) -> bool {
        self.reads.is_some()
    }

    fn utilization(&self) -> f64 {
        let reads = self.reads.as_ref().map_or(0.0, |reads| reads.ordinary.utilization());
        self.writes.utilization().max(reads)
    }

    fn disk(&self) -> Option<DiskSpace> {
        self.disk.as_ref()?.space()
    }

    async fn probe(&self) -> Result<()> {
        self.read_as(true, |tx| revision::stored(tx).map(drop)).await?;
        // The same value is written again.
        let write = "UPDATE kpi_progress SET covered = covered";
        self.on_writer(move |tx| Ok(tx.prepare_cached(write)?.execute([])?)).await?;
        // The log may have had space left for that.
        match &self.disk {
            Some(disk) if disk.is_full() => Err(Error::unavailable("the disk is full")),
            _ => Ok(()),
        }
    }

    async fn fetch_all<T: SqlRecord>(&self, statement: Statement) -> Result<Vec<T>> {
        self.read_as(statement.is_control(), move |tx| all(tx, &statement)).await
    }

    async fn fetch_optional<T: SqlRecord>(&self, statement: Statement) -> Result<Option<T>> {
        self.read_as(statement.is_control(), move |tx| first(tx, &statement)).await
    }

    async fn read<O: SqlOperation>(&self, operation: O) -> Result<O::Output> {
        let (is_long, is_control) = (operation.is_long(), operation.is_control());
        let work = move |tx: &mut Tx<'_>| now(operation.run(tx));
        if is_long { self.on_reader_long(work).await } else { self.read_as(is_control, work).await }
    }

    async fn write<O: SqlOperation>(&self, operation: O) -> Result<O::Output> {
        let limit = if operation.is_long() { NO_LIMIT } else { self.call_timeout };
        let uses_reserve = operation.uses_reserve();
        let work = move |tx: &mut Tx<'_>| now(operation.run(tx));
        match uses_reserve {
            true => self.write_with_reserve(limit, work).await,
            false => self.write_as(limit, work).await,
        }
    }

    async fn apply(&self, op: Op) -> Result<Outcome> {
        let (job, answer) = ledger_job(op);
        self.enqueue(job, answer, self.call_timeout).await
    }
}

fn open_writer(
    location: &Location,
    options: &SqliteOptions,
    revision: &watch::Sender<u64>,
    closed: &AtomicBool,
) -> Result<Slot, Failure> {
    let connection = connection::create(location, options, closed).or_else(|failure| {
        // The files of the log may need space.
        let disk = Disk::of(location).filter(|disk| disk.is_full() && !options.read_only);
        match disk.is_some_and(|mut disk| disk.release_reserve(u64::MAX)) {
            true => connection::create(location, options, closed),
            false => Err(failure),
        }
    })?;
    publish(revision, revision::stored(&connection)?);
    Ok(Slot::new(location, Role::Writer, options).holding(connection))
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::Release);
        if let Some(reads) = &self.reads {
            reads.ordinary.close();
            reads.control.close();
        }
        end(self.side_threads.drain(..));
        // The writer ends last: the last connection to close checkpoints the write-ahead log, if it
        // may write.
        self.writes.close();
        end(self.writer.take());
    }
}
