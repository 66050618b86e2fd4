//! What stop conditions would have done to a past run: its ledger replayed under any thresholds.
//!
//! The rule is [`evaluate`]'s own. What the ledger does not tell is taken for granted: the run was
//! never paused between its start and its end, no call was refused, and a call whose reservation
//! expired before it was heard of counts as it stands now.

use std::collections::{BTreeMap, VecDeque};

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::{Condition, Observed, evaluate};
use crate::clock::day_of;
use crate::settings::{Effective, key};
use crate::usage::NanoUsd;
use crate::usage::budget::CallTotals;

/// The settings that a backtest depends on.
pub const SETTINGS: [&str; 5] = [
    key::BUDGET_HARD,
    key::STOP_ENABLED,
    key::STOP_FAILURE_WINDOW,
    key::STOP_FAILURE_THRESHOLD,
    key::STOP_FAILURE_RATE,
];

/// The condition whose figures no ledger holds.
const NOT_RECORDED: &str = "db_pool_pressure";

/// A call of the ledger, as far as stop conditions look at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// When it was recorded.
    pub at: Timestamp,
    /// The day it counts for; never after the day of `at`.
    pub day: Date,
    /// Whether the run made it. Calls of others count for the day's cost only.
    pub own: bool,
    /// Whether it answered.
    pub success: bool,
    /// What it cost.
    pub cost: NanoUsd,
}

/// When a run was open: both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    /// When it started.
    pub from: Timestamp,
    /// When it ended, or until when to look.
    pub until: Timestamp,
}

/// What would have come of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It would have stopped the run.
    Tripped,
    /// It would not.
    NotTripped,
    /// It is switched off.
    Disabled,
    /// The ledger cannot tell.
    NotRecorded,
}

/// A condition's part in a run.
///
/// The figures are those at the moment it would have tripped; if it would not have, those of the
/// moment when the first of them was greatest; null where the ledger cannot tell.
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

/// What each stop condition would have done to the run open in `period`.
///
/// `calls` come in the order of their times, and begin where the day of `period.from` does.
///
/// Time and memory grow with the number of calls, not with the length of the period.
pub fn backtest(
    period: Period,
    calls: impl IntoIterator<Item = Call>,
    settings: &Effective,
) -> Vec<ConditionResult> {
    let mut replay = Replay::under(settings);
    let mut calls = calls.into_iter().peekable();
    let mut now = period.from;
    // A condition can begin to hold only when the run starts, when a call is recorded, or when one
    // leaves the window: a success that leaves raises the share of failures. In between nothing
    // changes but the day, and a new day has cost nothing yet.
    loop {
        while let Some(call) = calls.next_if(|call| call.at <= now) {
            replay.enter(call);
        }
        replay.leave(now);
        replay.judge(now);
        let recorded = calls.peek().map(|call| call.at);
        match [recorded, replay.next_to_leave()].into_iter().flatten().min() {
            Some(next) if next <= period.until => now = next,
            _ => return replay.results(),
        }
    }
}

/// The figures at one moment, and what was found up to it.
struct Replay<'s> {
    settings: &'s Effective,
    window: SignedDuration,
    /// The run's calls in the window: when each leaves it, and whether it failed.
    recent: VecDeque<(Timestamp, bool)>,
    failed: i64,
    costs: BTreeMap<Date, NanoUsd>,
    totals: CallTotals,
    found: Vec<Found>,
}

struct Found {
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
            found: conditions.map(|condition| Found { condition, tripped: None }).collect(),
        }
    }

    fn enter(&mut self, call: Call) {
        let cost = self.costs.entry(call.day).or_default();
        *cost = *cost + call.cost;
        if call.own {
            let leaves = call.at.checked_add(self.window).unwrap_or(Timestamp::MAX);
            self.recent.push_back((leaves, !call.success));
            self.failed += i64::from(!call.success);
            self.totals.calls += 1;
            self.totals.cost = self.totals.cost + call.cost;
        }
    }

    fn next_to_leave(&self) -> Option<Timestamp> {
        self.recent.front().map(|(leaves, _)| *leaves)
    }

    fn leave(&mut self, now: Timestamp) {
        // A window of N minutes does not hold what is exactly N minutes old.
        while let Some((_, failed)) = self.recent.pop_front_if(|(leaves, _)| *leaves <= now) {
            self.failed -= i64::from(failed);
        }
    }

    fn judge(&mut self, now: Timestamp) {
        let observed = Observed {
            cost_today: self.costs.get(&day_of(now)).copied().unwrap_or_default(),
            failed_calls: self.failed,
            window_calls: self.recent.len().try_into().unwrap_or(i64::MAX),
            ..Observed::default()
        };
        let conditions = evaluate(&observed, self.settings);
        for (found, condition) in self.found.iter_mut().zip(conditions) {
            if found.tripped.is_some() {
                continue;
            }
            if condition.trips() {
                *found = Found { condition, tripped: Some((now, self.totals)) };
            } else if condition.observed > found.condition.observed {
                found.condition = condition;
            }
        }
    }

    fn results(self) -> Vec<ConditionResult> {
        self.found.into_iter().map(ConditionResult::from).collect()
    }
}

impl From<Found> for ConditionResult {
    fn from(Found { condition, tripped }: Found) -> Self {
        let recorded = condition.condition != NOT_RECORDED;
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
