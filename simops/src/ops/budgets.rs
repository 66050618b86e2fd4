//! Budgets: listing, defining and deleting them.

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp, ToSpan, Unit};
use serde::{Deserialize, Serialize};
use serde_json::Number;
use tokio::time::timeout;
use tracing::{debug, warn};

use super::{Ops, SystemWriter, Writer};
use crate::clock::{begin_of, day_of};
use crate::control::{ControlState, Write};
use crate::execute::{Intent, WritePermit, found};
use crate::number::to_f64;
use crate::recount::{Limits, UNWATCHED, count_budget};
use crate::run::RunRecord;
use crate::usage::budget_spec::{BudgetSpec, check_id};
use crate::usage::forecast::reached;
use crate::usage::{
    Budget, BudgetScope, BudgetUnit, BudgetUse, BudgetWindow, Cap, Caps, DayUse, Measure, UseKey,
};
use crate::{Error, Result};

/// The most uses of one budget that are shown.
const MAX_USES: usize = 20;
/// The most runs whose uses are read of a budget that counts by run.
const MAX_RUNS: usize = 50;
/// A rate is taken from at least this time.
const MIN_ELAPSED: SignedDuration = SignedDuration::from_mins(5);
/// How often budgets that are not counted are looked for without a change.
const IDLE_INTERVAL: std::time::Duration = std::time::Duration::from_secs(30);

/// `PUT budgets/{id}`. Of a budget that exists, limits alone can be given: the rest stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "clap", derive(clap::Args))]
#[serde(default, deny_unknown_fields)]
pub struct PutBudget {
    /// Which calls it counts: deployment, group, run, agent, provider or model
    #[cfg_attr(feature = "clap", arg(long, value_name = "SCOPE"))]
    pub scope: Option<String>,
    /// Of that scope: a name, * for each name by itself, or a name that begins or ends with * for all
    /// names together that end or begin so
    #[cfg_attr(feature = "clap", arg(long, value_name = "KEY"))]
    pub key: Option<String>,
    /// Over which time: day, month, run or lifetime
    #[cfg_attr(feature = "clap", arg(long, value_name = "WINDOW"))]
    pub window: Option<String>,
    /// What of them: usd, calls or tokens
    #[cfg_attr(feature = "clap", arg(long, value_name = "UNIT"))]
    pub unit: Option<String>,
    /// The amount from which calls are degraded
    #[cfg_attr(feature = "clap", arg(long, value_name = "AMOUNT", allow_negative_numbers = true, value_parser = finite))]
    pub soft: Option<f64>,
    /// The amount that is never exceeded
    #[cfg_attr(feature = "clap", arg(long, value_name = "AMOUNT", allow_negative_numbers = true, value_parser = finite))]
    pub hard: Option<f64>,
    /// Set it also if that ends a run at once
    #[cfg_attr(feature = "clap", arg(long))]
    pub force: bool,
    /// The reason, for the audit trail
    #[cfg_attr(feature = "clap", arg(long, value_name = "TEXT"))]
    pub reason: Option<String>,
}

/// An amount that JSON can hold: other numbers would become null there, and so no limit.
#[cfg(feature = "clap")]
fn finite(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
    number.ok_or_else(|| "must be a number".to_owned())
}

/// A budget, and what is used of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BudgetView {
    /// Its name.
    pub id: String,
    /// Which calls it counts.
    pub scope: BudgetScope,
    /// Of that scope: a name, `*` for each name by itself, or a name with `*` at an end. Empty for the
    /// scope `deployment`.
    pub key: String,
    /// Over which time.
    pub window: BudgetWindow,
    /// What of them; the unit of all amounts.
    pub unit: BudgetUnit,
    /// The amount from which calls are degraded, if any.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<f64>))]
    pub soft: Option<Number>,
    /// The amount that is never exceeded, if any.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<f64>))]
    pub hard: Option<Number>,
    /// The setting that it is, if it is one.
    pub setting: Option<String>,
    /// Whether what was used before it was defined is counted. Until then it admits no call.
    pub counted: bool,
    /// What calls in the ledger have used; of several uses, by the one of which most was used.
    #[cfg_attr(feature = "openapi", schema(value_type = f64))]
    pub spent: Number,
    /// What calls in flight use at most.
    #[cfg_attr(feature = "openapi", schema(value_type = f64))]
    pub reserved: Number,
    /// What is left of `hard` when they do.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<f64>))]
    pub left: Option<Number>,
    /// When its window is over.
    pub resets_at: Option<Timestamp>,
    /// When `hard` is reached at the rate of its window so far; null if the window is over before, and
    /// the current time if it is reached.
    pub forecast: Option<Timestamp>,
    /// Its uses in the current window (of runs: in the open runs and the current one), those of which
    /// most was used first; at most 20.
    pub uses: Vec<BudgetUseView>,
    /// The number of all of them.
    pub uses_total: i64,
}

/// What is used of a budget by one value of its key, in one window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BudgetUseView {
    /// The value of its key, or its key.
    pub key: String,
    /// The window: a day, a month as `2026-01`, a run, or empty for all time.
    pub window: String,
    /// What calls in the ledger have used.
    #[cfg_attr(feature = "openapi", schema(value_type = f64))]
    pub spent: Number,
    /// What calls in flight use at most.
    #[cfg_attr(feature = "openapi", schema(value_type = f64))]
    pub reserved: Number,
    /// What is left of `hard` when they do.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<f64>))]
    pub left: Option<Number>,
}

/// `GET budgets`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BudgetsResponse {
    /// The budgets by id, those of the settings among them.
    pub items: Vec<BudgetView>,
}

/// `DELETE budgets/{id}`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default, deny_unknown_fields)]
pub struct DeleteBudget {
    /// The reason, for the audit trail.
    pub reason: Option<String>,
}

/// The response to `DELETE budgets/{id}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DeletedBudget {
    /// Always true.
    pub ok: bool,
    /// The budget that there was.
    pub id: String,
}

impl Ops {
    /// All budgets with what is used of them.
    pub async fn budgets(&self) -> Result<BudgetsResponse> {
        let (now, state) = (self.clock.now(), self.store.load().await?);
        let mut items = self.cap_views(&state, now).await?;
        for budget in self.store.budgets().await?.list.iter() {
            items.push(self.budget_view(budget, &state, now).await?);
        }
        items.sort_by(|one, other| one.id.cmp(&other.id));
        Ok(BudgetsResponse { items })
    }

    /// One budget with what is used of it.
    ///
    /// # Errors
    /// Returns `NotFound` for one that does not exist.
    pub async fn budget(&self, id: &str) -> Result<BudgetView> {
        let (now, state) = (self.clock.now(), self.store.load().await?);
        if Caps::IDS.contains(&id) {
            let caps = self.cap_views(&state, now).await?;
            return found("budget", id, caps.into_iter().find(|cap| cap.id == id));
        }
        let all = self.store.budgets().await?;
        self.budget_view(found("budget", id, all.get(id))?, &state, now).await
    }

    /// The caps of the settings as budgets.
    async fn cap_views(&self, state: &ControlState, now: Timestamp) -> Result<Vec<BudgetView>> {
        let day_use = self.counter.day_use(day_of(now)).await?;
        let caps = Caps::of(&state.effective(&self.options.registry));
        Ok(caps.list().iter().map(|cap| of_cap(cap, &day_use, now)).collect())
    }

    async fn budget_view(
        &self,
        budget: &Budget,
        state: &ControlState,
        now: Timestamp,
    ) -> Result<BudgetView> {
        let day = day_of(now);
        let periods = match budget.period_of(day) {
            Some(period) => vec![period],
            None => shown_runs(state).map(|run| run.run_id.clone()).collect(),
        };
        let (mut uses, uses_total) = match periods.is_empty() {
            true => (Vec::new(), 0),
            false => self.store.largest_uses(&budget.id, &periods, MAX_USES).await?,
        };
        // What is in flight is known where it is counted.
        let keys: Vec<_> = uses.iter().map(|(key, _)| key.clone()).collect();
        let counted = self.counter.budget_uses(&keys).await?;
        for (key, used) in &mut uses {
            used.reserved = counted.get(key).map_or(0, |counted| counted.reserved);
        }
        let begin = match budget.window {
            // An ended run reaches no limit.
            BudgetWindow::Run => {
                let most = uses.first().map(|(key, _)| &key.period);
                let mut open = state.open_runs();
                open.find(|run| Some(&run.run_id) == most).map(|run| run.started_at)
            }
            window => begin_of_window(window, day),
        };
        let view = BudgetView {
            id: budget.id.clone(),
            scope: budget.scope,
            key: budget.key.clone(),
            window: budget.window,
            unit: budget.unit,
            soft: budget.soft.map(|soft| budget.unit.shown(soft)),
            hard: budget.hard.map(|hard| budget.unit.shown(hard)),
            setting: None,
            counted: budget.counted,
            spent: 0.into(),
            reserved: 0.into(),
            left: None,
            resets_at: budget.resets_on(day).and_then(begin_of),
            forecast: None,
            uses: Vec::new(),
            uses_total,
        };
        Ok(view.with_uses(&uses, budget.hard, begin, now))
    }
}

/// The open runs and the current one.
fn shown_runs(state: &ControlState) -> impl Iterator<Item = &RunRecord> {
    let current = state.run.iter().filter(|run| !run.is_open());
    current.chain(state.open_runs()).take(MAX_RUNS)
}

fn begin_of_window(window: BudgetWindow, day: Date) -> Option<Timestamp> {
    match window {
        BudgetWindow::Day => begin_of(day),
        BudgetWindow::Month => begin_of(day.first_of_month()),
        BudgetWindow::Run | BudgetWindow::Lifetime => None,
    }
}

/// A cap of the settings as a budget.
fn of_cap(cap: &Cap, day_use: &DayUse, now: Timestamp) -> BudgetView {
    let day = day_of(now);
    let unit = match cap.measure {
        Measure::Cost => BudgetUnit::Usd,
        _ => BudgetUnit::Calls,
    };
    let (scope, key) = match cap.measure {
        Measure::Calls | Measure::Cost => (BudgetScope::Deployment, ""),
        Measure::FreeModels => (BudgetScope::Model, "*:free"),
        Measure::Groq => (BudgetScope::Provider, "groq"),
        Measure::Gemini => (BudgetScope::Provider, "gemini"),
    };
    let used = BudgetUse {
        settled: day_use.settled.amount(cap.measure),
        reserved: day_use.reserved.amount(cap.measure),
        ..BudgetUse::default()
    };
    let period = day.to_string();
    let use_key = UseKey { budget: cap.id.to_owned(), period, part: key.to_owned() };
    let view = BudgetView {
        id: cap.id.to_owned(),
        scope,
        key: key.to_owned(),
        window: BudgetWindow::Day,
        unit,
        soft: cap.soft.map(|soft| unit.shown(soft)),
        hard: cap.hard.map(|hard| unit.shown(hard)),
        setting: Some(cap.setting().to_owned()),
        counted: true,
        spent: 0.into(),
        reserved: 0.into(),
        left: None,
        resets_at: day.checked_add(1.day()).ok().and_then(begin_of),
        forecast: None,
        uses: Vec::new(),
        uses_total: 1,
    };
    view.with_uses(&[(use_key, used)], cap.hard, begin_of(day), now)
}

impl BudgetView {
    /// With these uses, those of which most was used first, in a window that began at `begin`.
    fn with_uses(
        mut self,
        uses: &[(UseKey, BudgetUse)],
        hard: Option<i64>,
        begin: Option<Timestamp>,
        now: Timestamp,
    ) -> Self {
        let shown = |amount| self.unit.shown(amount);
        let left = |used: &BudgetUse| hard.map(|hard| shown(used.left(hard)));
        let view = |(key, used): &(UseKey, BudgetUse)| BudgetUseView {
            key: key.part.clone(),
            window: key.period.clone(),
            spent: shown(used.settled),
            reserved: shown(used.reserved),
            left: left(used),
        };
        let most = uses.first().map(|(_, used)| *used).unwrap_or_default();
        (self.spent, self.reserved) = (shown(most.settled), shown(most.reserved));
        self.left = left(&most);
        let elapsed = begin.map(|begin| now.duration_since(begin).max(MIN_ELAPSED));
        self.forecast = hard.zip(elapsed).and_then(|(hard, elapsed)| {
            let per_hour = to_f64(most.settled) / elapsed.as_secs_f64() * 3_600.0;
            let end = self.resets_at.unwrap_or(Timestamp::MAX);
            // An estimate is no more exact than a second.
            reached(most.settled, hard, per_hour, now, end)?.round(Unit::Second).ok()
        });
        self.uses = uses.iter().map(view).collect();
        self
    }
}

impl Writer<'_> {
    /// Defines a budget, or changes the one of that id. What was used before counts: a new one admits no
    /// call until that is counted, which takes about a second per million calls in the ledger.
    ///
    /// # Errors
    /// Returns `Forbidden` when the gate is closed; `Invalid` naming every wrong field, for a run that
    /// does not exist among them; `Conflict` for the id of a setting, for a limit that would end a run
    /// at once unless that is forced, and beyond 1,000 budgets.
    pub async fn put_budget(&self, id: &str, put: &PutBudget) -> Result<BudgetView> {
        let permit = self.permit_for(Write::PutBudget, put.reason.as_deref())?;
        let executor = &self.ops.executor;
        match executor.replay(&permit).await? {
            Some(first) => first,
            None => executor.respond(&permit, self.put(&permit.without_key(), id, put).await).await,
        }
    }

    async fn put(&self, permit: &WritePermit, id: &str, put: &PutBudget) -> Result<BudgetView> {
        let ops = self.ops;
        let spec = BudgetSpec {
            scope: put.scope.clone(),
            key: put.key.clone(),
            window: put.window.clone(),
            unit: put.unit.clone(),
            soft: put.soft,
            hard: put.hard,
        };
        let all = ops.store.budgets().await?;
        let spec = match all.get(id) {
            Some(kept) => spec.changing(kept),
            None => spec,
        };
        let budget = spec.checked(id, day_of(ops.clock.now()))?;
        if budget.scope == BudgetScope::Run
            && !budget.key.contains('*')
            && ops.store.run(&budget.key).await?.is_none()
        {
            return Err(Error::invalid("key", format!("there is no run {}", budget.key)));
        }
        let intent = Intent::PutBudget(Box::new(budget), put.force);
        ops.executor.execute(permit, &intent, |_, _| ()).await?;
        // If it fails, the timer goes on with it.
        if let Err(error) = ops.count(id).await {
            warn!(code = "budget_not_counted", budget = id, %error, "budget not counted yet; retrying");
        }
        ops.budget(id).await
    }

    /// Deletes a budget, with what is known of its use.
    ///
    /// # Errors
    /// Returns `Forbidden` when the gate is closed, `NotFound` for a budget that does not exist, and
    /// `Conflict` for one that is a setting.
    pub async fn delete_budget(&self, id: &str, reason: Option<&str>) -> Result<DeletedBudget> {
        let permit = self.permit_for(Write::DeleteBudget, reason)?;
        check_id(id)?;
        let intent = Intent::DeleteBudget(id.to_owned());
        let answer = || DeletedBudget { ok: true, id: id.to_owned() };
        self.ops.executor.execute(&permit, &intent, |_, _| answer()).await
    }
}

impl Ops {
    async fn count(&self, budget: &str) -> Result<()> {
        count_budget(&*self.store, budget, Limits::default(), UNWATCHED).await
    }

    async fn count_new_budgets(&self) -> Result<()> {
        let budgets = self.store.budgets().await?;
        for budget in budgets.list.iter().filter(|budget| !budget.counted) {
            self.count(&budget.id).await?;
        }
        Ok(())
    }
}

impl SystemWriter<'_> {
    /// Counts what the ledger says of budgets whose definer died before it had counted that, forever. Any
    /// number of processes may.
    ///
    /// # Cancel safety
    /// Dropping the future stops it.
    pub async fn keep_counting_budgets(self) {
        let mut changes = self.ops.store.watch();
        let mut failing = false;
        loop {
            changes.mark_unchanged();
            match self.ops.count_new_budgets().await {
                Ok(()) => failing = false,
                Err(error) if std::mem::replace(&mut failing, true) => {
                    debug!(%error, "budgets still cannot be counted");
                }
                Err(error) => {
                    warn!(code = "budget_not_counted", %error, "budgets cannot be counted; retrying");
                }
            }
            let _ = timeout(IDLE_INTERVAL, changes.changed()).await;
        }
    }
}
