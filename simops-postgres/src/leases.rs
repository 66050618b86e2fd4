//! The usage counter.

use async_trait::async_trait;
use jiff::Timestamp;
use jiff::civil::Date;
use simops::Result;
use simops::usage::{Admission, Caps, CounterStatus, DayUse, Lease, Op, UsageCounter, UsageRow};
use uuid::Uuid;

use crate::PostgresStore;
use crate::days::day_uses;
use crate::lease_rows::due;

#[async_trait]
impl UsageCounter for PostgresStore {
    async fn reserve(&self, lease: &Lease, caps: &Caps) -> Result<Admission> {
        let op = Op::Reserve(Box::new(lease.clone()), *caps);
        self.counting.call(op).await?.admission()
    }

    async fn settle(&self, row: &UsageRow) -> Result<()> {
        self.counting.call(Op::Settle(vec![row.clone()])).await.map(drop)
    }

    async fn release(&self, lease_id: Uuid) -> Result<()> {
        self.counting.call(Op::Release(lease_id)).await.map(drop)
    }

    async fn expire(&self, now: Timestamp) -> Result<u64> {
        // Usually no lease is due, and finding that out takes no lock.
        let due_now = self.base.query(|mut connection| async move {
            let due = due(&mut connection, now, 1).await?;
            Ok((connection, due))
        });
        if due_now.await?.is_empty() {
            return Ok(0);
        }
        self.counting.call(Op::Expire(now)).await?.expired()
    }

    async fn day_use(&self, day: Date) -> Result<DayUse> {
        self.base
            .query(|mut connection| async move {
                let found = day_uses(&mut connection, [day]).await?;
                Ok((connection, found.get(&day).copied().unwrap_or_default()))
            })
            .await
    }

    fn health(&self) -> CounterStatus {
        CounterStatus::healthy("postgres")
    }
}
