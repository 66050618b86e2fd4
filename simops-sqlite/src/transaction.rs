//! A transaction as the operations use it that SQL stores share.

use std::collections::BTreeMap;

use rusqlite::params;
use simops::event::NewEvent;
use simops::store::Documents;
use simops::store::sql::{GateLock, LedgerSums, SqlRecord, SqlTx, Statement, USAGE_COLUMNS};
use simops::usage::{CallTotals, CounterEpoch, DayTotals, Lease, Op, UsageRow};

use crate::codec::{Cells, Json, all, execute, first};
use crate::error::{Failure, Work};
use crate::job::Tx;
use crate::{counting, events};

impl SqlTx for Tx<'_> {
    type Error = Failure;

    // There is one writer, and a reader has its own snapshot.
    const FOR_SHARE: &'static str = "";
    const FOR_UPDATE: &'static str = "";

    async fn lock_gate(&mut self, _lock: GateLock) -> Work<()> {
        Ok(())
    }

    fn using_index(name: &str) -> String {
        format!(" INDEXED BY {name}")
    }

    async fn execute(&mut self, statement: &Statement) -> Work<u64> {
        execute(self, statement)
    }

    async fn fetch_all<T: SqlRecord>(&mut self, statement: &Statement) -> Work<Vec<T>> {
        all(self, statement)
    }

    async fn fetch_optional<T: SqlRecord>(&mut self, statement: &Statement) -> Work<Option<T>> {
        first(self, statement)
    }

    async fn append_events(&mut self, events: &[NewEvent]) -> Work<()> {
        events::append(self, events)
    }

    async fn put_documents(&mut self, epoch: i64, documents: &Documents) -> Work<()> {
        let mut put = self.prepare_cached(
            "INSERT OR REPLACE INTO documents (epoch, name, body) VALUES (?1, ?2, ?3)",
        )?;
        let mut remove =
            self.prepare_cached("DELETE FROM documents WHERE epoch = ?1 AND name = ?2")?;
        for (name, body) in documents {
            if body.is_null() {
                remove.execute(params![epoch, name])?;
            } else {
                put.execute(params![epoch, name, Json(body)])?;
            }
        }
        Ok(())
    }

    async fn transfer(&mut self, _epoch: &CounterEpoch, leases: &[Lease]) -> Work<()> {
        counting::apply_one(self, &Op::Transfer(leases.to_vec())).map(drop)
    }

    async fn count_ledger(&mut self) -> Work<LedgerSums> {
        let (mut days, mut runs) = (BTreeMap::new(), BTreeMap::new());
        let mut ledger = self.prepare(&format!("SELECT {USAGE_COLUMNS} FROM usage"))?;
        for call in ledger.query_map([], |row| Cells::record::<UsageRow>(row))? {
            let call = call?;
            let day: &mut DayTotals = days.entry(call.day).or_default();
            *day = *day + DayTotals::of(&call);
            let totals = CallTotals::of(&call);
            if let Some(run_id) = call.run_id {
                let run: &mut CallTotals = runs.entry(run_id).or_default();
                *run = *run + totals;
            }
        }
        Ok((days.into_iter().collect(), runs.into_iter().collect()))
    }

    fn notify_watchers(&mut self) {
        self.notify_watchers = true;
    }

    fn roll_back(&mut self) {
        self.roll_back = true;
    }
}
