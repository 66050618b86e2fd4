//! The one thread that writes, with group commit.
//!
//! It takes all waiting writes, runs each in a savepoint of one transaction and makes them durable
//! with one sync of the disk. A write that fails is rolled back alone; a commit that fails fails
//! every write in it.

use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use rusqlite::Connection;
use simops::store::sql::{copy_error, publish};
use tokio::sync::watch;

use crate::checkpoint::Checkpointer;
use crate::connection::Slot;
use crate::disk::Disk;
use crate::error::{Failure, Work};
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

/// Writes until the queue is closed and empty. `disk` and `checkpointer` are those of a database in a file.
pub(crate) fn run(
    mut slot: Slot,
    queue: &Arc<Queue<Box<dyn Job>>>,
    revision: &watch::Sender<u64>,
    mut disk: Option<Disk>,
    mut checkpointer: Option<Checkpointer>,
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
        let (first, rest) = split_when_short(jobs, disk.as_ref());
        for jobs in [first, rest].into_iter().filter(|jobs| !jobs.is_empty()) {
            let uses_reserve = jobs.iter().any(|job| job.uses_reserve());
            if uses_reserve && disk.as_ref().is_some_and(Disk::is_full) {
                make_space(&mut slot, &mut checkpointer, disk.as_ref());
            }
            let was_full = write(&mut slot, queue, revision, &mut outage, jobs);
            if was_full && uses_reserve {
                // For the next attempt.
                disk.as_ref().map(Disk::release_reserve);
            }
        }
        if let Some(checkpointer) = &mut checkpointer {
            let is_short = || disk.as_ref().is_some_and(Disk::is_short);
            checkpointer.committed(&mut slot, is_short);
        }
        if let Some(disk) = &mut disk {
            disk.keep_reserve();
        }
    }
}

/// When the disk is short of space, those that may use its reserve go first, in a transaction of their
/// own: a common one would fail for lack of space for the others.
fn split_when_short(jobs: Jobs, disk: Option<&Disk>) -> (Jobs, Jobs) {
    let any = jobs.iter().any(|job| job.uses_reserve());
    match disk.filter(|disk| any && disk.is_short()) {
        Some(_) => jobs.into_iter().partition(|job| job.uses_reserve()),
        None => (jobs, Vec::new()),
    }
}

/// Makes space on a disk that is full: in the log, which other programs cannot take, or else that of the
/// reserve.
fn make_space(slot: &mut Slot, checkpointer: &mut Option<Checkpointer>, disk: Option<&Disk>) {
    let Some(disk) = disk else { return };
    let is_empty = checkpointer.as_mut().is_some_and(|checkpointer| checkpointer.empty_log(slot));
    if !is_empty || disk.log_is_small() {
        disk.release_reserve();
    }
}

/// Writes `jobs` in one transaction, and answers them. Returns whether the disk was full.
fn write(
    slot: &mut Slot,
    queue: &Arc<Queue<Box<dyn Job>>>,
    revision: &watch::Sender<u64>,
    outage: &mut Outage,
    jobs: Jobs,
) -> bool {
    let taken = jobs.len();
    let mut jobs: Jobs = jobs.into_iter().filter(|job| job.is_awaited()).collect();
    let mut was_full = false;
    let committed = slot.get().and_then(|connection| commit(connection, &mut jobs));
    let overruled = match committed {
        Ok(new_revision) => {
            if !jobs.is_empty() {
                outage.recovered();
            }
            if let Some(now) = new_revision {
                publish(revision, now);
            }
            None
        }
        Err(failure) => {
            slot.after(&failure);
            was_full = failure.is_disk_full();
            // The others would wait for the same lock in vain.
            let rest = if failure.is_locked() { queue.take_now(usize::MAX) } else { Vec::new() };
            queue.done(rest.len());
            jobs.extend(rest);
            let error = failure.into_error();
            outage.failed(&error);
            Some(error)
        }
    };
    // Before the answers, so that an answered caller sees the queue without its call.
    queue.done(taken);
    for job in jobs {
        job.answer(overruled.as_ref().map(copy_error));
    }
    was_full
}

/// Runs `jobs` in one transaction. Returns the new revision if watchers must be notified.
fn commit(connection: &mut Connection, jobs: &mut [Box<dyn Job>]) -> Work<Option<u64>> {
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
