//! Calls counted: everything summed anew on each call.

use async_trait::async_trait;
use jiff::Timestamp;
use jiff::civil::Date;
use uuid::Uuid;

use super::{Data, MemoryStore};
use crate::Result;
use crate::usage::{
    Admission, Caps, Counter, DayTotals, DayUse, Lease, UsageCounter, UsageRow, admit,
};

#[async_trait]
impl UsageCounter for MemoryStore {
    async fn reserve(&self, lease: &Lease, caps: &Caps) -> Result<Admission> {
        let mut data = self.data();
        data.fence.check_counted_in_database()?;
        let mut day = data.day_use(lease.day);
        day.reserved = day.reserved + data.fence.promised(data.members.values(), lease.created_at);
        if data.leases.contains_key(&lease.id) {
            return Ok(Admission::Admitted { degraded: caps.soft_reached(&day) });
        }
        let verdict = admit(caps, &day, &lease.totals());
        if let Admission::Admitted { .. } = verdict {
            data.leases.insert(lease.id, lease.clone());
        }
        Ok(verdict)
    }

    async fn settle(&self, row: &UsageRow) -> Result<()> {
        self.data().settle(row);
        Ok(())
    }

    async fn release(&self, lease_id: Uuid) -> Result<()> {
        self.data().leases.remove(&lease_id);
        Ok(())
    }

    async fn expire(&self, now: Timestamp) -> Result<u64> {
        let mut data = self.data();
        let due = data.leases.values().filter(|lease| lease.expires_at < now);
        let rows: Vec<_> = due.map(|lease| lease.expired(now)).collect();
        rows.iter().for_each(|row| data.settle(row));
        Ok(rows.len().try_into().unwrap_or(u64::MAX))
    }

    async fn day_use(&self, day: Date) -> Result<DayUse> {
        Ok(self.data().day_use(day))
    }

    fn health(&self) -> Counter {
        Counter::healthy("memory")
    }
}

impl Data {
    pub(super) fn settle(&mut self, row: &UsageRow) {
        self.leases.remove(&row.id);
        match self.usage.iter_mut().find(|known| known.id == row.id) {
            None => self.usage.push(row.clone()),
            Some(known) if known.is_expired() && !row.is_expired() => *known = row.clone(),
            Some(_) => return,
        }
        *self.settled.entry(row.day).or_default() += 1;
    }

    pub(super) fn day_use(&self, day: Date) -> DayUse {
        let rows = self.usage.iter().filter(|row| row.day == day);
        let leases = self.leases.values().filter(|lease| lease.day == day);
        DayUse {
            settled: rows.map(DayTotals::of).sum(),
            reserved: leases.map(Lease::totals).sum(),
            version: self.settled.get(&day).copied().unwrap_or_default(),
        }
    }
}
