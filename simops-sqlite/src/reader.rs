//! The threads that read, each with its own connection.

use std::sync::Arc;

use rusqlite::Connection;

use crate::connection::Slot;
use crate::error::Work;
use crate::job::{Job, Tx};
use crate::outage::Outage;
use crate::queue::Queue;

/// Reads until the queue is closed and empty.
pub(crate) fn run(mut slot: Slot, queue: &Arc<Queue<Box<dyn Job>>>) {
    let mut outage = Outage::new("reads");
    while let Some(jobs) = queue.take(1) {
        for mut job in jobs {
            let done = if job.is_awaited() {
                slot.get().and_then(|connection| read(connection, job.as_mut()))
            } else {
                Ok(())
            };
            let overruled = match done {
                Ok(()) => {
                    outage.recovered();
                    None
                }
                Err(failure) => {
                    slot.after(&failure);
                    let error = failure.into_error();
                    outage.failed(&error);
                    Some(error)
                }
            };
            queue.done(1);
            job.answer(overruled);
        }
    }
}

/// Runs `job` in one transaction, so that all its statements see the same snapshot.
fn read(connection: &mut Connection, job: &mut dyn Job) -> Work<()> {
    connection.prepare_cached("BEGIN")?.execute([])?;
    let spoiled = match job.run(&mut Tx::new(connection)) {
        Err(failure) if failure.spoils_connection() => Err(failure.copy()),
        _ => Ok(()),
    };
    if !connection.is_autocommit() {
        connection.prepare_cached("COMMIT")?.execute([])?;
    }
    spoiled
}

#[cfg(test)]
#[allow(clippy::panic, clippy::unwrap_used, clippy::expect_used, reason = "tests")]
mod tests;
