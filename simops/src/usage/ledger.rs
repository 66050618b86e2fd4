//! The ledger state machine. [`LedgerBatch`] documents its rules.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use jiff::civil::Date;
use uuid::Uuid;

use super::admission::is_degraded;
use super::budget::{Amounts, BudgetUse, Budgets, CallFacts, UseKey};
use super::totals::CallTotals;
use super::{
    Admission, Caps, CounterClient, CounterEpoch, DayTotals, DayUse, Lease, UsageRow, admit,
};
use crate::{Error, Result};

/// An operation on the ledger.
#[derive(Debug, Clone)]
pub enum Op {
    /// Opens a lease if the caps admit it.
    Reserve(Box<Lease>, Caps),
    /// Writes rows, and ends the leases of their ids.
    Settle(Vec<UsageRow>),
    /// Ends a lease without a row.
    Release(Uuid),
    /// Ends the loaded leases that expired before this time in rows at what they reserve.
    Expire(Timestamp),
    /// Opens leases that another counter admitted.
    Transfer(Vec<Lease>),
}

/// The result of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Of a reservation.
    Admission(Admission),
    /// Of an expiry: the number of leases that it ended.
    Expired(u64),
    /// Of any other operation.
    Done,
}

impl Outcome {
    /// The verdict on a reservation.
    ///
    /// # Errors
    /// `Internal` if this is the outcome of another operation.
    pub fn admission(self) -> Result<Admission> {
        let Self::Admission(admission) = self else {
            return Err(Error::internal("a reservation has the outcome of another operation"));
        };
        Ok(admission)
    }

    /// The number of leases that expired.
    ///
    /// # Errors
    /// `Internal` if this is the outcome of another operation.
    pub fn expired(self) -> Result<u64> {
        let Self::Expired(expired) = self else {
            return Err(Error::internal("an expiry has the outcome of another operation"));
        };
        Ok(expired)
    }
}

/// What a batch of operations may touch: what a store loads before it applies them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Footprint {
    /// Ids of leases and rows.
    pub ids: BTreeSet<Uuid>,
    /// Leases that expired before this time are due.
    pub due: Option<Timestamp>,
    /// Days whose sums may change.
    pub days: BTreeSet<Date>,
    /// Runs whose sums may change.
    pub runs: BTreeSet<String>,
    /// What budgets see of the calls.
    calls: BTreeSet<CallFacts<'static>>,
}

impl Footprint {
    /// What `ops` name themselves.
    pub fn of<'o>(ops: impl IntoIterator<Item = &'o Op>) -> Self {
        let mut footprint = Self::default();
        for op in ops {
            match op {
                Op::Reserve(lease, _) => footprint.add_lease(lease),
                Op::Settle(rows) => rows.iter().for_each(|row| footprint.add_row(row)),
                Op::Release(id) => drop(footprint.ids.insert(*id)),
                Op::Expire(now) => footprint.due = footprint.due.max(Some(*now)),
                Op::Transfer(leases) => {
                    leases.iter().for_each(|lease| footprint.add_lease(lease));
                }
            }
        }
        footprint
    }

    /// Adds what ending `lease` touches.
    pub fn add_lease(&mut self, lease: &Lease) {
        self.add(lease.id, CallFacts::of_lease(lease));
    }

    /// Adds what writing or replacing `row` touches.
    pub fn add_row(&mut self, row: &UsageRow) {
        self.add(row.id, CallFacts::of_row(row));
    }

    /// The uses of budgets that may change.
    pub fn uses(&self, budgets: &Budgets) -> BTreeSet<UseKey> {
        let uses = self.calls.iter().flat_map(|call| budgets.uses(call));
        uses.map(|(_, key)| key).collect()
    }

    fn add(&mut self, id: Uuid, call: CallFacts<'_>) {
        let (day, run_id) = (call.day, call.run_id.as_deref());
        self.ids.insert(id);
        self.days.insert(day);
        if let Some(run_id) = run_id
            && !self.runs.contains(run_id)
        {
            self.runs.insert(run_id.to_owned());
        }
        if !self.calls.contains(&call) {
            self.calls.insert(call.into_owned());
        }
    }
}

/// What a store holds of a [`Footprint`]. Days, runs and uses without sums may be missing.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// Where calls are counted.
    pub epoch: CounterEpoch,
    /// The clients of the counter; may be empty while the epoch's generation is 0, because there
    /// is nothing that they could be behind of.
    pub clients: Vec<CounterClient>,
    /// The open leases.
    pub leases: Vec<Lease>,
    /// The ledger rows.
    pub rows: Vec<UsageRow>,
    /// The sums of the days.
    pub days: BTreeMap<Date, DayUse>,
    /// The sums of the runs.
    pub runs: BTreeMap<String, CallTotals>,
    /// All budgets, and the groups of the runs if [`Budgets::need_groups`] says so.
    pub budgets: Budgets,
    /// What was used of [`Footprint::uses`].
    pub uses: BTreeMap<UseKey, BudgetUse>,
}

/// What a batch changes. A store deletes the ended leases before it inserts the opened ones, which
/// may have the same ids.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Changes {
    /// Stored leases to delete.
    pub ended: BTreeSet<Uuid>,
    /// Leases to insert.
    pub opened: Vec<Lease>,
    /// Rows to insert, in this order.
    pub inserted: Vec<UsageRow>,
    /// Rows to write over those of the same ids, which keep their place in listings.
    pub replaced: Vec<UsageRow>,
    /// Sums of days to write.
    pub days: Vec<(Date, DayUse)>,
    /// Sums of runs to write.
    pub runs: Vec<(String, CallTotals)>,
    /// Uses of budgets to write.
    pub uses: Vec<(UseKey, BudgetUse)>,
}

/// A batch of operations on loaded state: how reservations become rows of the ledger, and what that
/// does to the sums of days and runs.
///
/// All rules are here, without I/O. A store loads what a batch of operations
/// touches, applies the operations in order, and writes the [`Changes`], all in one transaction:
///
/// 1. [`Footprint::of`] the operations names the ids that they touch.
/// 2. The store reads the open leases of these ids and, if [`Footprint::due`] is set, some leases
///    that expired before that time. Each lease is added with [`Footprint::add_lease`].
/// 3. The store reads the ledger rows of all ids, and adds each with [`Footprint::add_row`].
/// 4. The store reads the sums of all days and runs of the footprint, and the uses of budgets that
///    [`Footprint::uses`] names.
/// 5. [`LedgerBatch::apply`] per operation, then [`LedgerBatch::into_changes`].
///
/// # Transitions
///
/// An id names one call. It may have an open lease or a row in the ledger, never both.
///
/// | operation | no lease, no row | open lease | row of an expired lease | any other row |
/// |---|---|---|---|---|
/// | reserve | opens a lease if the caps admit it | admitted again; the first lease stands | admitted; nothing changes | admitted; nothing changes |
/// | settle with real figures | writes the row | ends the lease, writes the row | replaces the row | the row stands |
/// | settle with an expired row | writes the row | ends the lease, writes the row | the row stands | the row stands |
/// | release | nothing changes | ends the lease | nothing changes | nothing changes |
/// | expire | nothing changes | ends a due lease, writes its expired row | nothing changes | nothing changes |
/// | transfer | opens the lease, whatever the caps | the first lease stands | nothing changes | nothing changes |
///
/// - **Other figures under a known id.** A repeated operation is a retry: the first one counts. A
///   reservation with other amounts, another run or another day neither changes the open lease nor
///   opens a second one. After the call has settled, a late repeat of its reservation is admitted
///   without a lease, because the row already counts.
/// - **Late figures.** The row of an expired lease holds what it had reserved. Real figures replace it,
///   also if they name another day or run than the lease did: its sums move from the old day and
///   run to the new ones. Any other row is final.
/// - **Days.** A lease counts for its own day and a row for its own, whenever they are written.
/// - **Sums** stop at `i64::MAX` and at 0. A sum that was cut off is approximate until
///   a rebuild.
/// - **Retention.** The row of an id that was deleted as old is unknown here.
///
/// # Budgets
///
/// A call counts towards its day and its run, and towards every budget that counts it: as `reserved`
/// while its lease is open, as `settled` from its row on. [`admit`] compares it with all of them in one
/// step. Which budgets count it depends on nothing but the call, the group of its run and the budgets
/// as they are now, so that the ledger determines the uses of each budget.
#[derive(Debug)]
pub struct LedgerBatch {
    epoch: CounterEpoch,
    clients: Vec<CounterClient>,
    leases: BTreeMap<Uuid, Lease>,
    rows: BTreeMap<Uuid, UsageRow>,
    days: BTreeMap<Date, DayUse>,
    runs: BTreeMap<String, CallTotals>,
    budgets: Budgets,
    uses: BTreeMap<UseKey, BudgetUse>,
    ended: BTreeSet<Uuid>,
    opened: BTreeSet<Uuid>,
    inserted: Vec<Uuid>,
    replaced: BTreeSet<Uuid>,
    changed_days: BTreeSet<Date>,
    changed_runs: BTreeSet<String>,
    changed_uses: BTreeSet<UseKey>,
}

impl LedgerBatch {
    /// A batch on what was loaded for its footprint.
    pub fn new(loaded: Loaded) -> Self {
        Self {
            epoch: loaded.epoch,
            clients: loaded.clients,
            leases: loaded.leases.into_iter().map(|lease| (lease.id, lease)).collect(),
            rows: loaded.rows.into_iter().map(|row| (row.id, row)).collect(),
            days: loaded.days,
            runs: loaded.runs,
            budgets: loaded.budgets,
            uses: loaded.uses,
            ended: BTreeSet::new(),
            opened: BTreeSet::new(),
            inserted: Vec::new(),
            replaced: BTreeSet::new(),
            changed_days: BTreeSet::new(),
            changed_runs: BTreeSet::new(),
            changed_uses: BTreeSet::new(),
        }
    }

    /// Applies one operation.
    ///
    /// # Errors
    /// `Stale` for a reservation while another backend counts calls. A failed operation changes
    /// nothing.
    pub fn apply(&mut self, op: &Op) -> Result<Outcome> {
        match op {
            Op::Reserve(lease, caps) => self.reserve(lease, caps).map(Outcome::Admission),
            Op::Settle(rows) => {
                rows.iter().for_each(|row| self.settle(row));
                Ok(Outcome::Done)
            }
            Op::Release(id) => {
                self.end(*id);
                Ok(Outcome::Done)
            }
            Op::Expire(now) => Ok(Outcome::Expired(self.expire(*now))),
            Op::Transfer(leases) => {
                leases.iter().for_each(|lease| self.open(lease));
                Ok(Outcome::Done)
            }
        }
    }

    /// What the applied operations changed.
    pub fn into_changes(mut self) -> Changes {
        let opened = self.opened.iter().filter_map(|id| self.leases.remove(id)).collect();
        let mut take = |id: &Uuid| self.rows.remove(id);
        let inserted = self.inserted.iter().filter_map(&mut take).collect();
        let replaced = self.replaced.iter().filter_map(&mut take).collect();
        self.days.retain(|day, _| self.changed_days.contains(day));
        self.runs.retain(|run_id, _| self.changed_runs.contains(run_id));
        self.uses.retain(|key, _| self.changed_uses.contains(key));
        Changes {
            ended: self.ended,
            opened,
            inserted,
            replaced,
            days: self.days.into_iter().collect(),
            runs: self.runs.into_iter().collect(),
            uses: self.uses.into_iter().collect(),
        }
    }

    fn reserve(&mut self, lease: &Lease, caps: &Caps) -> Result<Admission> {
        self.epoch.check_database_counts()?;
        let outstanding = self.epoch.outstanding(&self.clients, lease.created_at);
        let mut day = self.days.get(&lease.day).copied().unwrap_or_default();
        day.reserved = day.reserved + outstanding.totals;
        let mut lines = caps.lines(&day, &lease.totals());
        let (call, amounts) = (CallFacts::of_lease(lease), Amounts::of_lease(lease));
        lines.extend(self.budgets.uses(&call).into_iter().map(|(budget, key)| {
            let mut used = self.uses.get(&key).copied().unwrap_or_default();
            // Which of them they count towards is not known here: all, to be safe.
            let unknown = outstanding.amounts().of(budget.unit);
            used.reserved = used.reserved.saturating_add(unknown);
            budget.line(&key, used, &amounts)
        }));
        if self.is_known(lease.id) {
            return Ok(Admission::Admitted { degraded: is_degraded(&lines) });
        }
        let admission = admit(&lines);
        if let Admission::Admitted { .. } = admission {
            self.open(lease);
        }
        Ok(admission)
    }

    fn is_known(&self, id: Uuid) -> bool {
        self.leases.contains_key(&id) || self.rows.contains_key(&id)
    }

    fn open(&mut self, lease: &Lease) {
        if self.is_known(lease.id) {
            return;
        }
        self.leases.insert(lease.id, lease.clone());
        self.opened.insert(lease.id);
        self.count_reserved(lease, |sums, call| sums + call, i64::saturating_add);
    }

    fn end(&mut self, id: Uuid) {
        let Some(lease) = self.leases.remove(&id) else { return };
        // A lease that this batch opened was never stored.
        if !self.opened.remove(&id) {
            self.ended.insert(id);
        }
        self.count_reserved(&lease, |sums, call| sums - call, less);
    }

    fn expire(&mut self, now: Timestamp) -> u64 {
        let due = self.leases.values().filter(|lease| lease.expires_at < now);
        let mut due: Vec<_> = due.map(|lease| (lease.expires_at, lease.expired(now))).collect();
        due.sort_by_key(|(expires_at, row)| (*expires_at, row.id));
        due.iter().for_each(|(_, row)| self.settle(row));
        due.len() as u64
    }

    fn settle(&mut self, row: &UsageRow) {
        self.end(row.id);
        let old = self.rows.get(&row.id).cloned();
        match &old {
            Some(old) if !old.is_superseded_by(row) => return,
            Some(_) if self.inserted.contains(&row.id) => {}
            Some(_) => drop(self.replaced.insert(row.id)),
            None => self.inserted.push(row.id),
        }
        self.rows.insert(row.id, row.clone());
        self.count_settled(old.as_ref(), row);
    }

    fn count_reserved(
        &mut self,
        lease: &Lease,
        change: fn(DayTotals, DayTotals) -> DayTotals,
        change_use: fn(i64, i64) -> i64,
    ) {
        let sums = self.days.entry(lease.day).or_default();
        sums.reserved = change(sums.reserved, lease.totals());
        self.changed_days.insert(lease.day);
        for (key, amount) in self.budgets.amounts_of_lease(lease) {
            let used = self.uses.entry(key.clone()).or_default();
            used.reserved = change_use(used.reserved, amount);
            self.changed_uses.insert(key);
        }
    }

    /// Moves the sums from `old` to `new`.
    fn count_settled(&mut self, old: Option<&UsageRow>, new: &UsageRow) {
        if let Some(old) = old {
            let day = self.days.entry(old.day).or_default();
            day.settled = day.settled - DayTotals::of(old);
            if old.day != new.day {
                day.version += 1;
            }
            self.changed_days.insert(old.day);
            self.count_run(old, |sum| sum - CallTotals::of(old));
            self.count_uses(old, less);
        }
        let day = self.days.entry(new.day).or_default();
        day.settled = day.settled + DayTotals::of(new);
        day.version += 1;
        self.changed_days.insert(new.day);
        self.count_run(new, |sum| sum + CallTotals::of(new));
        self.count_uses(new, i64::saturating_add);
    }

    fn count_uses(&mut self, row: &UsageRow, change: fn(i64, i64) -> i64) {
        for (key, amount) in self.budgets.amounts_of_row(row) {
            let used = self.uses.entry(key.clone()).or_default();
            used.settled = change(used.settled, amount);
            used.version += 1;
            self.changed_uses.insert(key);
        }
    }

    fn count_run(&mut self, row: &UsageRow, change: impl FnOnce(CallTotals) -> CallTotals) {
        let Some(run_id) = &row.run_id else { return };
        if !self.changed_runs.contains(run_id) {
            self.changed_runs.insert(run_id.clone());
            self.runs.entry(run_id.clone()).or_default();
        }
        if let Some(sum) = self.runs.get_mut(run_id) {
            *sum = change(*sum);
        }
    }
}

/// A sum without a part of it. It never turns negative, also if it was cut off.
fn less(sum: i64, part: i64) -> i64 {
    sum.saturating_sub(part).max(0)
}
