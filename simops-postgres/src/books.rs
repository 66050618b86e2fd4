//! What a batch of counting steps does to leases, ledger and sums: decided in memory, on what one
//! transaction has read under the fence's lock, then written by it.
//!
//! Sums are added to here and not in SQL, so that they stop at the greatest number there is instead
//! of failing, as in every store.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use simops::usage::budget::CallTotals;
use simops::usage::{Admission, Caps, DayTotals, DayUse, Fence, Lease, Member, UsageRow, admit};
use simops::{Error, Result};
use uuid::Uuid;

/// One caller's step.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Reserve(Box<Lease>, Caps),
    Settle(Box<UsageRow>),
    Release(Uuid),
    Record(Vec<UsageRow>),
}

/// What came of it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Done {
    Verdict(Admission),
    Booked,
}

/// What is there, as far as the steps touch it, and what is to be written.
#[derive(Default)]
pub(crate) struct Books {
    pub(crate) leases: BTreeMap<Uuid, Lease>,
    pub(crate) rows: BTreeMap<Uuid, UsageRow>,
    pub(crate) days: BTreeMap<Date, DayUse>,
    pub(crate) runs: BTreeMap<String, CallTotals>,
    pub(crate) members: Vec<Member>,
    /// Leases that were stored and are over.
    pub(crate) ended: BTreeSet<Uuid>,
    /// Leases that are new.
    pub(crate) begun: BTreeSet<Uuid>,
    /// Rows that are new, in order; stored ones that are replaced; and both as a set.
    pub(crate) written: Vec<Uuid>,
    pub(crate) replaced: Vec<Uuid>,
    pub(crate) marked: BTreeSet<Uuid>,
    pub(crate) changed_days: BTreeSet<Date>,
    pub(crate) changed_runs: BTreeSet<String>,
}

impl Books {
    /// Takes one step.
    ///
    /// # Errors
    /// `Stale` for a reservation while calls are counted elsewhere.
    pub(crate) fn take(&mut self, step: &Step, fence: &Fence) -> Result<Done> {
        match step {
            Step::Reserve(lease, caps) => self.reserve(lease, caps, fence).map(Done::Verdict),
            Step::Settle(row) => {
                self.settle(row);
                Ok(Done::Booked)
            }
            Step::Release(id) => {
                self.end(*id);
                Ok(Done::Booked)
            }
            Step::Record(rows) => {
                rows.iter().for_each(|row| self.book(row));
                Ok(Done::Booked)
            }
        }
    }

    fn reserve(&mut self, lease: &Lease, caps: &Caps, fence: &Fence) -> Result<Admission> {
        fence.check_counted_in_database()?;
        let mut seen = self.days.get(&lease.day).copied().unwrap_or_default();
        // Without Redis there has never been a move, nor a member.
        if fence.generation > 0 {
            seen.reserved = seen.reserved + fence.promised(&self.members, lease.created_at);
        }
        let known = self.leases.contains_key(&lease.id);
        Ok(match admit(caps, &seen, &lease.totals()) {
            Admission::Refused { .. } if known => {
                Admission::Admitted { degraded: caps.soft_reached(&seen) }
            }
            Admission::Admitted { degraded } => {
                self.begin(lease);
                Admission::Admitted { degraded }
            }
            refused => refused,
        })
    }

    /// Writes a lease beside the others, unless it has ended in a row.
    pub(crate) fn hand_over(&mut self, lease: &Lease) {
        if !self.rows.contains_key(&lease.id) {
            self.begin(lease);
        }
    }

    fn begin(&mut self, lease: &Lease) {
        if self.leases.contains_key(&lease.id) {
            return;
        }
        self.leases.insert(lease.id, lease.clone());
        self.begun.insert(lease.id);
        self.change(lease.day, |day| day.reserved = day.reserved + lease.totals());
    }

    /// Ends the lease of the row's id, if there is one, and books the row.
    pub(crate) fn settle(&mut self, row: &UsageRow) {
        self.end(row.id);
        self.book(row);
    }

    fn end(&mut self, id: Uuid) {
        let Some(lease) = self.leases.remove(&id) else { return };
        // One that began in this batch was never stored.
        if !self.begun.remove(&id) {
            self.ended.insert(id);
        }
        self.change(lease.day, |day| day.reserved = day.reserved - lease.totals());
    }

    /// Writes a row and adds it to its sums. It takes the place of that of its expired lease; any
    /// other row of its id stands.
    fn book(&mut self, row: &UsageRow) {
        let (mut of_day, mut of_run) = (DayTotals::of(row), CallTotals::of(row));
        if let Some(old) = self.rows.get(&row.id) {
            if !yields(old, row) {
                return;
            }
            of_day = of_day - DayTotals::of(old);
            of_run = of_run - CallTotals::of(old);
        }
        let known = self.rows.insert(row.id, row.clone()).is_some();
        if self.marked.insert(row.id) {
            let changed = if known { &mut self.replaced } else { &mut self.written };
            changed.push(row.id);
        }
        self.change(row.day, |day| {
            day.settled = day.settled + of_day;
            day.version += 1;
        });
        if let Some(run_id) = &row.run_id {
            let run = self.runs.entry(run_id.clone()).or_default();
            *run = *run + of_run;
            self.changed_runs.insert(run_id.clone());
        }
    }

    fn change(&mut self, day: Date, change: impl FnOnce(&mut DayUse)) {
        change(self.days.entry(day).or_default());
        self.changed_days.insert(day);
    }
}

/// Whether `old` stands for the same call as `new` and does not know what came of it.
fn yields(old: &UsageRow, new: &UsageRow) -> bool {
    old.is_expired() && !new.is_expired() && old.day == new.day && old.run_id == new.run_id
}

/// The answer of a step that books.
pub(crate) fn booked(done: Done) -> Result<()> {
    match done {
        Done::Booked => Ok(()),
        Done::Verdict(_) => Err(Error::internal("a booking was answered with a verdict")),
    }
}

/// The answer of a step that asks.
pub(crate) fn verdict(done: Done) -> Result<Admission> {
    match done {
        Done::Verdict(admission) => Ok(admission),
        Done::Booked => Err(Error::internal("a reservation was answered without a verdict")),
    }
}
