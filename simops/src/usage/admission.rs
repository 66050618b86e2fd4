//! Whether a call may be made: the caps, compared with what the day has used and reserved.
//!
//! The same comparison runs in every counter, in one step with the counting: here as the readable
//! original, in SQL and in a Redis script as its copies, all held to it by the conformance suite.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{DayTotals, NanoUsd};
use crate::settings::{Effective, key};

/// A call counter at this share of its cap degrades calls: 85 of 100.
const SOFT_SHARE: (i64, i64) = (85, 100);

/// The day's caps; `None` is off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Caps {
    /// Cost after which calls are degraded.
    pub soft: Option<NanoUsd>,
    /// Cost that is never exceeded.
    pub hard: Option<NanoUsd>,
    /// All calls.
    pub total: Option<i64>,
    /// Calls to models whose name ends in `:free`.
    pub openrouter_free: Option<i64>,
    /// Calls to Groq.
    pub groq: Option<i64>,
    /// Calls to Gemini.
    pub gemini: Option<i64>,
}

/// What a day has used, and what is reserved on top.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DayUse {
    /// Calls made and their cost: the sum of the ledger.
    pub settled: DayTotals,
    /// Calls in flight and their upper bounds: the sum of the open leases.
    pub reserved: DayTotals,
    /// Counts the changes of what is settled, so that of two copies the newer one is known.
    pub version: u64,
}

/// Why a call was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refused {
    /// What is left of the hard budget cannot pay for it.
    HardBudgetReached,
    /// The cap on all calls.
    MaxCallsTotalReached,
    /// The cap on free routes.
    MaxCallsOpenrouterFreeReached,
    /// The cap on Groq.
    MaxCallsGroqReached,
    /// The cap on Gemini.
    MaxCallsGeminiReached,
}

/// The verdict on a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It may be made, and counts as reserved.
    Admitted {
        /// The soft cap is reached: make it smaller.
        degraded: bool,
    },
    /// It may not.
    Refused {
        /// Why.
        reason: Refused,
        /// Only reservations stand in the way: try again after a while. Otherwise the cap is spent
        /// for the day.
        in_flight: bool,
    },
}

/// When to ask again after a refusal that only reservations caused.
pub const RETRY_IN_FLIGHT: Duration = Duration::from_secs(1);

impl Caps {
    /// The caps that `settings` set.
    pub fn of(settings: &Effective) -> Self {
        let dollars = |key| Some(settings.float(key)).filter(|cap| *cap > 0.0);
        let calls = |key| Some(settings.int(key)).filter(|cap| *cap > 0);
        Self {
            soft: dollars(key::BUDGET_SOFT).map(NanoUsd::from_dollars),
            hard: dollars(key::BUDGET_HARD).map(NanoUsd::from_dollars),
            total: calls(key::MAX_CALLS_TOTAL),
            openrouter_free: calls(key::MAX_CALLS_OPENROUTER_FREE),
            groq: calls(key::MAX_CALLS_GROQ),
            gemini: calls(key::MAX_CALLS_GEMINI),
        }
    }

    /// Each call cap that applies to `ask`, with its counters and its reason.
    fn calls(&self, day: &DayUse, ask: &DayTotals) -> [(Option<i64>, i64, i64, Refused); 4] {
        let row = |cap: Option<i64>, counts: bool, of: fn(&DayTotals) -> i64, reason| {
            (cap.filter(|_| counts), of(&day.settled), of(&day.reserved), reason)
        };
        [
            row(self.total, true, |t| t.calls_total, Refused::MaxCallsTotalReached),
            row(
                self.openrouter_free,
                ask.calls_openrouter_free > 0,
                |t| t.calls_openrouter_free,
                Refused::MaxCallsOpenrouterFreeReached,
            ),
            row(self.groq, ask.calls_groq > 0, |t| t.calls_groq, Refused::MaxCallsGroqReached),
            row(
                self.gemini,
                ask.calls_gemini > 0,
                |t| t.calls_gemini,
                Refused::MaxCallsGeminiReached,
            ),
        ]
    }

    /// Whether calls are to be degraded on a day that has used so much.
    pub fn soft_reached(&self, day: &DayUse) -> bool {
        let everything = DayTotals {
            calls_total: 1,
            calls_openrouter_free: 1,
            calls_groq: 1,
            calls_gemini: 1,
            ..DayTotals::default()
        };
        let near = |(cap, settled, reserved, _): (Option<i64>, i64, i64, Refused)| {
            cap.is_some_and(|cap| (settled + reserved) * SOFT_SHARE.1 >= cap * SOFT_SHARE.0)
        };
        self.soft.is_some_and(|soft| day.settled.cost >= soft)
            || self.calls(day, &everything).into_iter().any(near)
    }
}

/// Whether a call that adds `ask` (one call, its upper bound) may be made.
pub fn admit(caps: &Caps, day: &DayUse, ask: &DayTotals) -> Admission {
    if let Some(hard) = caps.hard {
        let settled = day.settled.cost + ask.cost;
        // A budget that is spent to the last nano-dollar admits not even a free call.
        if settled + day.reserved.cost > hard || day.settled.cost >= hard {
            let in_flight = settled <= hard && day.settled.cost < hard;
            return Admission::Refused { reason: Refused::HardBudgetReached, in_flight };
        }
    }
    for (cap, settled, reserved, reason) in caps.calls(day, ask) {
        if cap.is_some_and(|cap| settled + reserved >= cap) {
            let in_flight = cap.is_some_and(|cap| settled < cap);
            return Admission::Refused { reason, in_flight };
        }
    }
    Admission::Admitted { degraded: caps.soft_reached(day) }
}
