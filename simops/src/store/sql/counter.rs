//! The usage counter, its epoch and its clients. The tables of the last two are `fence` and
//! `members`.

use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::Timestamp;
use jiff::civil::Date;
use uuid::Uuid;

use super::budget_rows::ReadUses;
use super::usage::{TOTALS_COLUMNS, USAGE_COLUMNS, all_leases, day_use, due_leases};
use super::{SqlOperation, SqlRecord, SqlRow, SqlStore, SqlTx, Statement, later_column, upsert};
use crate::Result;
use crate::usage::{
    Admission, Allotment, BudgetUse, Caps, CounterClient, CounterEpoch, CounterEpochStore,
    CounterStatus, DayTotals, DayUse, Lease, Op, UsageCounter, UsageRow, UseKey,
};

const EPOCH_COLUMNS: &str = "generation, counted_in, namespace, redis, since, reason";

/// The query of the counter's epoch, for those who write.
pub fn epoch() -> Statement {
    Statement::new(format!("SELECT {EPOCH_COLUMNS}, budgets FROM fence"))
}

/// The query of the counter's epoch in a schema that may be older.
fn readable_epoch() -> Statement {
    let budgets = later_column("fence", "id", ("budgets", "CAST(0 AS BIGINT)"));
    Statement::new(format!("SELECT {EPOCH_COLUMNS}, {budgets} FROM fence"))
}

/// The counter's epoch. Until the transaction ends, it stays the same and no other transaction
/// changes the ledger.
///
/// # Errors
/// Those of the store.
pub async fn lock_counter<T: SqlTx>(tx: &mut T) -> Result<CounterEpoch, T::Error> {
    let epoch = epoch();
    tx.fetch_one(&Statement::new(format!("{}{}", epoch.sql, T::FOR_UPDATE))).await
}

impl SqlRecord for CounterEpoch {
    fn read<R: SqlRow>(row: &mut R) -> Result<Self, R::Error> {
        Ok(Self {
            generation: row.int()?.cast_unsigned(),
            backend: row.word()?,
            namespace: row.text()?,
            redis: row.optional(R::text)?,
            since: row.time()?,
            reason: row.optional(R::text)?,
            budgets: row.int()?.cast_unsigned(),
        })
    }
}

impl SqlRecord for CounterClient {
    fn read<R: SqlRow>(row: &mut R) -> Result<Self, R::Error> {
        Ok(Self {
            id: row.uuid()?,
            generation: row.int()?.cast_unsigned(),
            until: row.time()?,
            allotment: Allotment { totals: DayTotals::read(row)?, tokens: row.int()? },
            sequence: row.int()?.cast_unsigned(),
        })
    }
}

#[async_trait]
impl<S: SqlStore> UsageCounter for S {
    async fn reserve(&self, lease: &Lease, caps: &Caps) -> Result<Admission> {
        self.apply(Op::Reserve(Box::new(lease.clone()), *caps)).await?.admission()
    }

    async fn settle(&self, row: &UsageRow) -> Result<()> {
        self.apply(Op::Settle(vec![row.clone()])).await.map(drop)
    }

    async fn release(&self, lease_id: Uuid) -> Result<()> {
        self.apply(Op::Release(lease_id)).await.map(drop)
    }

    async fn expire(&self, now: Timestamp) -> Result<u64> {
        // Usually no lease is due, and finding that out takes no lock.
        if self.fetch_optional::<Lease>(due_leases(now, 1)).await?.is_none() {
            return Ok(0);
        }
        self.apply(Op::Expire(now)).await?.expired()
    }

    async fn day_use(&self, day: Date) -> Result<DayUse> {
        Ok(self.fetch_optional(day_use(day).control()).await?.unwrap_or_default())
    }

    async fn budget_uses(&self, keys: &[UseKey]) -> Result<BTreeMap<UseKey, BudgetUse>> {
        self.read(ReadUses(keys.to_vec())).await
    }

    fn health(&self) -> CounterStatus {
        CounterStatus::healthy(S::BACKEND)
    }
}

#[async_trait]
impl<S: SqlStore> CounterEpochStore for S {
    async fn counter_epoch(&self) -> Result<CounterEpoch> {
        self.fetch_one(readable_epoch().control()).await
    }

    async fn advance_counter_epoch(&self, from: u64, to: &CounterEpoch) -> Result<bool> {
        let advance = Statement::new(
            "UPDATE fence SET generation = $1, counted_in = $2, redis = $3, since = $4, \
                 reason = $5 WHERE generation = $6",
        )
        .bind(to.generation)
        .bind_word(&to.backend)
        .bind(&to.redis)
        .bind(to.since)
        .bind(&to.reason)
        .bind(from);
        Ok(self.write(advance.notifying()).await? == 1)
    }

    async fn heartbeat(&self, client: &CounterClient, open: &[Lease]) -> Result<CounterEpoch> {
        self.write(Heartbeat { client: client.clone(), open: open.to_vec() }).await
    }

    async fn remove_counter_client(&self, id: Uuid) -> Result<()> {
        let delete = Statement::new("DELETE FROM members WHERE id = $1").bind(id);
        self.write(delete.repeatable()).await.map(drop)
    }

    async fn counter_clients(&self) -> Result<Vec<CounterClient>> {
        self.fetch_all(counter_clients()).await
    }

    async fn open_leases(&self) -> Result<Vec<Lease>> {
        self.fetch_all(all_leases()).await
    }

    async fn settled_row(&self, id: Uuid) -> Result<Option<UsageRow>> {
        let row = format!("SELECT {USAGE_COLUMNS} FROM usage WHERE id = $1");
        self.fetch_optional(Statement::new(row).bind(id)).await
    }
}

struct Heartbeat {
    client: CounterClient,
    open: Vec<Lease>,
}

impl SqlOperation for Heartbeat {
    type Output = CounterEpoch;

    fn is_repeatable(&self) -> bool {
        true
    }

    async fn run<T: SqlTx>(&self, tx: &mut T) -> Result<CounterEpoch, T::Error> {
        let epoch = lock_counter(tx).await?;
        if !self.open.is_empty() {
            tx.transfer(&epoch, &self.open).await?;
        }
        let CounterClient { id, generation, allotment, until, sequence } = &self.client;
        let columns = format!("id, generation, until, {TOTALS_COLUMNS}, tokens, sequence");
        // One that was sent before another may arrive after it.
        let put = upsert("members", "id", &columns);
        let put = Statement::new(format!("{put} WHERE members.sequence < excluded.sequence"));
        let put = put.bind(*id).bind(*generation).bind(*until);
        let put = put.bind_all(allotment.totals.to_array()).bind(allotment.tokens);
        tx.execute(&put.bind(*sequence)).await?;
        Ok(epoch)
    }
}

/// The query of all clients, by id.
pub fn counter_clients() -> Statement {
    let [tokens, sequence] = ["tokens", "sequence"]
        .map(|column| later_column("members", "id", (column, "CAST(0 AS BIGINT)")));
    Statement::new(format!(
        "SELECT id, generation, until, {TOTALS_COLUMNS}, {tokens}, {sequence} FROM members ORDER BY id"
    ))
}
