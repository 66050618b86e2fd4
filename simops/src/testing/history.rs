//! Random histories of ledger operations, to be replayed on several counters at once.
//!
//! The rules are those of [`LedgerBatch`](crate::usage::LedgerBatch). [`replay`] holds counters to them: every counter must
//! give the same outcomes, and hold the same rows, leases and sums after each step.
//!
//! ```
//! use std::sync::Arc;
//!
//! use simops::testing::{Counting, History, MemoryStore, replay};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> simops::Result<()> {
//! let counting = || {
//!     let store = Arc::new(MemoryStore::new());
//!     Counting { counter: store.clone(), store }
//! };
//! // The second one is your store, or your counter over a store.
//! let counters = [("memory", counting()), ("mine", counting())];
//! replay(History::new(7, jiff::Timestamp::UNIX_EPOCH), 100, &counters).await
//! # }
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::future::join_all;
use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp, ToSpan};
use uuid::Uuid;

use super::ManualClock;
use crate::clock::{day_of, truncate_to_micros};
use crate::control::{Change, ControlState};
use crate::recount::{Limits, RecountExt, UNWATCHED, count_budget};
use crate::run::RunRecord;
use crate::store::{ActivityScope, RunStore, UsageFilter};
use crate::usage::{
    Admission, Allotment, Budget, BudgetChange, BudgetScope, BudgetUnit, BudgetUse, BudgetWindow,
    Budgets, CallTotals, Caps, CounterClient, DayTotals, DayUse, Lease, NanoUsd, UsageCounter,
    UsageRow, UseKey,
};
use crate::{AgentId, Error, Result};

/// A counter, and the store that its ledger is in.
pub struct Counting {
    /// The counter.
    pub counter: Arc<dyn UsageCounter>,
    /// The store of its ledger.
    pub store: Arc<dyn RunStore>,
}

/// Calls that a history knows at once: few, so that ids repeat.
const CALLS: u64 = 24;
const RUNS: [Option<&str>; 3] = [None, Some("one"), Some("two")];
/// The longest time between two steps, in seconds: a day has some fifty steps.
const MAX_STEP_SECONDS: u64 = 3_600;
/// How long a lease lives: some steps.
const LEASE_TTL: SignedDuration = SignedDuration::from_hours(4);
/// The number of steps after which rows are compared.
const ROWS_EVERY: usize = 25;
/// More rows than a history has.
const ALL: usize = 100_000;

/// A step of a history.
#[derive(Debug, Clone)]
pub enum HistoryStep {
    /// Reserves.
    Reserve(Lease, Caps),
    /// Settles.
    Settle(UsageRow),
    /// Records rows in one call.
    Record(Vec<UsageRow>),
    /// Releases.
    Release(Uuid),
    /// Expires leases.
    Expire(Timestamp),
    /// Transfers leases by a heartbeat.
    Transfer(Vec<Lease>),
    /// Changes a budget, and counts what was used of it.
    ChangeBudget(BudgetChange),
    /// Takes steps concurrently that do not depend on each other's order.
    Concurrent(Vec<HistoryStep>),
}

/// A random history: reservations below caps of each kind, settlements, releases, expiries, with
/// repeated ids, changed amounts, runs and days, over several days and runs. The same for the same
/// seed and start.
#[derive(Debug, Clone)]
pub struct History {
    random: u64,
    start: Timestamp,
    now: Timestamp,
    recent: Vec<Lease>,
    /// Ids of the rows so far, and roughly what the days have used.
    rows: BTreeSet<Uuid>,
    used: BTreeMap<Date, DayTotals>,
    budgets: Budgets,
    uses: BTreeSet<UseKey>,
    of_a_store: bool,
    clock: Option<Arc<ManualClock>>,
}

impl History {
    /// A history from `start` on.
    pub fn new(seed: u64, start: Timestamp) -> Self {
        let (random, start) = (seed.wrapping_mul(2).wrapping_add(1), truncate_to_micros(start));
        Self {
            random,
            start,
            now: start,
            recent: Vec::new(),
            rows: BTreeSet::new(),
            used: BTreeMap::new(),
            budgets: Budgets::default(),
            uses: BTreeSet::new(),
            of_a_store: false,
            clock: None,
        }
    }

    /// Adds budgets of all scopes, windows and units. [`define_budgets`](Self::define_budgets) must have
    /// defined them in each store before a counter is opened on it.
    #[must_use]
    pub fn with_budgets(mut self) -> Self {
        for number in 0..6 {
            let budget = self.new_budget(number);
            self.budgets_mut().push(budget);
        }
        self.budgets.groups = BTreeMap::from([("one".to_owned(), "group".to_owned())]);
        self
    }

    /// Defines the budgets of the history, and its runs with their groups, in an empty store.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn define_budgets(&self, store: &dyn RunStore) -> Result<()> {
        let puts = self.budgets.list.iter().cloned().map(BudgetChange::Put);
        let runs = self.budgets.groups.iter().map(|(run_id, group)| RunRecord {
            group_id: Some(group.clone()),
            run_id: run_id.clone(),
            protocol_version: "protocol_v1".to_owned(),
            started_at: self.start,
            started_by: "history".to_owned(),
            ended_at: Some(self.start),
            ..RunRecord::default()
        });
        change_budgets(store, puts.collect(), runs.collect()).await
    }

    /// Adds the steps that only a store takes: rows recorded in one call, leases transferred by a
    /// heartbeat, and changes of budgets. A counter over a store does not notice them at once.
    #[must_use]
    pub fn of_a_store(mut self) -> Self {
        self.of_a_store = true;
        self
    }

    /// Sets `clock` to the time of each step.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<ManualClock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// The next step.
    pub fn step(&mut self) -> HistoryStep {
        let passed = SignedDuration::from_secs(self.below(MAX_STEP_SECONDS).cast_signed());
        self.now += passed;
        if let Some(clock) = &self.clock {
            clock.advance(passed);
        }
        match self.below(20) {
            0..=6 => {
                let lease = if self.below(4) == 0 { self.known_lease() } else { self.new_lease() };
                let caps = self.caps(lease.day);
                HistoryStep::Reserve(lease, caps)
            }
            7..=10 => HistoryStep::Settle(self.row()),
            11 if self.of_a_store => {
                HistoryStep::Record((0..self.below(4)).map(|_| self.row()).collect())
            }
            12..=13 => HistoryStep::Release(self.known_lease().id),
            14..=15 => HistoryStep::Expire(self.now),
            17 if self.of_a_store && !self.budgets.list.is_empty() => self.budget_step(),
            16 if self.of_a_store => {
                HistoryStep::Transfer((0..self.below(3)).map(|_| self.known_lease()).collect())
            }
            _ => self.concurrent(),
        }
    }

    fn below(&mut self, bound: u64) -> u64 {
        // Knuth's linear congruential generator; its high bits are random enough.
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % bound
    }

    fn one_of<T: Clone>(&mut self, items: &[T], otherwise: T) -> T {
        let picked = usize::try_from(self.below(items.len() as u64)).ok();
        picked.and_then(|picked| items.get(picked)).cloned().unwrap_or(otherwise)
    }

    /// A budget near what a day's calls use.
    fn new_budget(&mut self, number: u64) -> Budget {
        let scopes = BudgetScope::ALL;
        let scope = self.one_of(&scopes, BudgetScope::Deployment);
        let keys: &[&str] = match scope {
            BudgetScope::Deployment => &[""],
            BudgetScope::Group => &["*", "group", "g*"],
            BudgetScope::Run => &["*", "two", "*e"],
            BudgetScope::Agent => &["*", "3"],
            BudgetScope::Provider => &["*", "groq", "*r*"],
            BudgetScope::Model => &["*", "m", "*:free"],
        };
        let unit = self.one_of(&BudgetUnit::ALL, BudgetUnit::Calls);
        let call = match unit {
            BudgetUnit::Calls => 1,
            BudgetUnit::Usd => 60,
            BudgetUnit::Tokens => 700,
        };
        let limit = |history: &mut Self| {
            let most = if history.below(3) == 0 { 3 } else { 40 };
            let calls = (1 + history.below(most)).cast_signed();
            (history.below(4) > 0).then_some((calls * call / 2).max(1))
        };
        let (soft, hard) = (limit(self), limit(self));
        Budget {
            id: format!("b{number}"),
            scope,
            key: self.one_of(keys, "*").to_owned(),
            window: self.one_of(&BudgetWindow::ALL, BudgetWindow::Day),
            unit,
            soft: soft.min(hard.or(soft)),
            hard,
            since: jiff::civil::date(1970, 1, 1),
            counted: true,
            defined: 0,
        }
    }

    fn budgets_mut(&mut self) -> &mut Vec<Budget> {
        Arc::make_mut(&mut self.budgets.list)
    }

    /// A budget is replaced or deleted, or gets other limits.
    fn budget_step(&mut self) -> HistoryStep {
        let number = self.below(8);
        let mut budget = self.new_budget(number);
        let known = self.budgets.list.iter().position(|known| known.id == budget.id);
        let known = known.map(|place| self.budgets_mut().remove(place));
        if let Some(known) = known {
            self.uses.retain(|key| key.budget != known.id);
            match self.below(3) {
                0 => return HistoryStep::ChangeBudget(BudgetChange::Delete(known.id)),
                1 => budget = Budget { soft: None, hard: budget.hard, ..known },
                _ => {}
            }
        }
        self.budgets_mut().push(budget.clone());
        for lease in self.recent.clone() {
            self.note_uses(&lease);
        }
        HistoryStep::ChangeBudget(BudgetChange::Put(budget))
    }

    /// Remembers what a call counts towards.
    fn note_uses(&mut self, lease: &Lease) {
        let uses = self.budgets.amounts_of_lease(lease);
        self.uses.extend(uses.into_iter().map(|(key, _)| key));
    }

    fn amount(&mut self) -> NanoUsd {
        NanoUsd(self.below(120).cast_signed())
    }

    /// An agent with a number, an agent with a name, or none.
    fn agent(&mut self) -> Option<AgentId> {
        match self.below(9) {
            0 => None,
            number @ 1..5 => Some(AgentId::from(number.cast_signed())),
            other => Some(AgentId::from(format!("Agent {other}"))),
        }
    }

    fn new_lease(&mut self) -> Lease {
        let id = u128::from(self.below(u64::MAX)) << 64 | u128::from(self.below(u64::MAX));
        let lease = Lease {
            id: Uuid::from_u128(id),
            day: day_of(self.now),
            run_id: self.one_of(&RUNS, None).map(str::to_owned),
            agent_id: self.agent(),
            checkpoint: None,
            provider: self.one_of(&["openrouter", "groq", "gemini", "mistral"], "groq").to_owned(),
            model: self.one_of(&["m", "m:free"], "m").to_owned(),
            upper_bound: self.amount(),
            priced: self.below(4) > 0,
            created_at: self.now,
            expires_at: self.now + LEASE_TTL,
            input_tokens: 50 * self.below(10).cast_signed(),
            output_tokens: 250,
        };
        if self.recent.len() as u64 >= CALLS {
            let oldest = self.below(CALLS / 2);
            self.recent.remove(usize::try_from(oldest).unwrap_or(0));
        }
        self.recent.push(lease.clone());
        self.note_uses(&lease);
        lease
    }

    /// A lease under an id that was used before, now and then with other figures.
    fn known_lease(&mut self) -> Lease {
        if self.recent.is_empty() {
            return self.new_lease();
        }
        let recent = self.recent.clone();
        let fallback = self.new_lease();
        let mut lease = self.one_of(&recent, fallback);
        if self.below(4) == 0 {
            lease.day = day_of(self.now + 12.hours());
        }
        if self.below(4) == 0 {
            lease.run_id = self.one_of(&RUNS, None).map(str::to_owned);
        }
        if self.below(4) == 0 {
            lease.upper_bound = self.amount();
            lease.provider = self.one_of(&["groq", "gemini"], "groq").to_owned();
        }
        self.note_uses(&lease);
        lease
    }

    fn row(&mut self) -> UsageRow {
        let lease = if self.below(6) == 0 { self.new_lease() } else { self.known_lease() };
        self.row_of(&lease)
    }

    fn row_of(&mut self, lease: &Lease) -> UsageRow {
        let row = self.end_of(lease);
        if self.rows.insert(row.id) {
            let used = self.used.entry(row.day).or_default();
            *used = *used + DayTotals::of(&row);
        }
        row
    }

    fn end_of(&mut self, lease: &Lease) -> UsageRow {
        let expired = lease.expired(self.now);
        let (success, error_type) = match self.below(8) {
            0 => return expired,
            1 | 2 => (false, Some("timeout".to_owned())),
            _ => (true, None),
        };
        UsageRow {
            success,
            error_type,
            sent: self.below(6) > 0,
            over_reservation: self.below(9) == 0,
            fallback_used: self.below(5) == 0,
            input_tokens: self.below(1_000).cast_signed(),
            output_tokens: self.below(1_000).cast_signed(),
            cost: self.amount(),
            ..expired
        }
    }

    /// Caps of one kind, of all kinds, or none, near what the day has used.
    fn caps(&mut self, day: Date) -> Caps {
        let kind = self.below(8);
        let is_set = |this: u64| kind == this || kind == 6;
        let (calls, nanos) = (self.below(8).cast_signed(), self.below(400).cast_signed());
        let used = self.used.get(&day).copied().unwrap_or_default();
        Caps {
            soft: is_set(0).then_some(NanoUsd((used.cost.0 + nanos - 200).max(0))),
            hard: is_set(1).then_some(NanoUsd(used.cost.0 + nanos)),
            total: is_set(2).then_some(used.calls_total + calls),
            openrouter_free: is_set(3).then_some(used.calls_openrouter_free + calls),
            groq: is_set(4).then_some(used.calls_groq + calls),
            gemini: is_set(5).then_some(used.calls_gemini + calls),
        }
    }

    /// Steps on calls of their own, admitted without caps: in any order they end in the same sums.
    fn concurrent(&mut self) -> HistoryStep {
        let steps = (0..2 + self.below(12)).map(|_| {
            let lease = self.new_lease();
            match self.below(3) {
                // Budgets admit them in an order that is not known.
                0 if self.budgets.list.is_empty() => HistoryStep::Reserve(lease, Caps::default()),
                0 | 1 => HistoryStep::Settle(self.row_of(&lease)),
                _ if self.of_a_store => HistoryStep::Record(vec![self.row_of(&lease)]),
                _ => HistoryStep::Release(lease.id),
            }
        });
        HistoryStep::Concurrent(steps.collect())
    }

    /// The days that steps so far may have named.
    fn days(&self) -> impl Iterator<Item = Date> {
        let last = day_of(self.now + 12.hours());
        day_of(self.start).series(1.day()).take_while(move |day| *day <= last)
    }
}

/// Replays `steps` steps of a history on all `counters`.
///
/// # Errors
/// `Internal`, naming the counter and the step, if an outcome or the content of a counter differs
/// from that of the first one. Otherwise the errors of the stores when their content is read.
pub async fn replay(
    mut history: History,
    steps: usize,
    counters: &[(&str, Counting)],
) -> Result<()> {
    let Some(((first, reference), others)) = counters.split_first() else { return Ok(()) };
    for number in 1..=steps {
        let step = history.step();
        // Sums after each step, rows now and then: reading them takes long.
        let with_rows = number % ROWS_EVERY == 0 || number == steps;
        let expected = Found::after(&step, reference, &history, with_rows).await?;
        for (name, other) in others {
            let found = Found::after(&step, other, &history, with_rows).await?;
            if found != expected {
                let (found, expected) = found.difference(&expected);
                return Err(Error::internal(format!(
                    "{name} differs from {first} after step {number}, {step:?}: {found} is not {expected}"
                )));
            }
        }
    }
    for (name, counting) in counters {
        let wrong = counting.store.recount().await?.differences();
        if !wrong.is_empty() {
            return Err(Error::internal(format!(
                "sums of {name} do not equal its ledger: {wrong:?}"
            )));
        }
    }
    Ok(())
}

/// Takes a step. Returns one outcome per call.
async fn take(on: &Counting, step: &HistoryStep) -> Vec<String> {
    match step {
        HistoryStep::Concurrent(steps) => {
            join_all(steps.iter().map(|step| take_one(on, step))).await
        }
        step => vec![take_one(on, step).await],
    }
}

async fn take_one(on: &Counting, step: &HistoryStep) -> String {
    let shown = match step {
        HistoryStep::Reserve(lease, caps) => {
            on.counter.reserve(lease, caps).await.map(|verdict| admission(&verdict))
        }
        HistoryStep::Settle(row) => on.counter.settle(row).await.map(done),
        HistoryStep::Record(rows) => on.store.record_usage(rows).await.map(done),
        HistoryStep::Release(id) => on.counter.release(*id).await.map(done),
        HistoryStep::Expire(now) => on.counter.expire(*now).await.map(|count| format!("{count}")),
        HistoryStep::Transfer(leases) => {
            let client = CounterClient {
                id: Uuid::nil(),
                generation: 0,
                allotment: Allotment::default(),
                until: Timestamp::UNIX_EPOCH,
                sequence: 0,
            };
            on.store.heartbeat(&client, leases).await.map(|_| "transferred".to_owned())
        }
        HistoryStep::ChangeBudget(change) => {
            change_budgets(&*on.store, vec![change.clone()], Vec::new()).await.map(done)
        }
        HistoryStep::Concurrent(_) => Ok("concurrent steps do not nest".to_owned()),
    };
    shown.unwrap_or_else(|error| format!("{:?}: {}", error.kind(), error.detail()))
}

/// Changes budgets as a write of a person does, inserts `runs` with their groups, and counts what was used
/// of the budgets.
///
/// # Errors
/// Those of the store.
pub async fn change_budgets(
    store: &dyn RunStore,
    budgets: Vec<BudgetChange>,
    runs: Vec<RunRecord>,
) -> Result<()> {
    let before = store.load().await?;
    let next = ControlState { generation: before.generation + 1, ..before.clone() };
    let expected_generation = before.generation;
    let change =
        Change { expected_generation, next, runs, budgets: budgets.clone(), ..Change::default() };
    store.commit(&change, None).await?;
    for change in budgets {
        if let BudgetChange::Put(budget) = change {
            count_budget(store, &budget.id, Limits::default(), UNWATCHED).await?;
        }
    }
    Ok(())
}

fn admission(admission: &Admission) -> String {
    format!("{admission:?}")
}

fn done((): ()) -> String {
    "done".to_owned()
}

/// The outcomes of a step, and what the counter and its store hold afterwards.
#[derive(Debug, PartialEq)]
struct Found {
    outcomes: Vec<String>,
    days: Vec<(Date, DayUse)>,
    runs: Vec<CallTotals>,
    uses: Vec<(UseKey, BudgetUse)>,
    rows: Vec<UsageRow>,
}

impl Found {
    async fn after(
        step: &HistoryStep,
        on: &Counting,
        history: &History,
        with_rows: bool,
    ) -> Result<Self> {
        let outcomes = take(on, step).await;
        let (mut days, mut runs, mut rows) = (Vec::new(), Vec::new(), Vec::new());
        for day in history.days() {
            days.push((day, on.counter.day_use(day).await?));
        }
        for run_id in RUNS.into_iter().flatten() {
            runs.push(on.store.llm_totals(&ActivityScope::Run(run_id.to_owned())).await?);
        }
        let keys: Vec<_> = history.uses.iter().cloned().collect();
        let used = on.counter.budget_uses(&keys).await?;
        let of = |key: UseKey| (key.clone(), used.get(&key).copied().unwrap_or_default());
        let uses = keys.into_iter().map(of).collect();
        if with_rows {
            rows = on.store.usage_rows(&UsageFilter::default(), ALL).await?.items;
            // Rows of concurrent steps are written in any order.
            rows.sort_by_key(|row| row.id);
        }
        Ok(Self { outcomes, days, runs, uses, rows })
    }

    /// The first line in which it differs from `expected`, and what is expected there.
    fn difference(&self, expected: &Self) -> (String, String) {
        let lines = |of: &Self| format!("{of:#?}").lines().map(str::to_owned).collect::<Vec<_>>();
        let (found, expected) = (lines(self), lines(expected));
        let same = found.iter().zip(&expected).take_while(|(found, expected)| found == expected);
        let at = same.count();
        let line =
            |lines: &[String]| lines.get(at).cloned().unwrap_or_else(|| "nothing".to_owned());
        (line(&found), line(&expected))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::MemoryStore;
    use crate::usage::CounterEpochStore;

    /// The state of an id, as in the table of [`crate::usage::LedgerBatch`].
    async fn state(store: &MemoryStore, id: Uuid) -> Result<&'static str> {
        let leases = store.open_leases().await?;
        let rows =
            crate::store::UsageStore::usage_rows(store, &UsageFilter::default(), ALL).await?;
        Ok(match rows.items.iter().find(|row| row.id == id) {
            _ if leases.iter().any(|lease| lease.id == id) => "open",
            None => "unknown",
            Some(row) if row.is_expired() => "expired",
            Some(_) => "settled",
        })
    }

    #[tokio::test]
    async fn a_history_takes_every_transition_and_meets_every_outcome() -> Result<()> {
        let (mut transitions, mut outcomes) = (BTreeSet::new(), BTreeSet::new());
        for seed in 1..17 {
            let store = Arc::new(MemoryStore::new());
            let counting = Counting { counter: store.clone(), store: store.clone() };
            let mut history = History::new(seed, Timestamp::UNIX_EPOCH).of_a_store();
            for _ in 0..150 {
                let step = history.step();
                match &step {
                    HistoryStep::Reserve(lease, _) => {
                        transitions.insert(("reserve", state(&store, lease.id).await?));
                    }
                    HistoryStep::Settle(row) if row.is_expired() => {
                        transitions.insert(("settle expired", state(&store, row.id).await?));
                    }
                    HistoryStep::Settle(row) => {
                        transitions.insert(("settle", state(&store, row.id).await?));
                    }
                    HistoryStep::Release(id) => {
                        transitions.insert(("release", state(&store, *id).await?));
                    }
                    HistoryStep::Transfer(leases) => {
                        for lease in leases {
                            transitions.insert(("transfer", state(&store, lease.id).await?));
                        }
                    }
                    _ => {}
                }
                outcomes.extend(take(&counting, &step).await);
            }
        }
        assert_eq!(transitions.len(), 5 * 4, "{transitions:?}");
        for reason in ["HardBudget", "Total", "OpenrouterFree", "Groq", "Gemini"] {
            for in_flight in ["in_flight: true", "in_flight: false"] {
                let met =
                    |outcome: &String| outcome.contains(reason) && outcome.contains(in_flight);
                assert!(outcomes.iter().any(met), "{reason} {in_flight}: {outcomes:?}");
            }
        }
        assert!(outcomes.iter().any(|outcome| outcome.contains("degraded: true")));
        Ok(())
    }

    #[tokio::test]
    async fn a_history_with_budgets_is_refused_by_them() -> Result<()> {
        let mut outcomes = BTreeSet::new();
        for seed in 1..9 {
            let store = Arc::new(MemoryStore::new());
            let mut history = History::new(seed, Timestamp::UNIX_EPOCH).with_budgets().of_a_store();
            history.define_budgets(&*store).await?;
            let counting = Counting { counter: store.clone(), store };
            for _ in 0..200 {
                outcomes.extend(take(&counting, &history.step()).await);
            }
            assert_eq!(counting.store.recount().await?.differences(), []);
        }
        for end in ["in_flight: true", "in_flight: false"] {
            let met = |outcome: &String| outcome.contains("BudgetReached") && outcome.contains(end);
            assert!(outcomes.iter().any(met), "{end}: {outcomes:?}");
        }
        assert!(outcomes.iter().any(|outcome| outcome.contains("CallExceedsBudget")));
        Ok(())
    }
}
