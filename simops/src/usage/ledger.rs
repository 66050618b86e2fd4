//! The ledger state machine. [`LedgerBatch`] documents its rules.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use jiff::civil::Date;
use uuid::Uuid;

use super::admission::is_degraded;
use super::budget::CallTotals;
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
    /// Ends the loaded leases that expired before this time in rows at their upper bounds.
    Expire(Timestamp),
    /// Opens leases that another counter admitted.
    Transfer(Vec<Lease>),
}

/// The result of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
        match self {
            Self::Admission(admission) => Ok(admission),
            Self::Expired(_) | Self::Done => {
                Err(Error::internal("a reservation has the outcome of another operation"))
            }
        }
    }

    /// The number of leases that expired.
    ///
    /// # Errors
    /// `Internal` if this is the outcome of another operation.
    pub fn expired(self) -> Result<u64> {
        match self {
            Self::Expired(expired) => Ok(expired),
            Self::Admission(_) | Self::Done => {
                Err(Error::internal("an expiry has the outcome of another operation"))
            }
        }
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
        self.add(lease.id, lease.day, lease.run_id.as_deref());
    }

    /// Adds what writing or replacing `row` touches.
    pub fn add_row(&mut self, row: &UsageRow) {
        self.add(row.id, row.day, row.run_id.as_deref());
    }

    fn add(&mut self, id: Uuid, day: Date, run_id: Option<&str>) {
        self.ids.insert(id);
        self.days.insert(day);
        if let Some(run_id) = run_id
            && !self.runs.contains(run_id)
        {
            self.runs.insert(run_id.to_owned());
        }
    }
}

/// What a store holds of a [`Footprint`]. Days and runs without sums may be missing.
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
/// 4. The store reads the sums of all days and runs of the footprint.
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
/// - **Late figures.** The row of an expired lease holds an upper bound. Real figures replace it,
///   also if they name another day or run than the lease did: its sums move from the old day and
///   run to the new ones. Any other row is final.
/// - **Days.** A lease counts for its own day and a row for its own, whenever they are written.
/// - **Sums** stop at `i64::MAX` and at 0. A sum that was cut off is approximate until
///   [`rebuild_usage`](crate::store::UsageStore::rebuild_usage).
/// - **Retention.** The row of an id that was deleted as old is unknown here.
///
/// # Budgets
///
/// [`admit`] takes a list of caps, and a call counts in one place each: `reserved` of its lease's
/// day, and `settled` of its row's day and run (`count_reserved` and `count_settled`). Budgets with scopes and windows of their own are more sums in these two places.
#[derive(Debug)]
pub struct LedgerBatch {
    epoch: CounterEpoch,
    clients: Vec<CounterClient>,
    leases: BTreeMap<Uuid, Lease>,
    rows: BTreeMap<Uuid, UsageRow>,
    days: BTreeMap<Date, DayUse>,
    runs: BTreeMap<String, CallTotals>,
    ended: BTreeSet<Uuid>,
    opened: BTreeSet<Uuid>,
    inserted: Vec<Uuid>,
    replaced: BTreeSet<Uuid>,
    changed_days: BTreeSet<Date>,
    changed_runs: BTreeSet<String>,
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
            ended: BTreeSet::new(),
            opened: BTreeSet::new(),
            inserted: Vec::new(),
            replaced: BTreeSet::new(),
            changed_days: BTreeSet::new(),
            changed_runs: BTreeSet::new(),
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
        Changes {
            ended: self.ended,
            opened,
            inserted,
            replaced,
            days: self.days.into_iter().collect(),
            runs: self.runs.into_iter().collect(),
        }
    }

    fn reserve(&mut self, lease: &Lease, caps: &Caps) -> Result<Admission> {
        self.epoch.check_database_counts()?;
        let caps = caps.list();
        let mut day = self.days.get(&lease.day).copied().unwrap_or_default();
        day.reserved = day.reserved + self.epoch.outstanding(&self.clients, lease.created_at);
        if self.is_known(lease.id) {
            return Ok(Admission::Admitted { degraded: is_degraded(&caps, &day) });
        }
        let admission = admit(&caps, &day, &lease.totals());
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
        self.count_reserved(lease.day, |reserved| reserved + lease.totals());
    }

    fn end(&mut self, id: Uuid) {
        let Some(lease) = self.leases.remove(&id) else { return };
        // A lease that this batch opened was never stored.
        if !self.opened.remove(&id) {
            self.ended.insert(id);
        }
        self.count_reserved(lease.day, |reserved| reserved - lease.totals());
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

    fn count_reserved(&mut self, day: Date, change: impl FnOnce(DayTotals) -> DayTotals) {
        let sums = self.days.entry(day).or_default();
        sums.reserved = change(sums.reserved);
        self.changed_days.insert(day);
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
        }
        let day = self.days.entry(new.day).or_default();
        day.settled = day.settled + DayTotals::of(new);
        day.version += 1;
        self.changed_days.insert(new.day);
        self.count_run(new, |sum| sum + CallTotals::of(new));
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

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use jiff::civil::date;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;
    use crate::usage::{CounterBackend, NanoUsd};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds)
    }

    fn epoch(generation: u64, backend: CounterBackend) -> CounterEpoch {
        let (namespace, since) = ("n".to_owned(), at(0));
        CounterEpoch { generation, backend, namespace, redis: None, since, reason: None }
    }

    fn lease(id: u128, day: i8, run_id: Option<&str>, nanos: i64) -> Lease {
        Lease {
            id: Uuid::from_u128(id),
            day: date(2026, 1, day),
            run_id: run_id.map(str::to_owned),
            agent_id: Some(1),
            checkpoint: None,
            provider: "groq".to_owned(),
            model: "m".to_owned(),
            upper_bound: NanoUsd(nanos),
            priced: true,
            created_at: at(0),
            expires_at: at(60),
        }
    }

    fn row(lease: &Lease, nanos: i64) -> UsageRow {
        let cost = NanoUsd(nanos);
        UsageRow { success: true, error_type: None, cost, ..lease.expired(at(30)) }
    }

    /// What a store holds, loaded and written as the module says.
    #[derive(Default)]
    struct Stored {
        leases: BTreeMap<Uuid, Lease>,
        rows: Vec<UsageRow>,
        days: BTreeMap<Date, DayUse>,
        runs: BTreeMap<String, CallTotals>,
    }

    impl Stored {
        fn apply(&mut self, ops: &[Op]) -> Vec<Result<Outcome>> {
            let mut footprint = Footprint::of(ops);
            let is_due = |lease: &Lease| footprint.due.is_some_and(|now| lease.expires_at < now);
            let leases = self.leases.values();
            let leases = leases.filter(|lease| footprint.ids.contains(&lease.id) || is_due(lease));
            let leases: Vec<_> = leases.cloned().collect();
            leases.iter().for_each(|lease| footprint.add_lease(lease));
            let rows = self.rows.iter().filter(|row| footprint.ids.contains(&row.id));
            let rows: Vec<_> = rows.cloned().collect();
            rows.iter().for_each(|row| footprint.add_row(row));
            let mut batch = LedgerBatch::new(Loaded {
                epoch: epoch(0, CounterBackend::Database),
                clients: Vec::new(),
                leases,
                rows,
                days: self
                    .days
                    .clone()
                    .into_iter()
                    .filter(|(d, _)| footprint.days.contains(d))
                    .collect(),
                runs: self
                    .runs
                    .clone()
                    .into_iter()
                    .filter(|(r, _)| footprint.runs.contains(r))
                    .collect(),
            });
            let outcomes = ops.iter().map(|op| batch.apply(op)).collect();
            let changes = batch.into_changes();
            for id in &changes.ended {
                assert!(self.leases.remove(id).is_some(), "an ended lease was stored");
            }
            for lease in changes.opened {
                assert!(self.leases.insert(lease.id, lease).is_none(), "an opened lease is new");
            }
            for row in changes.replaced {
                let old = self.rows.iter_mut().find(|old| old.id == row.id);
                *old.expect("a replaced row was stored") = row;
            }
            for row in &changes.inserted {
                assert!(self.rows.iter().all(|old| old.id != row.id), "an inserted row is new");
            }
            self.rows.extend(changes.inserted);
            self.days.extend(changes.days);
            self.runs.extend(changes.runs);
            outcomes
        }
    }

    /// The transition table again, on plain lists, one operation at a time. Sums are never kept.
    #[derive(Default)]
    struct Model {
        leases: Vec<Lease>,
        rows: Vec<UsageRow>,
    }

    impl Model {
        fn day(&self, day: Date) -> DayUse {
            let rows = self.rows.iter().filter(|row| row.day == day);
            let leases = self.leases.iter().filter(|lease| lease.day == day);
            DayUse {
                settled: rows.map(DayTotals::of).sum(),
                reserved: leases.map(Lease::totals).sum(),
                version: 0,
            }
        }

        fn run(&self, run_id: &str) -> CallTotals {
            let rows = self.rows.iter().filter(|row| row.run_id.as_deref() == Some(run_id));
            rows.map(CallTotals::of).sum()
        }

        fn has(&self, id: Uuid) -> bool {
            self.leases.iter().any(|lease| lease.id == id)
                || self.rows.iter().any(|row| row.id == id)
        }

        fn settle(&mut self, row: &UsageRow) {
            self.leases.retain(|lease| lease.id != row.id);
            match self.rows.iter_mut().find(|old| old.id == row.id) {
                None => self.rows.push(row.clone()),
                Some(old) if old.is_expired() && !row.is_expired() => *old = row.clone(),
                Some(_) => {}
            }
        }

        fn apply(&mut self, op: &Op) -> Outcome {
            match op {
                Op::Reserve(lease, caps) => {
                    let day = self.day(lease.day);
                    if self.has(lease.id) {
                        let degraded = is_degraded(&caps.list(), &day);
                        return Outcome::Admission(Admission::Admitted { degraded });
                    }
                    let verdict = admit(&caps.list(), &day, &lease.totals());
                    if let Admission::Admitted { .. } = verdict {
                        self.leases.push(lease.as_ref().clone());
                    }
                    return Outcome::Admission(verdict);
                }
                Op::Settle(rows) => rows.iter().for_each(|row| self.settle(row)),
                Op::Release(id) => self.leases.retain(|lease| lease.id != *id),
                Op::Transfer(leases) => {
                    for lease in leases {
                        if !self.has(lease.id) {
                            self.leases.push(lease.clone());
                        }
                    }
                }
                Op::Expire(now) => {
                    let mut due: Vec<_> = self
                        .leases
                        .iter()
                        .filter(|lease| lease.expires_at < *now)
                        .cloned()
                        .collect();
                    due.sort_by_key(|lease| (lease.expires_at, lease.id));
                    due.iter().for_each(|lease| self.settle(&lease.expired(*now)));
                    return Outcome::Expired(due.len() as u64);
                }
            }
            Outcome::Done
        }
    }

    fn leases() -> impl Strategy<Value = Lease> {
        let run = select(vec![None, Some("one"), Some("two")]);
        let call = (
            select(vec!["openrouter", "groq", "gemini"]),
            select(vec!["m", "m:free"]),
            any::<bool>(),
        );
        (0..8_u128, 1..4_i8, run, 0..100_i64, call, 0..100_i64).prop_map(
            |(id, day, run_id, nanos, (provider, model, priced), until)| Lease {
                provider: provider.to_owned(),
                model: model.to_owned(),
                priced,
                expires_at: at(until),
                ..lease(id, day, run_id, nanos)
            },
        )
    }

    fn rows() -> impl Strategy<Value = UsageRow> {
        (leases(), 0..100_i64, 0..4_u8).prop_map(|(lease, nanos, end)| match end {
            0 => lease.expired(at(50)),
            1 => UsageRow {
                success: false,
                error_type: Some("timeout".to_owned()),
                ..row(&lease, nanos)
            },
            _ => row(&lease, nanos),
        })
    }

    fn caps() -> impl Strategy<Value = Caps> {
        let cap = || prop::option::weighted(0.4, 0..6_i64);
        let dollars = || prop::option::weighted(0.4, (0..300_i64).prop_map(NanoUsd));
        (dollars(), dollars(), cap(), cap(), cap(), cap()).prop_map(
            |(soft, hard, total, openrouter_free, groq, gemini)| Caps {
                soft,
                hard,
                total,
                openrouter_free,
                groq,
                gemini,
            },
        )
    }

    fn ops() -> impl Strategy<Value = Op> {
        prop_oneof![
            4 => (leases(), caps()).prop_map(|(lease, caps)| Op::Reserve(Box::new(lease), caps)),
            3 => vec(rows(), 0..3).prop_map(Op::Settle),
            1 => (0..8_u128).prop_map(|id| Op::Release(Uuid::from_u128(id))),
            1 => (0..100_i64).prop_map(|now| Op::Expire(at(now))),
            1 => vec(leases(), 0..3).prop_map(Op::Transfer),
        ]
    }

    proptest! {
        /// Any history in any batches gives the outcomes, leases, rows and sums of the model.
        #[test]
        fn batches_equal_the_model(batches in vec(vec(ops(), 0..6), 0..16)) {
            let (mut stored, mut model) = (Stored::default(), Model::default());
            for ops in &batches {
                for (op, outcome) in ops.iter().zip(stored.apply(ops)) {
                    prop_assert_eq!(outcome.expect("the database counts"), model.apply(op), "{:?}", op);
                }
                let mut open = model.leases.clone();
                open.sort_by_key(|lease| lease.id);
                prop_assert_eq!(stored.leases.values().cloned().collect::<Vec<_>>(), open);
                prop_assert_eq!(&stored.rows, &model.rows);
                for day in 1..4 {
                    let day = date(2026, 1, day);
                    let kept = stored.days.get(&day).copied().unwrap_or_default();
                    prop_assert_eq!(DayUse { version: 0, ..kept }, model.day(day));
                }
                for run_id in ["one", "two"] {
                    let kept = stored.runs.get(run_id).copied().unwrap_or_default();
                    prop_assert_eq!(kept, model.run(run_id));
                }
            }
        }
    }

    #[test]
    fn a_version_changes_with_every_change_of_a_days_sums() {
        let mut stored = Stored::default();
        let version =
            |stored: &Stored, day| stored.days.get(&date(2026, 1, day)).map(|d| d.version);
        let first = lease(1, 1, Some("one"), 100);
        stored.apply(&[Op::Reserve(Box::new(first), Caps::default())]);
        assert_eq!(version(&stored, 1), Some(0));
        stored.apply(&[Op::Expire(at(61))]);
        assert_eq!(version(&stored, 1), Some(1));
        stored.apply(&[Op::Settle(vec![row(&lease(1, 2, Some("two"), 0), 30)])]);
        assert_eq!((version(&stored, 1), version(&stored, 2)), (Some(2), Some(1)));
    }

    #[test]
    fn a_sum_that_was_cut_off_never_turns_negative() {
        let mut stored = Stored::default();
        let two = [lease(1, 1, None, i64::MAX), lease(2, 1, None, i64::MAX)];
        for lease in &two {
            stored.apply(&[Op::Transfer(vec![lease.clone()])]);
        }
        stored.apply(&[Op::Release(two[0].id), Op::Release(two[1].id)]);
        assert_eq!(stored.days[&two[0].day].reserved, DayTotals::default());
    }

    #[test]
    fn reservations_fail_while_another_backend_counts_and_ends_do_not() {
        for backend in [CounterBackend::Rebuilding, CounterBackend::Redis] {
            let mut batch = LedgerBatch::new(Loaded {
                epoch: epoch(1, backend),
                clients: Vec::new(),
                leases: vec![lease(1, 1, None, 5)],
                rows: Vec::new(),
                days: BTreeMap::new(),
                runs: BTreeMap::new(),
            });
            let reserved =
                batch.apply(&Op::Reserve(Box::new(lease(2, 1, None, 5)), Caps::default()));
            assert!(reserved.is_err_and(|error| error.kind() == crate::ErrorKind::Stale));
            batch.apply(&Op::Settle(vec![row(&lease(1, 1, None, 5), 3)])).expect("it is recorded");
            let changes = batch.into_changes();
            assert_eq!(
                (changes.ended.len(), changes.inserted.len(), changes.opened.len()),
                (1, 1, 0)
            );
        }
    }
}
