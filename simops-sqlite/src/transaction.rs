//! A transaction as the operations use it that SQL stores share.

use rusqlite::params;
use simops::event::NewEvent;
use simops::store::Documents;
use simops::store::sql::{GateLock, SqlRecord, SqlTx, Statement};
use simops::usage::{CounterEpoch, Lease, Op};

use crate::codec::{Json, all, execute, first};
use crate::error::{Failure, Work};
use crate::job::Tx;
use crate::{counting, events};

impl SqlTx for Tx<'_> {
    type Error = Failure;

    const PLACE: &'static str = "rowid";
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

    fn notify_watchers(&mut self) {
        self.notify_watchers = true;
    }

    fn roll_back(&mut self) {
        self.roll_back = true;
    }
}
