//! The metrics of a time window, computed from event counts.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::AgentId;
use crate::event::category;
use crate::event::{EventClass, EventTally, EventWindow};
use crate::number::{ratio, to_f64};

/// The metrics of one window. Shares and the Herfindahl index are null without actions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WindowRow {
    /// Start of the window (exclusive).
    pub window_start_utc: Timestamp,
    /// End of the window (inclusive).
    pub window_end_utc: Timestamp,
    /// The number of events.
    pub total_events: i64,
    /// The number of actions.
    pub total_actions: i64,
    /// The number of distinct action types.
    pub unique_action_types: i64,
    /// The Shannon entropy of the action types in bits; 0 without actions.
    pub action_entropy_bits: f64,
    /// The most frequent action type; the first by name if several are equally frequent.
    pub top_action: Option<String>,
    /// The share of that type in all actions.
    pub top_action_share: Option<f64>,
    /// The most active agent's share of the actions that have an agent.
    pub top_agent_share: Option<f64>,
    /// The Herfindahl index of the agents' shares: 1 for a single agent, 1/n for n equally active
    /// agents.
    pub agent_hhi: Option<f64>,
    /// The number of governance events.
    pub governance_events: i64,
    /// The number of events that enforce a rule.
    pub enforcement_events: i64,
    /// The number of actions that the rules did not allow.
    pub invalid_actions: i64,
}

/// The name of a metric, its title in charts, and its value.
pub(super) type Figure = (&'static str, &'static str, fn(&WindowRow) -> Option<f64>);

pub(super) const ENTROPY: &str = "action_entropy_bits";

/// The numeric metrics, in the order of the fields.
pub(super) const FIGURES: [Figure; 10] = [
    ("total_events", "Events", |row| Some(to_f64(row.total_events))),
    ("total_actions", "Actions", |row| Some(to_f64(row.total_actions))),
    ("unique_action_types", "Action types", |row| Some(to_f64(row.unique_action_types))),
    (ENTROPY, "Action entropy (bits)", |row| Some(row.action_entropy_bits)),
    ("top_action_share", "Top action's share", |row| row.top_action_share),
    ("top_agent_share", "Top agent's share", |row| row.top_agent_share),
    ("agent_hhi", "Agent Herfindahl index", |row| row.agent_hhi),
    ("governance_events", "Governance events", |row| Some(to_f64(row.governance_events))),
    ("enforcement_events", "Enforcement events", |row| Some(to_f64(row.enforcement_events))),
    ("invalid_actions", "Invalid actions", |row| Some(to_f64(row.invalid_actions))),
];

impl WindowRow {
    /// Computes the metrics of `window` from its event counts.
    pub fn of(window: EventWindow, tallies: &[EventTally]) -> Self {
        Self::of_runs(window, &[tallies])
    }

    /// Computes the metrics of `window` from the event counts of each run. Agents of different runs are
    /// different agents.
    pub fn of_runs(window: EventWindow, runs: &[impl AsRef<[EventTally]>]) -> Self {
        let (mut by_type, mut by_agent) = (BTreeMap::<_, i64>::new(), Vec::new());
        for tallies in runs {
            for (name, of) in actions_by(tallies.as_ref(), |class| Some(class.event_type.clone())) {
                *by_type.entry(name).or_default() += of;
            }
            by_agent
                .extend(actions_by(tallies.as_ref(), |class| class.agent_id.clone()).into_values());
        }
        let count = |matches: &dyn Fn(&EventClass) -> bool| -> i64 {
            runs.iter().map(|tallies| count(tallies.as_ref(), matches)).sum()
        };
        let agent_shares = shares(by_agent.iter());
        let top = top(&by_type);
        Self {
            window_start_utc: window.after,
            window_end_utc: window.until,
            total_events: count(&|_| true),
            total_actions: by_type.values().sum(),
            unique_action_types: by_type.len().try_into().unwrap_or(i64::MAX),
            action_entropy_bits: entropy_bits(&shares(by_type.values())),
            top_action: top.map(|(name, _)| name.clone()),
            top_action_share: top.and_then(|(_, of)| ratio(*of, by_type.values().sum())),
            top_agent_share: agent_shares.iter().copied().reduce(f64::max),
            agent_hhi: (!agent_shares.is_empty()).then(|| herfindahl(&agent_shares)),
            governance_events: count(&|class| class.category == category::GOVERNANCE),
            enforcement_events: count(&|class| class.enforcement),
            invalid_actions: count(&|class| {
                class.mode.is_some() && class.category == category::INVALID
            }),
        }
    }
}

/// `count` consecutive windows of `length`, the last of which ends at `end`, oldest first. Returns
/// fewer if a window would begin before the earliest representable time.
pub(crate) fn windows(end: Timestamp, count: usize, length: SignedDuration) -> Vec<EventWindow> {
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

/// The agents with a governance action.
pub(crate) fn governance_participants(tallies: &[EventTally]) -> BTreeSet<AgentId> {
    let governed = tallies
        .iter()
        .map(|tally| &tally.class)
        .filter(|class| class.mode.is_some() && class.category == category::GOVERNANCE);
    governed.filter_map(|class| class.agent_id.clone()).collect()
}

/// The number of events whose class matches the predicate.
pub(crate) fn count(tallies: &[EventTally], matches: impl Fn(&EventClass) -> bool) -> i64 {
    tallies.iter().filter(|tally| matches(&tally.class)).map(|tally| tally.count).sum()
}

/// The Shannon entropy of shares in bits.
pub(crate) fn entropy_bits(shares: &[f64]) -> f64 {
    let bits: f64 = shares.iter().filter(|share| **share > 0.0).map(|p| -p * p.log2()).sum();
    // Turns -0.0, the result for an empty slice or a single share, into 0.0.
    bits + 0.0
}

/// The sum of the squares of shares.
pub(crate) fn herfindahl(shares: &[f64]) -> f64 {
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
    // `max_by_key` returns the last maximum; the first by name is wanted.
    counts.iter().rev().max_by_key(|(_, count)| **count)
}

fn shares<'a>(counts: impl Iterator<Item = &'a i64> + Clone) -> Vec<f64> {
    let whole: i64 = counts.clone().sum();
    counts.filter_map(|count| ratio(*count, whole)).collect()
}
