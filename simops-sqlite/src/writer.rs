//! The one thread that writes, with group commit.
//!
//! It takes all waiting writes, runs each in a savepoint of one transaction and makes them durable
//! with one sync of the disk. A write that fails is rolled back alone; a commit that fails fails
//! every write in it.

use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use rusqlite::Connection;
use simops::Error;
use simops::store::sql::{copy_error, publish};
use tokio::sync::watch;

use crate::connection::{Slot, within_size};
use crate::error::{Failure, Work};
use crate::files::Files;
use crate::job::{Job, Tx, apply_all};
use crate::migrate::check_writer;
use crate::outage::Outage;
use crate::queue::Queue;
use crate::revision::increment_revision;

/// Maximum writes per transaction: enough to share a sync, few enough for low latency.
const MAX_BATCH: usize = 512;

/// How long to wait for callers that write again: a fraction of a disk sync.
const GATHER_DELAY: Duration = Duration::from_micros(100);

type Jobs = Vec<Box<dyn Job>>;

/// Writes until the queue is closed and empty. `files` are those of a database on a disk.
pub(crate) fn run(
    mut slot: Slot,
    queue: &Arc<Queue<Box<dyn Job>>>,
    revision: &watch::Sender<u64>,
    mut files: Option<Files>,
) {
    let (mut taken, mut outage) = (0, Outage::new("writes"));
    while let Some(mut jobs) = queue.take(MAX_BATCH) {
        // Callers that were just answered are about to write again. Without the delay, the first
        // of them would get a disk sync of its own and the others would wait for the next.
        if taken > 1 && jobs.len() < taken {
            sleep(GATHER_DELAY);
            jobs.append(&mut queue.take_now(MAX_BATCH));
        }
        taken = jobs.len();
        let mut writer = Writer { slot: &mut slot, queue, revision, outage: &mut outage };
        match &mut files {
            Some(files) if files.disk().is_short() => {
                // Those that may use the space that is kept go first, in a transaction of their own: a
                // common one would fail for lack of space for the others.
                let (control, others): (Jobs, Jobs) =
                    jobs.into_iter().partition(|job| job.uses_reserve());
                writer.write_control(control, files);
                writer.write_others(others, files);
            }
            _ => writer.write(jobs),
        }
        if let Some(files) = &mut files {
            files.committed(&mut slot);
        }
    }
    if let Some(files) = files {
        files.close(slot);
    }
}

/// What the thread writes with.
struct Writer<'a> {
    slot: &'a mut Slot,
    queue: &'a Queue<Box<dyn Job>>,
    revision: &'a watch::Sender<u64>,
    outage: &'a mut Outage,
}

impl Writer<'_> {
    /// Writes `jobs` in one transaction, and answers them.
    fn write(&mut self, mut jobs: Jobs) {
        let failure = self.attempt(&mut jobs, commit);
        self.answer(jobs, failure);
    }

    /// Writes what may use the space that is kept, and makes space when the disk is full.
    fn write_control(&mut self, mut jobs: Jobs, files: &mut Files) {
        let mut failure = self.attempt(&mut jobs, commit);
        if failure.as_ref().is_some_and(Failure::is_disk_full) {
            files.make_space(self.slot);
            failure = self.attempt(&mut jobs, commit);
        }
        self.answer(jobs, failure);
    }

    /// Writes what may not use the space that is kept.
    fn write_others(&mut self, mut jobs: Jobs, files: &Files) {
        let failure = if files.log_is_kept_for_control() {
            Some(Error::unavailable("the disk is full").into())
        } else {
            let max_bytes = files.disk().max_database_bytes();
            self.attempt(&mut jobs, |connection, jobs| {
                within_size(connection, max_bytes, |connection| commit(connection, jobs))
            })
        };
        self.answer(jobs, failure);
    }

    /// Runs those `jobs` whose callers wait, in one transaction; why it failed.
    fn attempt(
        &mut self,
        jobs: &mut Jobs,
        transaction: impl FnOnce(&mut Connection, &mut Jobs) -> Work<Option<u64>>,
    ) -> Option<Failure> {
        let taken = jobs.len();
        jobs.retain(|job| job.is_awaited());
        self.queue.done(taken - jobs.len());
        match self.slot.get().and_then(|connection| transaction(connection, jobs)) {
            Ok(new_revision) => {
                if !jobs.is_empty() {
                    self.outage.recovered();
                }
                if let Some(now) = new_revision {
                    publish(self.revision, now);
                }
                None
            }
            Err(failure) => {
                self.slot.after(&failure);
                Some(failure)
            }
        }
    }

    /// Answers `jobs` with their results, or with the failure of their transaction.
    fn answer(&mut self, mut jobs: Jobs, failure: Option<Failure>) {
        if let Some(failure) = &failure
            && failure.is_locked()
        {
            // The others would wait for the same lock in vain.
            jobs.append(&mut self.queue.take_now(usize::MAX));
        }
        let overruled = failure.filter(|_| !jobs.is_empty()).map(Failure::into_error);
        if let Some(error) = &overruled {
            self.outage.failed(error);
        }
        // Before the answers, so that an answered caller sees the queue without its call.
        self.queue.done(jobs.len());
        for job in jobs {
            job.answer(overruled.as_ref().map(copy_error));
        }
    }
}

/// Runs `jobs` in one transaction. Returns the new revision if watchers must be notified.
fn commit(connection: &mut Connection, jobs: &mut Jobs) -> Work<Option<u64>> {
    if jobs.is_empty() {
        return Ok(None);
    }
    execute(connection, "BEGIN IMMEDIATE")?;
    let done = check_writer(connection).and_then(|()| run_all(connection, jobs));
    let done = done.and_then(|revision| {
        execute(connection, "COMMIT")?;
        Ok(revision)
    });
    // The next batch must find no open transaction.
    if !connection.is_autocommit() {
        execute(connection, "ROLLBACK")?;
    }
    done
}

fn run_all(connection: &mut Connection, jobs: &mut [Box<dyn Job>]) -> Work<Option<u64>> {
    apply_ledger(connection, jobs)?;
    let mut notify = false;
    for job in jobs.iter_mut().filter(|job| !job.is_done()) {
        let mut tx = Tx::new(connection);
        execute(&tx, "SAVEPOINT job")?;
        let failed = job.run(&mut tx).err();
        if let Some(failure) = failed
            // SQLite rolls back the whole transaction when the disk is full or fails.
            && (tx.is_autocommit() || failure.spoils_connection())
        {
            return Err(failure.copy());
        }
        if failed.is_some() || tx.roll_back {
            execute(&tx, "ROLLBACK TO job")?;
        } else {
            notify |= tx.notify_watchers;
        }
        execute(&tx, "RELEASE job")?;
    }
    if notify { increment_revision(connection).map(Some) } else { Ok(None) }
}

/// Applies all ledger operations among `jobs` as one batch. If that fails, each of them runs by
/// itself, so that only the one at fault fails.
fn apply_ledger(connection: &Connection, jobs: &mut [Box<dyn Job>]) -> Work<()> {
    let mut ledger: Vec<_> = jobs.iter_mut().filter_map(|job| job.as_ledger()).collect();
    if ledger.len() < 2 {
        return Ok(());
    }
    execute(connection, "SAVEPOINT job")?;
    if let Err(failure) = apply_all(connection, &mut ledger) {
        if connection.is_autocommit() || failure.spoils_connection() {
            return Err(failure);
        }
        execute(connection, "ROLLBACK TO job")?;
    }
    execute(connection, "RELEASE job")
}

fn execute(connection: &Connection, sql: &str) -> Result<(), Failure> {
    connection.prepare_cached(sql)?.execute([])?;
    Ok(())
}
