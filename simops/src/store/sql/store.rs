//! What the roles that SQL stores share need of a store.

use tokio::sync::watch;

use super::{SqlRecord, Statement};
use crate::event::NewEvent;
use crate::store::{DiskSpace, Documents};
use crate::usage::{CounterEpoch, Lease, Op, Outcome};
use crate::{Error, Result};

/// A store on an SQL database.
///
/// Its implementers get the roles whose statements are the same in every dialect: alerts, control,
/// digests, reports, hosts, known addresses, leader leases, worlds, the counter and its epoch.
pub trait SqlStore: Send + Sync + 'static {
    /// The kind of store: `sqlite`, `postgres`.
    const BACKEND: &'static str;

    /// The revision that watchers follow.
    fn revision(&self) -> &watch::Sender<u64>;

    /// Whether the database outlives this process.
    fn outlives_process(&self) -> bool;

    /// Share of its connections in use, 0 to 1.
    fn utilization(&self) -> f64;

    /// The file system that holds the database; `None` if the store cannot tell.
    fn disk(&self) -> Option<DiskSpace>;

    /// Reads and writes, to check that both are possible.
    fn probe(&self) -> impl Future<Output = Result<()>> + Send;

    /// All rows of a statement that reads.
    fn fetch_all<T: SqlRecord>(
        &self,
        statement: Statement,
    ) -> impl Future<Output = Result<Vec<T>>> + Send;

    /// The first row of a statement that reads.
    fn fetch_optional<T: SqlRecord>(
        &self,
        statement: Statement,
    ) -> impl Future<Output = Result<Option<T>>> + Send;

    /// All rows of several statements that read.
    fn fetch_each<T: SqlRecord>(
        &self,
        statements: Vec<Statement>,
    ) -> impl Future<Output = Result<Vec<T>>> + Send {
        async {
            let mut rows = Vec::new();
            for statement in statements {
                rows.extend(self.fetch_all(statement).await?);
            }
            Ok(rows)
        }
    }

    /// The row of a statement that reads and always finds one.
    fn fetch_one<T: SqlRecord>(
        &self,
        statement: Statement,
    ) -> impl Future<Output = Result<T>> + Send {
        async { self.fetch_optional(statement).await?.ok_or_else(missing) }
    }

    /// Runs `operation`, which only reads, on one snapshot.
    fn read<O: SqlOperation>(&self, operation: O)
    -> impl Future<Output = Result<O::Output>> + Send;

    /// Runs `operation` in one transaction, durable when this returns.
    fn write<O: SqlOperation>(
        &self,
        operation: O,
    ) -> impl Future<Output = Result<O::Output>> + Send;

    /// Applies `op` to the ledger, durable when this returns.
    fn apply(&self, op: Op) -> impl Future<Output = Result<Outcome>> + Send;
}

/// What runs in one transaction of a store. A [`Statement`] is such an operation; it returns the
/// number of rows that it changed.
pub trait SqlOperation: Send + Sync + 'static {
    /// The result.
    type Output: Send + 'static;

    /// Whether running it once more has no further effect, so that it is repeated when its outcome
    /// is unknown.
    fn is_repeatable(&self) -> bool {
        false
    }

    /// Whether it may take longer than the time limit of calls.
    fn is_long(&self) -> bool {
        false
    }

    /// Whether run control, the reports of hosts, the status or a health check waits for it. A store
    /// keeps a connection that other reads never occupy for such operations, so they must be short.
    fn is_control(&self) -> bool {
        false
    }

    /// Whether it may use the space that is kept for run control on a disk that is full.
    fn uses_reserve(&self) -> bool {
        false
    }

    /// Runs it. An error rolls the transaction back. It may be run more than once: after a conflict
    /// with another transaction.
    fn run<T: SqlTx>(
        &self,
        tx: &mut T,
    ) -> impl Future<Output = Result<Self::Output, T::Error>> + Send;
}

impl SqlOperation for Statement {
    type Output = u64;

    fn is_repeatable(&self) -> bool {
        self.is_repeatable
    }

    fn is_control(&self) -> bool {
        self.is_control
    }

    async fn run<T: SqlTx>(&self, tx: &mut T) -> Result<u64, T::Error> {
        let changed = tx.execute(self).await?;
        if self.notifies && changed > 0 {
            tx.notify_watchers();
        }
        Ok(changed)
    }
}

/// How a transaction locks the run gate. It comes after locks on epochs, and before the control row
/// and all others, to avoid deadlocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GateLock {
    /// With other transactions that depend on the control state: turns.
    Shared,
    /// Alone, to change the control state.
    Exclusive,
}

/// A transaction.
pub trait SqlTx: Send {
    /// The error of the store.
    type Error: From<Error> + Send;

    /// The column that numbers the rows of the ledger in the order of insertion.
    const PLACE: &'static str;

    /// Ends a `SELECT` whose rows stay unchanged until the transaction ends.
    const FOR_SHARE: &'static str;

    /// As `FOR_SHARE`, for a transaction that changes the rows itself.
    const FOR_UPDATE: &'static str;

    /// Locks the run gate until the transaction ends. Locks are granted in the order of their
    /// requests, so turns that keep coming cannot starve a commit.
    fn lock_gate(&mut self, lock: GateLock)
    -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Follows the name of a table in a `SELECT` that must use the index `name`. Postgres chooses by
    /// the cost.
    fn using_index(_name: &str) -> String {
        String::new()
    }

    /// Runs a statement; the number of rows it changed.
    fn execute(
        &mut self,
        statement: &Statement,
    ) -> impl Future<Output = Result<u64, Self::Error>> + Send;

    /// All rows of a statement.
    fn fetch_all<T: SqlRecord>(
        &mut self,
        statement: &Statement,
    ) -> impl Future<Output = Result<Vec<T>, Self::Error>> + Send;

    /// The first row of a statement.
    fn fetch_optional<T: SqlRecord>(
        &mut self,
        statement: &Statement,
    ) -> impl Future<Output = Result<Option<T>, Self::Error>> + Send;

    /// The row of a statement that always has one.
    fn fetch_one<T: SqlRecord>(
        &mut self,
        statement: &Statement,
    ) -> impl Future<Output = Result<T, Self::Error>> + Send {
        async { Ok(self.fetch_optional(statement).await?.ok_or_else(missing)?) }
    }

    /// Appends events in order, skipping those that are stored already, and adds to their sums.
    fn append_events(
        &mut self,
        events: &[NewEvent],
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Writes documents of an epoch. A null value removes a document.
    fn put_documents(
        &mut self,
        epoch: i64,
        documents: &Documents,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Opens those of `leases` that are neither open nor settled, while `epoch` is locked.
    fn transfer(
        &mut self,
        epoch: &CounterEpoch,
        leases: &[Lease],
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Notifies watchers once the transaction is durable.
    fn notify_watchers(&mut self);

    /// Rolls the transaction back when the operation has returned.
    fn roll_back(&mut self);
}

fn missing() -> Error {
    Error::internal("a row is missing in the database")
}
