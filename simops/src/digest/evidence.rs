//! What there is to write about: figures of whole UTC days, out of what is kept per day.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, Timestamp};
use serde::{Deserialize, Serialize};

use crate::baseline::window::{WindowRow, count, governance_participants};
use crate::event::{DayTally, EventTally, EventWindow};
use crate::event::{category, kind};
use crate::run::RunRecord;
use crate::usage::CallTally;
use crate::{Error, Result};

/// The days of a digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Period {
    /// The first day.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = Date))]
    pub first_day: Date,
    /// The last day, the anchor date.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = Date))]
    pub last_day: Date,
}

impl Period {
    /// The `days` up to `anchor`, that day included.
    ///
    /// # Errors
    /// `Invalid` when they lie before all time.
    pub fn until(anchor: Date, days: i64) -> Result<Self> {
        let back = Span::new().try_days(days - 1).ok();
        let first_day = back.and_then(|back| anchor.checked_sub(back).ok());
        let first_day =
            first_day.ok_or_else(|| Error::invalid("anchor_date", "lies before all time"))?;
        Ok(Self { first_day, last_day: anchor })
    }

    /// The same days as a window of time, to the microsecond.
    ///
    /// # Errors
    /// `Invalid` when they reach beyond all time.
    pub fn window(&self) -> Result<EventWindow> {
        let begin = |day: Date| {
            Some(
                day.to_zoned_datetime(TimeZone::UTC).ok()?.timestamp()
                    - SignedDuration::from_micros(1),
            )
        };
        let next = self.last_day.tomorrow().ok();
        begin(self.first_day)
            .zip(next.and_then(begin))
            .map(|(after, until)| EventWindow { after, until })
            .ok_or_else(|| Error::invalid("anchor_date", "lies beyond all time"))
    }
}

/// What stands behind a digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Verification {
    /// Model calls and events of its run.
    Verified,
    /// Model calls alone.
    Partial,
    /// Neither, or events alone.
    Unverified,
}

impl Verification {
    /// The state's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::Partial => "partial",
            Self::Unverified => "unverified",
        }
    }

    /// What so many calls and events make of it.
    pub fn of(calls: i64, events: i64) -> Self {
        match (calls > 0, events > 0) {
            (true, true) => Self::Verified,
            (true, false) => Self::Partial,
            (false, _) => Self::Unverified,
        }
    }
}

/// How many events of a type there were.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TypeCount {
    /// The type.
    pub event_type: String,
    /// How many.
    pub events: i64,
    /// Those of them that are actions of agents.
    pub actions: i64,
}

/// Activity of some days: `GET activity`, and a part of the evidence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ActivitySummary {
    /// All events, but for those that tell of digests.
    pub total_events: i64,
    /// Those that are actions of agents.
    pub total_actions: i64,
    /// Agents that acted.
    pub active_agents: i64,
    /// How mixed the actions were, in bits.
    pub action_entropy_bits: f64,
    /// The busiest agent's share of the actions.
    pub top_agent_share: Option<f64>,
    /// Events about proposals, votes and laws.
    pub governance_events: i64,
    /// Agents that took part in governance.
    pub governance_participants: i64,
    /// Events of agents for each other.
    pub cooperation_events: i64,
    /// Events of agents against each other.
    pub conflict_events: i64,
    /// Events that make somebody keep a rule.
    pub enforcement_events: i64,
    /// Actions that were not possible.
    pub invalid_actions: i64,
    /// Events about survival, most frequent first.
    pub survival: Vec<TypeCount>,
    /// All events by type, most frequent first.
    pub by_type: Vec<TypeCount>,
}

/// Model calls of some days: `GET usage/summary`, and a part of the evidence.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CallSummary {
    /// Calls made.
    pub calls: i64,
    /// Calls that answered.
    pub success_calls: i64,
    /// Calls that failed.
    pub failed_calls: i64,
    /// Calls that were degraded or took a later route.
    pub fallback_calls: i64,
    /// Tokens sent.
    pub input_tokens: i64,
    /// Tokens received.
    pub output_tokens: i64,
    /// What they cost, in USD.
    pub cost_usd: f64,
}

/// Who lived at the end, and how equal they were.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Population {
    /// The event that tells it.
    pub event_id: i64,
    /// When it was told.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub at: Timestamp,
    /// Agents that lived.
    pub living_agents: i64,
    /// Gini coefficient of what they owned.
    pub inequality_gini: Option<f64>,
}

/// Words of the log that a digest quotes. May hold what agents wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Quote {
    /// The event.
    pub event_id: i64,
    /// Its description.
    pub text: String,
}

/// The run a digest is about, in what never changes of it.
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
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub started_at: Timestamp,
    /// When it ended, if it did in these days.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub ended_at: Option<Timestamp>,
    /// Why.
    pub end_reason: Option<String>,
    /// Its events in these days.
    pub events: i64,
    /// Its model calls in these days.
    pub calls: i64,
}

/// All that a digest is written from: `GET digest/evidence`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Evidence {
    /// The last day.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = Date))]
    pub anchor_date: Date,
    /// How many days.
    pub lookback_days: i64,
    /// The days.
    pub period: Period,
    /// The run it is about: of those open in these days the one started last that left a trace.
    pub run: Option<EvidenceRun>,
    /// What stands behind it.
    pub verification: Verification,
    /// What happened.
    pub activity: ActivitySummary,
    /// What models were asked.
    pub calls: CallSummary,
    /// Who lived at the end.
    pub population: Option<Population>,
    /// Proposals put, the first of them.
    pub proposals: Vec<Quote>,
}

impl ActivitySummary {
    /// The activity that `days` add up to, of one run or of all.
    pub fn of(days: &[DayTally], run_id: Option<&str>) -> Self {
        let tallies = tallies_of(days, run_id);
        // Only figures that need no window are taken of the row.
        let nowhere = EventWindow { after: Timestamp::UNIX_EPOCH, until: Timestamp::UNIX_EPOCH };
        let row = WindowRow::of(nowhere, &tallies);
        let acting = tallies.iter().filter(|tally| tally.class.mode.is_some());
        let agents: BTreeSet<_> = acting.filter_map(|tally| tally.class.agent_id).collect();
        let about = |word: &str| count(&tallies, |class| class.category == word);
        let survival = tallies.iter().filter(|tally| tally.class.category == "survival");
        Self {
            total_events: row.total_events,
            total_actions: row.total_actions,
            active_agents: number(agents.len()),
            action_entropy_bits: row.action_entropy_bits,
            top_agent_share: row.top_agent_share,
            governance_events: row.governance_events,
            governance_participants: number(governance_participants(&tallies).len()),
            cooperation_events: about(category::COOPERATION),
            conflict_events: about(category::CONFLICT),
            enforcement_events: row.enforcement_events,
            invalid_actions: row.invalid_actions,
            survival: by_type(survival),
            by_type: by_type(tallies.iter()),
        }
    }

    /// How many events there were of a type.
    pub fn of_type(&self, event_type: &str) -> i64 {
        let found = self.by_type.iter().find(|count| count.event_type == event_type);
        found.map_or(0, |count| count.events)
    }
}

impl CallSummary {
    /// The calls that `tallies` add up to.
    pub fn of(tallies: &[CallTally]) -> Self {
        let sum = |figure: &dyn Fn(&CallTally) -> i64| tallies.iter().map(figure).sum();
        Self {
            calls: sum(&|tally| tally.calls),
            success_calls: sum(&|tally| if tally.class.success { tally.calls } else { 0 }),
            failed_calls: sum(&|tally| if tally.class.success { 0 } else { tally.calls }),
            fallback_calls: sum(&|tally| tally.fallback_calls),
            input_tokens: sum(&|tally| tally.input_tokens),
            output_tokens: sum(&|tally| tally.output_tokens),
            cost_usd: tallies
                .iter()
                .map(|tally| tally.cost)
                .sum::<crate::usage::NanoUsd>()
                .dollars(),
        }
    }
}

impl EvidenceRun {
    /// A run with what it left in `period`.
    pub fn of(run: &RunRecord, period: &Period, events: i64, calls: i64) -> Result<Self> {
        let window = period.window()?;
        let ended_at = run.ended_at.filter(|ended| *ended <= window.until);
        Ok(Self {
            run_id: run.run_id.clone(),
            mode: run.mode.as_str().to_owned(),
            protocol_version: run.protocol_version.clone(),
            condition_name: run.condition_name.clone(),
            started_at: run.started_at,
            ended_at,
            end_reason: run.end_reason.clone().filter(|_| ended_at.is_some()),
            events,
            calls,
        })
    }
}

/// How many events of `days` are of a run.
pub fn events_of_run(days: &[DayTally], run_id: &str) -> i64 {
    tallies_of(days, Some(run_id)).iter().map(|tally| tally.count).sum()
}

/// The classes of `days`, of one run or of all; what tells of digests is no evidence for one.
pub(crate) fn tallies_of(days: &[DayTally], run_id: Option<&str>) -> Vec<EventTally> {
    let mut classes = BTreeMap::<_, i64>::new();
    for day in days {
        let wanted = run_id.is_none_or(|run_id| day.run_id.as_deref() == Some(run_id));
        if wanted && !kind::DIGEST_TYPES.contains(&day.class.event_type.as_str()) {
            *classes.entry(&day.class).or_default() += day.count;
        }
    }
    let classes = classes.into_iter();
    classes.map(|(class, count)| EventTally { class: class.clone(), count }).collect()
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
    // Stable, so that equals stay in the order of their names.
    counted.sort_by_key(|count| std::cmp::Reverse(count.events));
    counted
}

fn number(count: usize) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}
