//! The evidence of a digest: summaries of the events and model calls of whole UTC days.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use jiff::{SignedDuration, Span, Timestamp};
use serde::{Deserialize, Serialize};

use crate::baseline::window::{WindowRow, count, governance_participants};
use crate::clock::begin_of;
use crate::event::{DayTally, EventTally, EventWindow};
use crate::event::{category, kind};
use crate::run::{RunRecord, SelectedRuns};
use crate::usage::{CallTally, NanoUsd};
use crate::{Error, Result};

/// The days that a digest covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Period {
    /// The first day.
    pub first_day: Date,
    /// The last day, the anchor date.
    pub last_day: Date,
}

impl Period {
    /// The `days` days that end with `anchor` (inclusive).
    ///
    /// # Errors
    /// Returns `Invalid` if the first day is before the earliest representable date.
    pub fn until(anchor: Date, days: i64) -> Result<Self> {
        let back = Span::new().try_days(days - 1).ok();
        let first_day = back.and_then(|back| anchor.checked_sub(back).ok());
        let first_day =
            first_day.ok_or_else(|| Error::invalid("anchor_date", "is out of range"))?;
        Ok(Self { first_day, last_day: anchor })
    }

    /// The days as a time window.
    ///
    /// # Errors
    /// Returns `Invalid` if the window exceeds the representable times.
    pub fn window(&self) -> Result<EventWindow> {
        let next = self.last_day.tomorrow().ok().and_then(begin_of);
        // Until the last microsecond of the last day.
        let until = next.and_then(|next| next.checked_sub(SignedDuration::from_micros(1)).ok());
        let window = begin_of(self.first_day).zip(until);
        window
            .map(|(begin, until)| EventWindow::from(begin, until))
            .ok_or_else(|| Error::invalid("anchor_date", "is out of range"))
    }
}

named! {
    /// How well the records of its run support a digest.
    pub enum Verification {
        /// The run has model calls and events.
        Verified = "verified",
        /// The run has model calls only.
        Partial = "partial",
        /// There is no run, or it has no model calls.
        Unverified = "unverified",
    }
}

impl Verification {
    /// The state for a number of calls and events.
    pub fn of(calls: i64, events: i64) -> Self {
        match (calls > 0, events > 0) {
            (true, true) => Self::Verified,
            (true, false) => Self::Partial,
            (false, _) => Self::Unverified,
        }
    }
}

/// The number of events of a type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TypeCount {
    /// The event type.
    pub event_type: String,
    /// The number of events.
    pub events: i64,
    /// The number of these events that are actions.
    pub actions: i64,
}

/// A summary of the events of several days, as returned by `GET activity`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ActivitySummary {
    /// The number of events, except events about digests.
    pub total_events: i64,
    /// The number of actions.
    pub total_actions: i64,
    /// The number of agents with an action.
    pub active_agents: i64,
    /// The Shannon entropy of the action types in bits.
    pub action_entropy_bits: f64,
    /// The most active agent's share of the actions.
    pub top_agent_share: Option<f64>,
    /// The number of governance events.
    pub governance_events: i64,
    /// The number of agents with a governance action.
    pub governance_participants: i64,
    /// The number of cooperation events.
    pub cooperation_events: i64,
    /// The number of conflict events.
    pub conflict_events: i64,
    /// The number of events that enforce a rule.
    pub enforcement_events: i64,
    /// The number of actions that the rules did not allow.
    pub invalid_actions: i64,
    /// Event types of the category `survival`, most frequent first.
    pub survival: Vec<TypeCount>,
    /// All event types, most frequent first.
    pub by_type: Vec<TypeCount>,
}

/// A summary of the model calls of several days, as returned by `GET usage/summary`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CallSummary {
    /// All calls that were sent.
    pub calls: i64,
    /// Calls that were not sent to any provider, because all circuit breakers refused them. Counted in
    /// nothing else.
    #[serde(default)]
    pub unsent_calls: i64,
    /// Successful calls.
    pub success_calls: i64,
    /// Failed calls.
    pub failed_calls: i64,
    /// Calls that used a cheaper or a fallback route.
    pub fallback_calls: i64,
    /// Input tokens.
    pub input_tokens: i64,
    /// Output tokens.
    pub output_tokens: i64,
    /// The cost in USD.
    pub cost_usd: f64,
}

/// The population and its inequality at the last inventory snapshot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Population {
    /// The id of the snapshot event.
    pub event_id: i64,
    /// When the snapshot was taken.
    pub at: Timestamp,
    /// The number of living agents.
    pub living_agents: i64,
    /// The Gini coefficient of their wealth.
    pub inequality_gini: Option<f64>,
}

/// The description of an event that a digest quotes. It can contain text written by agents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Quote {
    /// The id of the event.
    pub event_id: i64,
    /// The event's description.
    pub text: String,
}

/// The run that a digest is about. Contains only data that no longer changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EvidenceRun {
    /// The run.
    pub run_id: String,
    /// `test` or `real`.
    pub mode: String,
    /// The protocol it follows.
    pub protocol_version: String,
    /// The experimental condition.
    pub condition_name: Option<String>,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended, if that was within the period.
    pub ended_at: Option<Timestamp>,
    /// Why it ended.
    pub end_reason: Option<String>,
    /// The number of its events in the period.
    pub events: i64,
    /// The number of its model calls in the period.
    pub calls: i64,
}

/// All data that a digest is written from, as returned by `GET digest/evidence`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Evidence {
    /// The last day of the period.
    pub anchor_date: Date,
    /// The length of the period in days.
    pub lookback_days: i64,
    /// The period.
    pub period: Period,
    /// The runs that all figures are of; absent when they are of everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runs: Option<SelectedRuns>,
    /// The run that the digest is about: the latest one that was open in the period and has events
    /// or model calls in it.
    pub run: Option<EvidenceRun>,
    /// How well the run's records support the digest.
    pub verification: Verification,
    /// The events of the period.
    pub activity: ActivitySummary,
    /// The model calls of the period.
    pub calls: CallSummary,
    /// The population at the end of the period; with `runs`, that of `run`.
    pub population: Option<Population>,
    /// The first proposals of the period.
    pub proposals: Vec<Quote>,
}

impl ActivitySummary {
    /// Summarises the events of `days`, of one run or of all.
    pub fn of(days: &[DayTally], run_id: Option<&str>) -> Self {
        Self::of_runs(&[tallies_of(days, run_id)])
    }

    /// Summarises the event counts of each run. Agents of different runs are different agents.
    pub(crate) fn of_runs(runs: &[Vec<EventTally>]) -> Self {
        // The window's times are not used below.
        let unused = EventWindow { after: Timestamp::UNIX_EPOCH, until: Timestamp::UNIX_EPOCH };
        let row = WindowRow::of_runs(unused, runs);
        let acting = |tallies: &Vec<EventTally>| {
            let acting = tallies.iter().filter(|tally| tally.class.mode.is_some());
            acting.filter_map(|tally| tally.class.agent_id.as_ref()).collect::<BTreeSet<_>>().len()
        };
        let in_category = |name: &str| -> i64 {
            runs.iter().map(|tallies| count(tallies, |class| class.category == name)).sum()
        };
        let tallies = || runs.iter().flatten();
        let survival = tallies().filter(|tally| tally.class.category == "survival");
        Self {
            total_events: row.total_events,
            total_actions: row.total_actions,
            active_agents: number(runs.iter().map(acting).sum()),
            action_entropy_bits: row.action_entropy_bits,
            top_agent_share: row.top_agent_share,
            governance_events: row.governance_events,
            governance_participants: number(
                runs.iter().map(|tallies| governance_participants(tallies).len()).sum(),
            ),
            cooperation_events: in_category(category::COOPERATION),
            conflict_events: in_category(category::CONFLICT),
            enforcement_events: row.enforcement_events,
            invalid_actions: row.invalid_actions,
            survival: by_type(survival),
            by_type: by_type(tallies()),
        }
    }

    /// The number of events of a type.
    pub fn of_type(&self, event_type: &str) -> i64 {
        let found = self.by_type.iter().find(|count| count.event_type == event_type);
        found.map_or(0, |count| count.events)
    }
}

impl CallSummary {
    /// What the stop condition `provider_failures_repeated` counts as failed: also calls that were not sent.
    pub(crate) fn failures(&self) -> i64 {
        self.failed_calls + self.unsent_calls
    }

    /// Sums up call counts.
    pub fn of(tallies: &[CallTally]) -> Self {
        let sum = |figure: &dyn Fn(&CallTally) -> i64| tallies.iter().map(figure).sum();
        Self {
            calls: sum(&|tally| tally.calls),
            unsent_calls: sum(&|tally| tally.unsent_calls),
            success_calls: sum(&|tally| if tally.class.success { tally.calls } else { 0 }),
            failed_calls: sum(&|tally| if tally.class.success { 0 } else { tally.calls }),
            fallback_calls: sum(&|tally| tally.fallback_calls),
            input_tokens: sum(&|tally| tally.input_tokens),
            output_tokens: sum(&|tally| tally.output_tokens),
            cost_usd: tallies.iter().map(|tally| tally.cost).sum::<NanoUsd>().dollars(),
        }
    }
}

impl EvidenceRun {
    /// Describes a run with the number of its events and calls in a period that ends at `until`.
    pub fn of(run: &RunRecord, until: Timestamp, events: i64, calls: i64) -> Self {
        let ended_at = run.ended_at.filter(|ended| *ended <= until);
        Self {
            run_id: run.run_id.clone(),
            mode: run.mode.as_str().to_owned(),
            protocol_version: run.protocol_version.clone(),
            condition_name: run.condition_name.clone(),
            started_at: run.started_at,
            ended_at,
            end_reason: run.end_reason.clone().filter(|_| ended_at.is_some()),
            events,
            calls,
        }
    }
}

/// The number of events of a run in `days`.
pub(crate) fn events_of_run(days: &[DayTally], run_id: &str) -> i64 {
    tallies_of(days, Some(run_id)).iter().map(|tally| tally.count).sum()
}

/// Sums the event counts of `days` by class, for one run or for all. Events about digests are excluded,
/// because they are not evidence.
pub(crate) fn tallies_of(days: &[DayTally], run_id: Option<&str>) -> Vec<EventTally> {
    tallied(
        days.iter().filter(|day| run_id.is_none_or(|run_id| day.run_id.as_deref() == Some(run_id))),
    )
}

fn tallied<'a>(days: impl Iterator<Item = &'a DayTally>) -> Vec<EventTally> {
    let mut classes = BTreeMap::<_, i64>::new();
    for day in days.filter(|day| !kind::DIGEST_TYPES.contains(&day.class.event_type.as_str())) {
        *classes.entry(&day.class).or_default() += day.count;
    }
    let classes = classes.into_iter();
    classes.map(|(class, count)| EventTally { class: class.clone(), count }).collect()
}

/// The event counts of `days` by class, for each run.
pub(crate) fn tallies_by_run(days: &[DayTally]) -> Vec<Vec<EventTally>> {
    let mut runs = BTreeMap::<_, Vec<&DayTally>>::new();
    for day in days {
        runs.entry(&day.run_id).or_default().push(day);
    }
    runs.into_values().map(|days| tallied(days.into_iter())).collect()
}

fn by_type<'a>(tallies: impl Iterator<Item = &'a EventTally>) -> Vec<TypeCount> {
    let mut types = BTreeMap::<&str, (i64, i64)>::new();
    for tally in tallies {
        let (events, actions) = types.entry(&tally.class.event_type).or_default();
        *events += tally.count;
        *actions += if tally.class.mode.is_some() { tally.count } else { 0 };
    }
    let counted = types.into_iter().map(|(event_type, (events, actions))| TypeCount {
        event_type: event_type.to_owned(),
        events,
        actions,
    });
    let mut counted: Vec<_> = counted.collect();
    // The sort is stable, so types with equal counts stay ordered by name.
    counted.sort_by_key(|count| std::cmp::Reverse(count.events));
    counted
}

fn number(count: usize) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}
