//! A transaction as the operations use it that SQL stores share.

use simops::event::NewEvent;
use simops::store::Documents;
use simops::store::sql::{GateLock, SqlRecord, SqlTx, Statement};
use simops::usage::{CounterEpoch, Lease, Op};

use sqlx::AssertSqlSafe;

use crate::codec::{Json, all, execute, first};
use crate::error::{Failure, Work};
use crate::transaction::Tx;
use crate::{counting, events};

impl SqlTx for Tx {
    type Error = Failure;

    const PLACE: &'static str = "place";
    const FOR_SHARE: &'static str = " FOR SHARE";
    const FOR_UPDATE: &'static str = " FOR UPDATE";

    async fn lock_gate(&mut self, lock: GateLock) -> Work<()> {
        let function = match lock {
            GateLock::Shared => "pg_advisory_xact_lock_shared",
            GateLock::Exclusive => "pg_advisory_xact_lock",
        };
        // Advisory locks belong to a database; the table tells its schemas apart. Row locks would not
        // do: those who share one do not queue behind a waiting writer.
        let lock =
            format!("SELECT {function}(hashtext('simops gate'), 'control'::regclass::oid::int)");
        sqlx::query(AssertSqlSafe(lock)).execute(&mut **self).await?;
        Ok(())
    }

    async fn execute(&mut self, statement: &Statement) -> Work<u64> {
        execute(self, statement).await
    }

    async fn fetch_all<T: SqlRecord>(&mut self, statement: &Statement) -> Work<Vec<T>> {
        all(self, statement).await
    }

    async fn fetch_optional<T: SqlRecord>(&mut self, statement: &Statement) -> Work<Option<T>> {
        first(self, statement).await
    }

    async fn append_events(&mut self, events: &[NewEvent]) -> Work<()> {
        events::append(self, events).await
    }

    async fn put_documents(&mut self, epoch: i64, documents: &Documents) -> Work<()> {
        let (gone, kept): (Vec<_>, Vec<_>) = documents.iter().partition(|(_, body)| body.is_null());
        if !gone.is_empty() {
            sqlx::query("DELETE FROM documents WHERE epoch = $1 AND name = ANY($2)")
                .bind(epoch)
                .bind(gone.into_iter().map(|(name, _)| name).collect::<Vec<_>>())
                .execute(&mut **self)
                .await?;
        }
        if !kept.is_empty() {
            let (names, bodies): (Vec<_>, Vec<_>) =
                kept.into_iter().map(|(name, body)| (name, Json(body))).unzip();
            sqlx::query(
                "INSERT INTO documents (epoch, name, body) \
                 SELECT $1, name, body FROM unnest($2::text[], $3::json[]) AS new (name, body) \
                 ON CONFLICT (epoch, name) DO UPDATE SET body = excluded.body",
            )
            .bind(epoch)
            .bind(names)
            .bind(bodies)
            .execute(&mut **self)
            .await?;
        }
        Ok(())
    }

    async fn transfer(&mut self, epoch: &CounterEpoch, leases: &[Lease]) -> Work<()> {
        let transfer = [Op::Transfer(leases.to_vec())];
        counting::apply_locked(self, &transfer, epoch.clone()).await.map(drop)
    }

    fn notify_watchers(&mut self) {
        self.notify_watchers = true;
    }

    fn roll_back(&mut self) {
        self.roll_back = true;
    }
}
