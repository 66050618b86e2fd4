//! The store: its connections and queues.

use simops::Result;
use simops::event::NewEvent;
use simops::kpi::KpiEvent;
use simops::store::DiskSpace;
use simops::store::sql::{SqlOperation, SqlRecord, SqlStore, Statement};
use simops::usage::{Op, Outcome};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::codec::{all, first};
use crate::connection::TxMode;
use crate::queue::Queue;
use crate::transaction::Base;

/// A store on one Postgres database.
///
/// # Contract
/// - Any number of stores, in this process or others, may be open on one database.
/// - Calls need a Tokio runtime with time and network enabled, the one the store was opened in.
/// - Dropping the store ends its tasks after the calls they have taken.
pub struct PostgresStore {
    pub(crate) base: Base,
    /// For calls of run control.
    pub(crate) control: Base,
    pub(crate) events: Queue<Vec<NewEvent>, ()>,
    pub(crate) counting: Queue<Op, Outcome>,
    pub(crate) kpi: Queue<Vec<KpiEvent>, u64>,
    /// Whether notifications arrive, on a connection past any pooler.
    pub(crate) is_notified: bool,
    pub(crate) _tasks: JoinSet<()>,
}

impl SqlStore for PostgresStore {
    const BACKEND: &'static str = "postgres";

    fn revision(&self) -> &watch::Sender<u64> {
        &self.base.revision
    }

    fn outlives_process(&self) -> bool {
        true
    }

    fn utilization(&self) -> f64 {
        self.base.connections.utilization()
    }

    fn disk(&self) -> Option<DiskSpace> {
        // Postgres does not tell.
        None
    }

    async fn probe(&self) -> Result<()> {
        self.control
            .run(TxMode::Write, async |mut tx| {
                // The message goes into the log of the database, and makes the commit wait for its disk.
                // As text: to look up the type of a position would disturb a pooled connection.
                let write = "SELECT pg_logical_emit_message(true, 'simops', 'probe')::text \
                             FROM revisions FOR UPDATE";
                sqlx::query(write).execute(&mut *tx).await?;
                Ok((tx, ()))
            })
            .await
    }

    async fn fetch_all<T: SqlRecord>(&self, statement: Statement) -> Result<Vec<T>> {
        let statement = &statement;
        self.base_for(statement.is_control())
            .query(|mut connection| async move {
                let found = all(&mut connection, statement).await?;
                Ok((connection, found))
            })
            .await
    }

    async fn fetch_optional<T: SqlRecord>(&self, statement: Statement) -> Result<Option<T>> {
        let statement = &statement;
        self.base_for(statement.is_control())
            .query(|mut connection| async move {
                let found = first(&mut connection, statement).await?;
                Ok((connection, found))
            })
            .await
    }

    async fn read<O: SqlOperation>(&self, operation: O) -> Result<O::Output> {
        let mode = if operation.is_long() { TxMode::ReadLong } else { TxMode::Read };
        self.run(mode, &operation).await
    }

    async fn write<O: SqlOperation>(&self, operation: O) -> Result<O::Output> {
        let mode = match (operation.is_long(), operation.is_repeatable()) {
            (true, _) => TxMode::WriteLong,
            (false, true) => TxMode::Write,
            (false, false) => TxMode::WriteOnce,
        };
        self.run(mode, &operation).await
    }

    async fn apply(&self, op: Op) -> Result<Outcome> {
        self.counting.call(op).await
    }
}

impl PostgresStore {
    fn base_for(&self, is_control: bool) -> &Base {
        if is_control { &self.control } else { &self.base }
    }

    async fn run<O: SqlOperation>(&self, mode: TxMode, operation: &O) -> Result<O::Output> {
        self.base_for(operation.is_control())
            .run(mode, |mut tx| async move {
                let done = operation.run(&mut tx).await?;
                Ok((tx, done))
            })
            .await
    }
}
