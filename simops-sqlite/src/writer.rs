//! The one thread that writes, with group commit.
//!
//! It takes every write that waits, does each in a savepoint of one transaction, makes them durable
//! by one sync of the disk, and answers them all. A write that fails takes back only itself; a
//! commit that fails fails every write in it.

use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::watch;

use crate::connection::Slot;
use crate::error::{Failure, Work, copy};
use crate::job::{Job, Tx, apply_all};
use crate::outage::Outage;
use crate::queue::Queue;
use crate::watch::{count_up, publish};

/// Most writes in one transaction: enough to share a sync, few enough to answer soon.
const BATCH: usize = 512;

/// How long to wait for writers that come back: a small part of what a sync of the disk takes.
const GATHER: Duration = Duration::from_micros(100);

/// Writes until the queue is closed and empty.
pub(crate) fn run(mut slot: Slot, queue: &Arc<Queue<Box<dyn Job>>>, revision: &watch::Sender<u64>) {
    let (mut taken, mut outage) = (0, Outage::none("writes"));
    while let Some(mut jobs) = queue.take(BATCH) {
        // Those just answered are about to write again. Without this moment the first of them
        // would have a sync of the disk for itself, and all others would wait for the next one.
        if taken > 1 && jobs.len() < taken {
            sleep(GATHER);
            jobs.append(&mut queue.take_now(BATCH));
        }
        taken = jobs.len();
        let mut jobs: Vec<_> = jobs.into_iter().filter(|job| job.is_awaited()).collect();
        let committed = slot.get().and_then(|connection| commit(connection, &mut jobs));
        let overruled = match committed {
            Ok(moved) => {
                outage.is_over();
                if let Some(now) = moved {
                    publish(revision, now);
                }
                None
            }
            Err(failure) => {
                slot.after(&failure);
                // Who waited for the same lock need not wait for it once more.
                let rest =
                    if failure.is_locked() { queue.take_now(usize::MAX) } else { Vec::new() };
                queue.done(rest.len());
                jobs.extend(rest);
                let error = failure.into_error();
                outage.goes_on(&error);
                Some(error)
            }
        };
        // Before the answers, so that who has one finds the queue as short as it is.
        queue.done(taken);
        for job in jobs {
            job.answer(overruled.as_ref().map(copy));
        }
    }
}

/// Does `jobs` in one transaction; the new revision, if watchers are to be told of one.
fn commit(connection: &Connection, jobs: &mut [Box<dyn Job>]) -> Work<Option<u64>> {
    if jobs.is_empty() {
        return Ok(None);
    }
    execute(connection, "BEGIN IMMEDIATE")?;
    let done = run_all(connection, jobs).and_then(|moved| {
        execute(connection, "COMMIT")?;
        Ok(moved)
    });
    // Whatever failed, the next batch finds no transaction open.
    if !connection.is_autocommit() {
        execute(connection, "ROLLBACK")?;
    }
    done
}

fn run_all(connection: &Connection, jobs: &mut [Box<dyn Job>]) -> Work<Option<u64>> {
    apply_ledger(connection, jobs)?;
    let mut moved = false;
    for job in jobs.iter_mut().filter(|job| !job.is_done()) {
        let tx = Tx::new(connection);
        execute(connection, "SAVEPOINT job")?;
        if let Err(failure) = job.run(&tx) {
            // SQLite takes back the whole transaction when the disk is full or fails.
            if connection.is_autocommit() || failure.spoils_connection() {
                return Err(failure.again());
            }
            execute(connection, "ROLLBACK TO job")?;
        } else {
            moved |= tx.has_moved();
        }
        execute(connection, "RELEASE job")?;
    }
    if moved { count_up(connection).map(Some) } else { Ok(None) }
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
