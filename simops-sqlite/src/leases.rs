//! The usage counter.

use async_trait::async_trait;
use jiff::Timestamp;
use jiff::civil::Date;
use simops::Result;
use simops::usage::{Admission, Caps, CounterStatus, DayUse, Lease, Op, UsageCounter, UsageRow};
use uuid::Uuid;

use crate::SqliteStore;
use crate::days::day_use;
use crate::lease_rows::due;

#[async_trait]
impl UsageCounter for SqliteStore {
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
        if self.read(move |connection| due(connection, now, 1)).await?.is_empty() {
            return Ok(0);
        }
        self.apply(Op::Expire(now)).await?.expired()
    }

    async fn day_use(&self, day: Date) -> Result<DayUse> {
        self.read(move |connection| day_use(connection, day)).await
    }

    fn health(&self) -> CounterStatus {
        CounterStatus::healthy("sqlite")
    }
}
