//! The figures of one window, out of its events counted by class.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::event::category;
use crate::event::{EventClass, EventTally, EventWindow};

/// One window's figures. Shares and the index are null when there is nothing to share.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WindowRow {
    /// Events at this time lie before the window.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub window_start_utc: Timestamp,
    /// Events at this time lie in it.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub window_end_utc: Timestamp,
    /// All events.
    pub total_events: i64,
    /// Those that are actions of agents.
    pub total_actions: i64,
    /// How many types of action there were.
    pub unique_action_types: i64,
    /// How mixed they were: Shannon entropy over action types, in bits; 0 without actions.
    pub action_entropy_bits: f64,
    /// The most frequent type; of several the first by name.
    pub top_action: Option<String>,
    /// Its share of the actions.
    pub top_action_share: Option<f64>,
    /// The busiest agent's share of the actions that have an agent.
    pub top_agent_share: Option<f64>,
    /// Herfindahl index of the agents' shares: 1 when one acts alone, 1/n when n act equally.
    pub agent_hhi: Option<f64>,
    /// Events about proposals, votes and laws.
    pub governance_events: i64,
    /// Events that make somebody keep a rule.
    pub enforcement_events: i64,
    /// Actions that were not possible.
    pub invalid_actions: i64,
}

impl WindowRow {
    /// The figures of `window`, whose events are `tallies`.
    pub fn of(window: EventWindow, tallies: &[EventTally]) -> Self {
        let by_type = actions_by(tallies, |class| Some(class.event_type.clone()));
        let by_agent = actions_by(tallies, |class| class.agent_id);
        let agent_shares = shares(by_agent.values());
        let top = top(&by_type);
        Self {
            window_start_utc: window.after,
            window_end_utc: window.until,
            total_events: count(tallies, |_| true),
            total_actions: by_type.values().sum(),
            unique_action_types: by_type.len().try_into().unwrap_or(i64::MAX),
            action_entropy_bits: entropy_bits(&shares(by_type.values())),
            top_action: top.map(|(name, _)| name.clone()),
            top_action_share: top.and_then(|(_, of)| ratio(*of, by_type.values().sum())),
            top_agent_share: agent_shares.iter().copied().reduce(f64::max),
            agent_hhi: (!agent_shares.is_empty()).then(|| herfindahl(&agent_shares)),
            governance_events: count(tallies, |class| class.category == category::GOVERNANCE),
            enforcement_events: count(tallies, |class| class.enforcement),
            invalid_actions: count(tallies, |class| {
                class.mode.is_some() && class.category == category::INVALID
            }),
        }
    }
}

/// `count` windows of `length` that follow each other and end at `end`, oldest first. Fewer when
/// time does not reach back so far.
pub fn windows(end: Timestamp, count: usize, length: SignedDuration) -> Vec<EventWindow> {
    let mut windows = Vec::with_capacity(count);
    let mut until = end;
    for _ in 0..count {
        let Ok(after) = until.checked_sub(length) else { break };
        windows.push(EventWindow { after, until });
        until = after;
    }
    windows.reverse();
    windows
}

/// The agents that took part in governance by an action.
pub fn governance_participants(tallies: &[EventTally]) -> BTreeSet<i64> {
    let governed = tallies
        .iter()
        .map(|tally| &tally.class)
        .filter(|class| class.mode.is_some() && class.category == category::GOVERNANCE);
    governed.filter_map(|class| class.agent_id).collect()
}

/// How many events are of a class that is `wanted`.
pub fn count(tallies: &[EventTally], wanted: impl Fn(&EventClass) -> bool) -> i64 {
    tallies.iter().filter(|tally| wanted(&tally.class)).map(|tally| tally.count).sum()
}

/// `part / whole`; `None` when there is no whole.
pub fn ratio(part: i64, whole: i64) -> Option<f64> {
    (whole != 0).then(|| to_f64(part) / to_f64(whole))
}

/// Shannon entropy of shares, in bits.
pub fn entropy_bits(shares: &[f64]) -> f64 {
    let bits: f64 = shares.iter().filter(|share| **share > 0.0).map(|p| -p * p.log2()).sum();
    // Of none and of a single share it comes out as -0.
    bits + 0.0
}

/// The sum of the squares of shares.
pub fn herfindahl(shares: &[f64]) -> f64 {
    shares.iter().map(|share| share * share).sum()
}

fn actions_by<K: Ord>(
    tallies: &[EventTally],
    key: impl Fn(&EventClass) -> Option<K>,
) -> BTreeMap<K, i64> {
    let mut counts = BTreeMap::new();
    for tally in tallies.iter().filter(|tally| tally.class.mode.is_some()) {
        if let Some(key) = key(&tally.class) {
            *counts.entry(key).or_default() += tally.count;
        }
    }
    counts
}

fn top(counts: &BTreeMap<String, i64>) -> Option<(&String, &i64)> {
    // The last of equals is the greatest, so the order is turned round.
    counts.iter().rev().max_by_key(|(_, count)| **count)
}

fn shares<'a>(counts: impl Iterator<Item = &'a i64> + Clone) -> Vec<f64> {
    let whole: i64 = counts.clone().sum();
    counts.filter_map(|count| ratio(*count, whole)).collect()
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
pub(crate) fn to_f64(count: i64) -> f64 {
    count as f64
}
