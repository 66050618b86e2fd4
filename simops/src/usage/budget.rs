//! Budgets: limits on what calls may use, as data.
//!
//! A [`Budget`] says which calls it counts (scope and key), over which time (window), what of them
//! (unit), and how much they may use. A key may stand for many values, each with a use of its own: a
//! [`UseKey`] names one of them in one window. What it has used is a [`BudgetUse`], which the
//! [ledger](super::ledger) keeps together with its rows.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::ToSpan;
use jiff::civil::{Date, date};
use serde_json::Number;

use super::admission::{Line, Refused};
use super::{Lease, NanoUsd, UsageRow};
use crate::AgentId;
use crate::number::to_f64;

named! {
    /// Which calls a budget counts.
    pub enum BudgetScope {
        /// All calls.
        Deployment = "deployment",
        /// The calls of the runs of a group.
        Group = "group",
        /// The calls of a run.
        Run = "run",
        /// The calls of an agent.
        Agent = "agent",
        /// The calls to a provider.
        Provider = "provider",
        /// The calls to a model, by the name that was asked for.
        Model = "model",
    }
}

impl BudgetScope {
    /// Whether a spent budget of this scope ends the run whose call it refuses.
    pub fn ends_runs(self) -> bool {
        matches!(self, Self::Deployment | Self::Group | Self::Run)
    }
}

named! {
    /// The time over which a budget counts.
    pub enum BudgetWindow {
        /// A UTC day.
        Day = "day",
        /// A calendar month, in UTC.
        Month = "month",
        /// A run, however long it lasts. Calls outside of runs are not counted.
        Run = "run",
        /// All time.
        Lifetime = "lifetime",
    }
}

named! {
    /// What a budget counts.
    pub enum BudgetUnit {
        /// What calls cost, in US dollars.
        Usd = "usd",
        /// The number of calls.
        Calls = "calls",
        /// Tokens sent and received.
        Tokens = "tokens",
    }
}

impl BudgetUnit {
    /// An amount as a JSON number: US dollars, calls or tokens.
    pub fn shown(self, amount: i64) -> Number {
        match self {
            Self::Usd => Number::from_f64(NanoUsd(amount).dollars()).unwrap_or_else(|| 0.into()),
            Self::Calls | Self::Tokens => amount.into(),
        }
    }

    /// The same as a figure of a stop condition.
    pub(crate) fn figure(self, amount: i64) -> f64 {
        match self {
            Self::Usd => NanoUsd(amount).dollars(),
            Self::Calls | Self::Tokens => to_f64(amount),
        }
    }
}

/// A limit on what calls may use. Amounts are nano-dollars, calls or tokens, as its unit says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    /// Its name.
    pub id: String,
    /// Which calls it counts.
    pub scope: BudgetScope,
    /// Of that scope: a name; `*` for every name by itself; or a name that begins or ends with `*`,
    /// for all names together that end or begin so. Empty for the scope `deployment`.
    pub key: String,
    /// Over which time.
    pub window: BudgetWindow,
    /// What of them.
    pub unit: BudgetUnit,
    /// The amount from which its calls are degraded.
    pub soft: Option<i64>,
    /// The amount that is never exceeded.
    pub hard: Option<i64>,
    /// The first day whose calls it counts.
    pub since: Date,
    /// Whether what was used before it was defined is counted. Until then it admits no call.
    pub counted: bool,
    /// The revision of the budgets in which its scope, key, window and unit were defined.
    pub defined: u64,
}

/// A change of a budget, stored with the change that it is part of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BudgetChange {
    /// Inserts or replaces a budget. Its revision is that of the commit if it counts other calls than
    /// before: then its uses are deleted, and it is no longer counted.
    Put(Budget),
    /// Deletes a budget with its uses.
    Delete(String),
}

/// All budgets, at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Budgets {
    /// The number of changes to budgets so far.
    pub revision: u64,
    /// The budgets, by id.
    pub list: Arc<Vec<Budget>>,
    /// The groups of the runs for which they are needed: run id to group id.
    pub groups: BTreeMap<String, String>,
}

/// One use of a budget: of one value of its key, in one window. Ordered by budget and window.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UseKey {
    /// The budget's id.
    pub budget: String,
    /// The window: a day, a month as `2026-01`, a run id, or empty for all time.
    pub period: String,
    /// The value of its key, or its key.
    pub part: String,
}

/// What was used of a budget in one window. Amounts are in its unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BudgetUse {
    /// By calls in the ledger.
    pub settled: i64,
    /// By open leases, at what they reserve.
    pub reserved: i64,
    /// The part of `settled` whose rows were deleted as old and of which only this is left.
    pub pruned: i64,
    /// The number of changes to `settled`: the larger of two versions is the newer copy.
    pub version: u64,
}

/// What a call uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Amounts {
    /// Calls.
    pub calls: i64,
    /// Tokens sent and received.
    pub tokens: i64,
    /// Cost.
    pub cost: NanoUsd,
}

/// What budgets see of a call.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallFacts<'c> {
    /// The day that it counts for.
    pub day: Date,
    /// Its run, if any.
    pub run_id: Option<Cow<'c, str>>,
    /// Its agent, if any.
    pub agent: Option<Cow<'c, str>>,
    /// Its provider.
    pub provider: Cow<'c, str>,
    /// The model asked for.
    pub model: Cow<'c, str>,
}

impl<'c> CallFacts<'c> {
    /// The facts of a reserved call.
    pub fn of_lease(lease: &'c Lease) -> Self {
        Self {
            day: lease.day,
            run_id: lease.run_id.as_deref().map(Cow::Borrowed),
            agent: lease.agent_id.as_ref().map(AgentId::text),
            provider: Cow::Borrowed(&lease.provider),
            model: Cow::Borrowed(&lease.model),
        }
    }

    /// The facts of any call of a run, as budgets see them that count whole runs.
    pub fn of_run(run_id: &'c str, day: Date) -> Self {
        let (run_id, unknown) = (Some(Cow::Borrowed(run_id)), Cow::Borrowed(""));
        Self { day, run_id, agent: None, provider: unknown.clone(), model: unknown }
    }

    /// The same, kept beyond the call.
    pub fn into_owned(self) -> CallFacts<'static> {
        CallFacts {
            day: self.day,
            run_id: self.run_id.map(|run_id| Cow::Owned(run_id.into_owned())),
            agent: self.agent.map(|agent| Cow::Owned(agent.into_owned())),
            provider: Cow::Owned(self.provider.into_owned()),
            model: Cow::Owned(self.model.into_owned()),
        }
    }

    /// The facts of a call in the ledger.
    pub fn of_row(row: &'c UsageRow) -> Self {
        Self {
            day: row.day,
            run_id: row.run_id.as_deref().map(Cow::Borrowed),
            agent: row.agent_id.as_ref().map(AgentId::text),
            provider: Cow::Borrowed(&row.provider),
            model: Cow::Borrowed(&row.model_requested),
        }
    }
}

impl Amounts {
    /// What a reserved call uses at most.
    pub fn of_lease(lease: &Lease) -> Self {
        let tokens = lease.input_tokens.saturating_add(lease.output_tokens);
        Self { calls: 1, tokens, cost: lease.upper_bound }
    }

    /// What a call in the ledger has used.
    pub fn of_row(row: &UsageRow) -> Self {
        if !row.sent {
            return Self::default();
        }
        let tokens = row.input_tokens.saturating_add(row.output_tokens);
        Self { calls: 1, tokens, cost: row.cost }
    }

    /// The amount in a unit.
    pub fn of(&self, unit: BudgetUnit) -> i64 {
        match unit {
            BudgetUnit::Usd => self.cost.0,
            BudgetUnit::Calls => self.calls,
            BudgetUnit::Tokens => self.tokens,
        }
    }
}

/// A window as stores name it: `2026-01-31`, `2026-01`, the run id, or nothing for all time. `None` if
/// the call is in no such window.
fn period(window: BudgetWindow, call: &CallFacts<'_>) -> Option<String> {
    Some(match window {
        BudgetWindow::Day => call.day.to_string(),
        BudgetWindow::Month => call.day.strftime("%Y-%m").to_string(),
        BudgetWindow::Run => call.run_id.clone()?.into_owned(),
        BudgetWindow::Lifetime => String::new(),
    })
}

impl Budget {
    /// The use that a call of a run of `group` counts towards, if any.
    pub fn use_of(&self, call: &CallFacts<'_>, group: Option<&str>) -> Option<UseKey> {
        let value = match self.scope {
            BudgetScope::Deployment => "",
            BudgetScope::Group => group?,
            BudgetScope::Run => call.run_id.as_deref()?,
            BudgetScope::Agent => call.agent.as_deref()?,
            BudgetScope::Provider => &call.provider,
            BudgetScope::Model => &call.model,
        };
        if call.day < self.since {
            return None;
        }
        let part = match self.key.as_str() {
            "*" => value,
            key => Some(key).filter(|key| matches(key, value))?,
        };
        let period = period(self.window, call)?;
        Some(UseKey { budget: self.id.clone(), period, part: part.to_owned() })
    }

    /// The window of `day`, for a window that is a day or a month.
    pub fn period_of(&self, day: Date) -> Option<String> {
        match self.window {
            BudgetWindow::Day => Some(day.to_string()),
            BudgetWindow::Month => Some(day.strftime("%Y-%m").to_string()),
            BudgetWindow::Run => None,
            BudgetWindow::Lifetime => Some(String::new()),
        }
    }

    /// The day on which the window of `day` is over.
    pub fn resets_on(&self, day: Date) -> Option<Date> {
        match self.window {
            BudgetWindow::Day => day.tomorrow().ok(),
            BudgetWindow::Month => day.last_of_month().tomorrow().ok(),
            BudgetWindow::Run | BudgetWindow::Lifetime => None,
        }
    }

    /// Whether each value of its key has a use of its own.
    pub fn is_each(&self) -> bool {
        self.key == "*"
    }

    /// Whether the ledger's sums per day and run say what was used, also of rows that were deleted.
    pub(crate) fn is_summed_by_run(&self) -> bool {
        matches!(self.scope, BudgetScope::Deployment | BudgetScope::Group | BudgetScope::Run)
    }

    /// The first day whose calls a budget with this window counts that is defined on `day`. Processes
    /// whose clocks are late may still make calls of the day before.
    pub(crate) fn first_day(window: BudgetWindow, day: Date) -> Date {
        let before = day.saturating_sub(1.day());
        match window {
            BudgetWindow::Day => before,
            BudgetWindow::Month => before.first_of_month(),
            BudgetWindow::Run | BudgetWindow::Lifetime => date(1970, 1, 1),
        }
    }

    /// The budget as it is stored in a revision after `kept`, the one of its id that counts the same
    /// calls, if any.
    pub(crate) fn following(self, kept: Option<&Self>, revision: u64) -> Self {
        match kept {
            Some(Self { since, counted, defined, .. }) => {
                Self { since: *since, counted: *counted, defined: *defined, ..self }
            }
            None => Self { counted: false, defined: revision, ..self },
        }
    }

    /// Whether `other` counts the same calls in the same way, whatever their limits.
    pub(crate) fn counts_as(&self, other: &Self) -> bool {
        (self.scope, &self.key, self.window, self.unit)
            == (other.scope, &other.key, other.window, other.unit)
    }

    /// What a call that uses `amounts` meets, when `used` is used.
    pub(crate) fn line(&self, key: &UseKey, used: BudgetUse, amounts: &Amounts) -> Line<'_> {
        Line {
            id: &self.id,
            place: key.place(),
            reason: Refused::BudgetReached,
            adds: Some(amounts.of(self.unit)),
            soft: self.soft,
            hard: self.hard,
            settled: used.settled,
            reserved: used.reserved,
            // As for the caps: reservations say little about what calls will use.
            soft_includes_reserved: self.unit == BudgetUnit::Calls,
            is_counted: self.counted,
        }
    }
}

/// Whether `value` is `key`, or begins or ends as a key with `*` says.
fn matches(key: &str, value: &str) -> bool {
    match (key.strip_prefix('*'), key.strip_suffix('*')) {
        (Some(end), _) => value.ends_with(end),
        (None, Some(start)) => value.starts_with(start),
        (None, None) => key == value,
    }
}

/// The budgets of the last revision that a store has read, so that it need not read them for each batch.
#[derive(Debug, Default)]
pub struct KnownBudgets(Mutex<Option<Budgets>>);

impl KnownBudgets {
    /// The budgets of that revision, without groups, if they are known.
    pub fn of(&self, revision: u64) -> Option<Budgets> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.as_ref().filter(|known| known.revision == revision).cloned()
    }

    /// Keeps what a committed revision holds.
    pub fn keep(&self, budgets: &Budgets) {
        let kept = Budgets { groups: BTreeMap::new(), ..budgets.clone() };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept);
    }
}

impl UseKey {
    /// Window and value, as refusals name them.
    pub fn place(&self) -> String {
        format!("{} {}", self.period, self.part).trim().to_owned()
    }
}

impl BudgetUse {
    /// What is left of `hard` when all calls in flight use what they reserve.
    pub fn left(&self, hard: i64) -> i64 {
        hard.saturating_sub(self.settled).saturating_sub(self.reserved).max(0)
    }
}

impl Budgets {
    /// The budgets that count a call, each with the use that it counts towards, in order of id.
    pub fn uses(&self, call: &CallFacts<'_>) -> Vec<(&Budget, UseKey)> {
        let group = call.run_id.as_deref().and_then(|run_id| self.groups.get(run_id));
        let group = group.map(String::as_str);
        let uses = self.list.iter();
        uses.filter_map(|budget| Some((budget, budget.use_of(call, group)?))).collect()
    }

    /// What a reserved call uses at most of each budget that counts it.
    pub fn amounts_of_lease(&self, lease: &Lease) -> Vec<(UseKey, i64)> {
        self.amounts(&CallFacts::of_lease(lease), &Amounts::of_lease(lease))
    }

    /// What a call in the ledger has used of each budget that counts it.
    pub fn amounts_of_row(&self, row: &UsageRow) -> Vec<(UseKey, i64)> {
        if !row.sent {
            return Vec::new();
        }
        self.amounts(&CallFacts::of_row(row), &Amounts::of_row(row))
    }

    fn amounts(&self, call: &CallFacts<'_>, amounts: &Amounts) -> Vec<(UseKey, i64)> {
        self.uses(call).into_iter().map(|(budget, key)| (key, amounts.of(budget.unit))).collect()
    }

    /// What deleted calls have used of budgets of which the ledger's sums per day and run do not tell
    /// that.
    pub fn amounts_of_deleted<'c>(
        &self,
        calls: impl IntoIterator<Item = (CallFacts<'c>, Amounts)>,
    ) -> BTreeMap<UseKey, i64> {
        let mut sums = BTreeMap::<_, i64>::new();
        for (call, amounts) in calls {
            let uses = self.uses(&call).into_iter();
            for (budget, key) in uses.filter(|(budget, _)| !budget.is_summed_by_run()) {
                let sum = sums.entry(key).or_default();
                *sum = sum.saturating_add(amounts.of(budget.unit));
            }
        }
        sums
    }

    /// Whether one counts the calls of groups, so that the groups of runs must be known.
    pub fn need_groups(&self) -> bool {
        self.list.iter().any(|budget| budget.scope == BudgetScope::Group)
    }

    /// The budget of that id.
    pub fn get(&self, id: &str) -> Option<&Budget> {
        self.list.iter().find(|budget| budget.id == id)
    }
}
