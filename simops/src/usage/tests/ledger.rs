//! The ledger state machine: named transitions, and random histories against a naive model.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::civil::{Date, date};
use jiff::{SignedDuration, Timestamp};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use uuid::Uuid;

use crate::usage::admission::is_degraded;
use crate::usage::ledger::*;
use crate::usage::totals::CallTotals;
use crate::usage::{
    Admission, Budget, BudgetScope, BudgetUnit, BudgetUse, BudgetWindow, Budgets, Caps,
    CounterBackend, CounterEpoch, DayTotals, DayUse, Lease, NanoUsd, Refused, UsageRow, UseKey,
    admit,
};
use crate::{AgentId, Result};

fn at(seconds: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds)
}

fn epoch(generation: u64, backend: CounterBackend) -> CounterEpoch {
    let (namespace, since) = ("n".to_owned(), at(0));
    CounterEpoch { generation, backend, namespace, redis: None, since, reason: None, budgets: 0 }
}

fn lease(id: u128, day: i8, run_id: Option<&str>, nanos: i64) -> Lease {
    Lease {
        id: Uuid::from_u128(id),
        day: date(2026, 1, day),
        run_id: run_id.map(str::to_owned),
        agent_id: Some(1.into()),
        checkpoint: None,
        provider: "groq".to_owned(),
        model: "m".to_owned(),
        upper_bound: NanoUsd(nanos),
        priced: true,
        created_at: at(0),
        expires_at: at(60),
        input_tokens: 10,
        output_tokens: 5,
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
    budgets: Budgets,
    uses: BTreeMap<UseKey, BudgetUse>,
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
            budgets: self.budgets.clone(),
            uses: {
                let touched = footprint.uses(&self.budgets);
                self.uses.clone().into_iter().filter(|(key, _)| touched.contains(key)).collect()
            },
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
        self.uses.extend(changes.uses);
        outcomes
    }
}

/// The transition table again, on plain lists, one operation at a time. Sums are never kept.
#[derive(Default)]
struct Model {
    leases: Vec<Lease>,
    rows: Vec<UsageRow>,
    budgets: Vec<Budget>,
}

/// What a call uses, with all that a budget may ask for: day, run, agent, provider, model.
struct Used {
    day: Date,
    run: Option<String>,
    agent: Option<AgentId>,
    provider: String,
    model: String,
    amounts: [i64; 3],
}

impl Used {
    fn of_row(row: &UsageRow) -> Self {
        Self {
            day: row.day,
            run: row.run_id.clone(),
            agent: row.agent_id.clone(),
            provider: row.provider.clone(),
            model: row.model_requested.clone(),
            amounts: match row.sent {
                true => [row.cost.0, 1, row.input_tokens + row.output_tokens],
                false => [0; 3],
            },
        }
    }

    fn of_lease(lease: &Lease) -> Self {
        Self { amounts: [lease.upper_bound.0, 1, 15], ..Self::of_row(&lease.expired(at(0))) }
    }

    /// Where it counts towards `budget`: window and part.
    fn place(&self, budget: &Budget) -> Option<(String, String)> {
        let window = match budget.window {
            BudgetWindow::Day => self.day.to_string(),
            BudgetWindow::Month => format!("{}-{:02}", self.day.year(), self.day.month()),
            BudgetWindow::Run => self.run.clone()?,
            BudgetWindow::Lifetime => String::new(),
        };
        let value = match budget.scope {
            BudgetScope::Deployment => String::new(),
            BudgetScope::Group => {
                (self.run.as_deref() == Some("one")).then(|| "group".to_owned())?
            }
            BudgetScope::Run => self.run.clone()?,
            BudgetScope::Agent => self.agent.as_ref()?.to_string(),
            BudgetScope::Provider => self.provider.clone(),
            BudgetScope::Model => self.model.clone(),
        };
        match budget.key.as_str() {
            "*" => Some((window, value)),
            "*:free" => value.ends_with(":free").then(|| (window, "*:free".to_owned())),
            key => (value == key).then(|| (window, value.clone())),
        }
    }

    fn amount(&self, unit: BudgetUnit) -> i64 {
        self.amounts[BudgetUnit::ALL.iter().position(|known| *known == unit).unwrap()]
    }
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

    /// What was used and reserved of a budget where `call` counts towards it.
    fn used(&self, budget: &Budget, call: &Used) -> Option<(i64, i64)> {
        let place = call.place(budget)?;
        let sum = |calls: Vec<Used>| -> i64 {
            let here = calls.iter().filter(|call| call.place(budget).as_ref() == Some(&place));
            here.map(|call| call.amount(budget.unit)).sum()
        };
        let settled = sum(self.rows.iter().map(Used::of_row).collect());
        let reserved = sum(self.leases.iter().map(Used::of_lease).collect());
        Some((settled, reserved))
    }

    /// The verdict of the budgets: a refusal by the first in order of id, or whether the call is
    /// degraded.
    fn budgets_say(&self, lease: &Lease) -> Result<bool, Refusal> {
        let (call, mut degraded) = (Used::of_lease(lease), false);
        for budget in &self.budgets {
            let Some((settled, reserved)) = self.used(budget, &call) else { continue };
            let adds = call.amount(budget.unit);
            let counted = if budget.unit == BudgetUnit::Calls { reserved } else { 0 };
            degraded |= budget.soft.is_some_and(|soft| settled + counted >= soft);
            let Some(hard) = budget.hard else { continue };
            let (period, part) = call.place(budget).unwrap_or_default();
            let place = format!("{period} {part}").trim().to_owned();
            let refused =
                |reason, in_flight| Err((budget.id.clone(), place.clone(), reason, in_flight));
            if settled < hard && adds > hard {
                return refused(Refused::CallExceedsBudget, false);
            } else if settled >= hard || settled + adds > hard {
                return refused(Refused::BudgetReached, false);
            } else if settled + reserved + adds > hard {
                return refused(Refused::BudgetReached, true);
            }
        }
        Ok(degraded)
    }

    fn has(&self, id: Uuid) -> bool {
        self.leases.iter().any(|lease| lease.id == id) || self.rows.iter().any(|row| row.id == id)
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
                let lines = caps.lines(&self.day(lease.day), &lease.totals());
                let call = Used::of_lease(lease);
                let soft_reached = |budget: &Budget| {
                    let Some((settled, reserved)) = self.used(budget, &call) else { return false };
                    let counted = if budget.unit == BudgetUnit::Calls { reserved } else { 0 };
                    budget.soft.is_some_and(|soft| settled + counted >= soft)
                };
                let degraded = is_degraded(&lines) || self.budgets.iter().any(soft_reached);
                if self.has(lease.id) {
                    return Outcome::Admission(Admission::Admitted { degraded });
                }
                // Ids of budgets here come before those of the settings.
                let verdict = match (self.budgets_say(lease), admit(&lines)) {
                    (Err((budget, place, reason, in_flight)), _) => {
                        let (budget, place) = (budget.into(), place.into());
                        Admission::Refused { reason, budget, place, in_flight }
                    }
                    (Ok(_), refused @ Admission::Refused { .. }) => refused,
                    (Ok(_), Admission::Admitted { .. }) => Admission::Admitted { degraded },
                };
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
                let mut due: Vec<_> =
                    self.leases.iter().filter(|lease| lease.expires_at < *now).cloned().collect();
                due.sort_by_key(|lease| (lease.expires_at, lease.id));
                due.iter().for_each(|lease| self.settle(&lease.expired(*now)));
                return Outcome::Expired(due.len() as u64);
            }
        }
        Outcome::Done
    }
}

/// A budget's id, which use of it refuses, why, and whether waiting helps.
type Refusal = (String, String, Refused, bool);

fn budgets() -> impl Strategy<Value = Vec<Budget>> {
    let keys = |scope| match scope {
        BudgetScope::Deployment => vec![""],
        BudgetScope::Group => vec!["*", "group", "other"],
        BudgetScope::Run => vec!["*", "one"],
        BudgetScope::Agent => vec!["*", "1", "2"],
        BudgetScope::Provider => vec!["*", "groq"],
        BudgetScope::Model => vec!["*", "m", "*:free"],
    };
    let scope_and_key =
        select(BudgetScope::ALL.to_vec()).prop_flat_map(move |s| (Just(s), select(keys(s))));
    let limit = || prop::option::weighted(0.7, 0..300_i64);
    let windows_and_units = (select(BudgetWindow::ALL.to_vec()), select(BudgetUnit::ALL.to_vec()));
    let one = (scope_and_key, windows_and_units, limit(), limit()).prop_map(
        |((scope, key), (window, unit), soft, hard)| {
            // Few calls, more tokens, most nano-dollars.
            let scaled = |limit: i64| if unit == BudgetUnit::Calls { limit / 40 } else { limit };
            Budget {
                id: String::new(),
                scope,
                key: key.to_owned(),
                window,
                unit,
                soft: soft.map(scaled),
                hard: hard.map(scaled),
                since: date(1970, 1, 1),
                counted: true,
                defined: 1,
            }
        },
    );
    vec(one, 0..4).prop_map(|all| {
        let named = all.into_iter().enumerate();
        named.map(|(number, budget)| Budget { id: format!("b{number}"), ..budget }).collect()
    })
}

fn leases() -> impl Strategy<Value = Lease> {
    let run = select(vec![None, Some("one"), Some("two")]);
    let call =
        (select(vec!["openrouter", "groq", "gemini"]), select(vec!["m", "m:free"]), any::<bool>());
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
    (leases(), 0..100_i64, 0..5_u8).prop_map(|(lease, nanos, end)| match end {
        0 => lease.expired(at(50)),
        1 => UsageRow {
            success: false,
            error_type: Some("timeout".to_owned()),
            ..row(&lease, nanos)
        },
        2 => UsageRow { sent: false, ..row(&lease, nanos) },
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
    fn batches_equal_the_model(batches in vec(vec(ops(), 0..6), 0..16), budgets in budgets()) {
        let groups = BTreeMap::from([("one".to_owned(), "group".to_owned())]);
        let list = budgets.clone();
        let mut stored = Stored {
            budgets: Budgets { revision: 1, list: Arc::new(list), groups },
            ..Stored::default()
        };
        let mut model = Model { budgets, ..Model::default() };
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
            let calls = model.rows.iter().map(Used::of_row);
            for call in calls.chain(model.leases.iter().map(Used::of_lease)) {
                for budget in &model.budgets {
                    let Some((period, part)) = call.place(budget) else { continue };
                    let key = UseKey { budget: budget.id.clone(), period, part };
                    let kept = stored.uses.get(&key).copied().unwrap_or_default();
                    let expected = model.used(budget, &call);
                    prop_assert_eq!(Some((kept.settled, kept.reserved)), expected, "{:?}", key);
                }
            }
            let zero = |used: &BudgetUse| (used.settled, used.reserved) == (0, 0);
            let unused = stored.uses.iter().filter(|(key, used)| {
                let calls = model.rows.iter().map(Used::of_row);
                let mut calls = calls.chain(model.leases.iter().map(Used::of_lease));
                let budget = model.budgets.iter().find(|budget| budget.id == key.budget);
                let place = Some((key.period.clone(), key.part.clone()));
                !zero(used) && !calls.any(|call| budget.is_some_and(|b| call.place(b) == place))
            });
            prop_assert_eq!(unused.count(), 0);
        }
    }
}

#[test]
fn a_version_changes_with_every_change_of_a_days_sums() {
    let mut stored = Stored::default();
    let version = |stored: &Stored, day| stored.days.get(&date(2026, 1, day)).map(|d| d.version);
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
            budgets: Budgets::default(),
            uses: BTreeMap::new(),
        });
        let reserved = batch.apply(&Op::Reserve(Box::new(lease(2, 1, None, 5)), Caps::default()));
        assert!(reserved.is_err_and(|error| error.kind() == crate::ErrorKind::Stale));
        batch.apply(&Op::Settle(vec![row(&lease(1, 1, None, 5), 3)])).expect("it is recorded");
        let changes = batch.into_changes();
        assert_eq!((changes.ended.len(), changes.inserted.len(), changes.opened.len()), (1, 1, 0));
    }
}
