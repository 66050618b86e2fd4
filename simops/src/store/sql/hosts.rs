//! Reports of hosts.

use async_trait::async_trait;
use jiff::Timestamp;

use super::{SqlOperation, SqlRecord, SqlRow, SqlStore, SqlTx, Statement, later_column, upsert};
use crate::Result;
use crate::control::HostReport;
use crate::store::HostStore;

const HOST_COLUMNS: &str =
    "version, last_seen, in_flight_calls, kind, world, id, state, generation, run_id";

impl SqlRecord for HostReport {
    fn read<R: SqlRow>(row: &mut R) -> Result<Self, R::Error> {
        Ok(Self {
            version: row.text()?,
            last_seen: row.time()?,
            in_flight_calls: row.int()?.try_into().unwrap_or(u32::MAX),
            kind: row.text()?,
            world: row.optional(R::text)?,
            id: row.text()?,
            state: row.word()?,
            generation: row.int()?.cast_unsigned(),
            run_id: row.optional(R::text)?,
        })
    }
}

#[async_trait]
impl<S: SqlStore> HostStore for S {
    async fn report(&self, report: &HostReport) -> Result<()> {
        self.write(PutReport(report.clone())).await
    }

    async fn leave(&self, host_id: &str) -> Result<()> {
        let delete = Statement::new("DELETE FROM hosts WHERE id = $1").bind(host_id);
        self.write(delete.repeatable().notifying().control()).await.map(drop)
    }

    async fn hosts(&self, since: Timestamp) -> Result<Vec<HostReport>> {
        let later = |column, absent| later_column("hosts", "id", (column, absent));
        let sql = format!(
            "SELECT version, last_seen, in_flight_calls, {}, {}, id, state, generation, {} \
             FROM hosts WHERE last_seen >= $1 ORDER BY id",
            later("kind", "''"),
            later("world", "'main'"),
            later("run_id", "NULL"),
        );
        self.fetch_all(Statement::new(sql).bind(since).control()).await
    }

    async fn delete_hosts(&self, before: Timestamp) -> Result<()> {
        let delete = Statement::new("DELETE FROM hosts WHERE last_seen < $1").bind(before);
        self.write(delete.repeatable()).await.map(drop)
    }
}

struct PutReport(HostReport);

impl SqlOperation for PutReport {
    type Output = ();

    fn is_repeatable(&self) -> bool {
        true
    }

    fn is_control(&self) -> bool {
        true
    }

    async fn run<T: SqlTx>(&self, tx: &mut T) -> Result<(), T::Error> {
        // Of the columns in this order, a heartbeat changes the first five.
        let put = |sql| {
            let Self(report) = self;
            Statement::new(sql)
                .bind(&report.version)
                .bind(report.last_seen)
                .bind(report.in_flight_calls)
                .bind(&report.kind)
                .bind(&report.world)
                .bind(&report.id)
                .bind_word(&report.state)
                .bind(report.generation)
                .bind(&report.run_id)
        };
        let heartbeat = "UPDATE hosts SET version = $1, last_seen = $2, in_flight_calls = $3, \
                         kind = $4, world = $5 WHERE id = $6 AND state = $7 AND generation = $8 \
                         AND run_id IS NOT DISTINCT FROM $9";
        if tx.execute(&put(heartbeat.to_owned())).await? == 0 {
            tx.execute(&put(upsert("hosts", "id", HOST_COLUMNS))).await?;
            tx.notify_watchers();
        }
        Ok(())
    }
}
