//! Replays the ledger of a past run under any thresholds, to find when stop conditions would have
//! tripped.
//!
//! It applies [`evaluate`], the rule of live runs. The ledger lacks some facts, so the replay assumes
//! that the run was never paused and no call was refused, and that a call whose reservation expired
//! counts as it is recorded now.

use std::collections::{BTreeMap, VecDeque};

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::{Condition, Observed, POOL_PRESSURE, evaluate};
use crate::clock::day_of;
use crate::settings::{Effective, key};
use crate::usage::NanoUsd;
use crate::usage::totals::CallTotals;

/// The settings that a backtest depends on.
pub(crate) const SETTINGS: [&str; 5] = [
    key::BUDGET_HARD,
    key::STOP_ENABLED,
    key::STOP_FAILURE_WINDOW,
    key::STOP_FAILURE_THRESHOLD,
    key::STOP_FAILURE_RATE,
];

/// The fields of a recorded call that stop conditions depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Call {
    /// When the call was recorded.
    pub at: Timestamp,
    /// The day that the call counts towards; never after the day of `at`.
    pub day: Date,
    /// Whether the run made the call. Other calls only add to the day's cost.
    pub own: bool,
    /// Whether the call succeeded.
    pub success: bool,
    /// The cost of the call.
    pub cost: NanoUsd,
}

/// The time during which a run was open, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Period {
    /// When the run started.
    pub from: Timestamp,
    /// When the run ended, or the end of the replay.
    pub until: Timestamp,
}

/// Whether a condition would have stopped the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It would have stopped the run.
    Tripped,
    /// It would not have stopped the run.
    NotTripped,
    /// The condition is disabled.
    Disabled,
    /// The ledger does not record the condition's figures.
    NotRecorded,
}

/// The result of one condition.
///
/// The figures are those at the time when it would have tripped, or else at the time when the first
/// of them was highest; null if the ledger does not record them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ConditionResult {
    /// The reason a stop by it carries.
    pub condition: String,
    /// What would have come of it.
    pub outcome: Outcome,
    /// The first moment at which it would have stopped the run.
    pub would_have_tripped_at: Option<Timestamp>,
    /// The figure that is compared: USD, failed calls.
    pub observed: Option<f64>,
    /// The figure at which it trips.
    pub threshold: f64,
    /// The second figure, where there is one: share of failed calls.
    pub second_observed: Option<f64>,
    /// What the second figure must also reach.
    pub second_threshold: Option<f64>,
    /// Calls of the run recorded by then, the one that tripped it included.
    pub calls_before: Option<i64>,
    /// What they had cost, in USD.
    pub cost_usd_before: Option<f64>,
}

/// Replays the run that was open in `period` and returns the result of each stop condition.
///
/// `calls` must be in order of time, and start with the beginning of the day of `period.from`.
///
/// Time and memory grow with the number of calls, not with the length of the period.
pub(crate) fn backtest(
    period: Period,
    calls: impl IntoIterator<Item = Call>,
    settings: &Effective,
) -> Vec<ConditionResult> {
    let mut replay = Replay::under(settings);
    let mut calls = calls.into_iter().peekable();
    let mut now = period.from;
    // A condition can trip only when the run starts, when a call is recorded, or when a call leaves
    // the window (the end of a success raises the failure rate). In between, only the day changes,
    // and a new day has no cost yet.
    loop {
        while let Some(call) = calls.next_if(|call| call.at <= now) {
            replay.add(call);
        }
        replay.expire(now);
        replay.evaluate(now);
        let next_call = calls.peek().map(|call| call.at);
        let next_expiry = replay.recent.front().map(|(expires, _)| *expires);
        match [next_call, next_expiry].into_iter().flatten().min() {
            Some(next) if next <= period.until => now = next,
            _ => return replay.conditions.into_iter().map(ConditionResult::from).collect(),
        }
    }
}

/// The state of the replay: the figures now, and the conditions so far.
struct Replay<'s> {
    settings: &'s Effective,
    window: SignedDuration,
    /// The run's calls in the failure window: when each leaves it, and whether it failed.
    recent: VecDeque<(Timestamp, bool)>,
    failed: i64,
    costs: BTreeMap<Date, NanoUsd>,
    totals: CallTotals,
    conditions: Vec<ConditionState>,
}

struct ConditionState {
    condition: Condition,
    tripped: Option<(Timestamp, CallTotals)>,
}

impl<'s> Replay<'s> {
    fn under(settings: &'s Effective) -> Self {
        let conditions = evaluate(&Observed::default(), settings).into_iter();
        Self {
            settings,
            window: SignedDuration::from_mins(settings.int(key::STOP_FAILURE_WINDOW)),
            recent: VecDeque::new(),
            failed: 0,
            costs: BTreeMap::new(),
            totals: CallTotals::default(),
            conditions: conditions
                .map(|condition| ConditionState { condition, tripped: None })
                .collect(),
        }
    }

    fn add(&mut self, call: Call) {
        let cost = self.costs.entry(call.day).or_default();
        *cost = *cost + call.cost;
        if call.own {
            let expires = call.at.checked_add(self.window).unwrap_or(Timestamp::MAX);
            self.recent.push_back((expires, !call.success));
            self.failed += i64::from(!call.success);
            self.totals.calls += 1;
            self.totals.cost = self.totals.cost + call.cost;
        }
    }

    fn expire(&mut self, now: Timestamp) {
        // A call that is exactly as old as the window is no longer in it.
        while let Some((_, failed)) = self.recent.pop_front_if(|(expires, _)| *expires <= now) {
            self.failed -= i64::from(failed);
        }
    }

    fn evaluate(&mut self, now: Timestamp) {
        let observed = Observed {
            cost_today: self.costs.get(&day_of(now)).copied().unwrap_or_default(),
            failed_calls: self.failed,
            window_calls: self.recent.len().try_into().unwrap_or(i64::MAX),
            ..Observed::default()
        };
        let conditions = evaluate(&observed, self.settings);
        for (state, condition) in self.conditions.iter_mut().zip(conditions) {
            if state.tripped.is_some() {
                continue;
            }
            if condition.trips() {
                *state = ConditionState { condition, tripped: Some((now, self.totals)) };
            } else if condition.observed > state.condition.observed {
                state.condition = condition;
            }
        }
    }
}

impl From<ConditionState> for ConditionResult {
    fn from(ConditionState { condition, tripped }: ConditionState) -> Self {
        let recorded = condition.condition != POOL_PRESSURE;
        let outcome = match tripped {
            _ if !recorded => Outcome::NotRecorded,
            _ if !condition.enabled => Outcome::Disabled,
            Some(_) => Outcome::Tripped,
            None => Outcome::NotTripped,
        };
        Self {
            outcome,
            would_have_tripped_at: tripped.map(|(at, _)| at),
            observed: Some(condition.observed).filter(|_| recorded),
            threshold: condition.threshold,
            second_observed: condition.second_observed.filter(|_| recorded),
            second_threshold: condition.second_threshold,
            calls_before: tripped.map(|(_, totals)| totals.calls),
            cost_usd_before: tripped.map(|(_, totals)| totals.cost.dollars()),
            condition: condition.condition,
        }
    }
}
