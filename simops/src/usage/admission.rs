//! Admission: whether a call fits below every cap of its day.
//!
//! A cap is data: what it counts of which calls ([`Measure`]), and its limits. [`admit`] compares a
//! call with a list of caps. Stores run it inside [`LedgerBatch`](super::LedgerBatch), in the
//! transaction that counts the call; the Redis script `reserve.lua` is the only copy, and the
//! differential test holds it to this one.

use std::time::Duration;

use super::{DayTotals, NanoUsd};
use crate::settings::{Effective, key};

/// The share of a call cap from which calls are degraded, in percent.
const SOFT_PERCENT: i128 = 85;

/// What a cap counts, and thereby which calls it matches. The numbers are places in
/// [`DayTotals::to_array`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// All calls of the deployment.
    Calls = 0,
    /// Calls to models whose name ends in `:free`.
    FreeModels = 1,
    /// Calls to Groq.
    Groq = 2,
    /// Calls to Gemini.
    Gemini = 3,
    /// What all calls cost, in nano-dollars.
    Cost = 5,
}

impl DayTotals {
    /// The sum that a cap with this measure counts.
    pub fn amount(&self, measure: Measure) -> i64 {
        self.to_array()[measure as usize]
    }
}

/// A limit on what a day may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cap {
    /// What it counts.
    pub measure: Measure,
    /// The amount from which all calls are degraded.
    pub soft: Option<i64>,
    /// The amount that is never exceeded.
    pub hard: Option<i64>,
    /// The reason that a refusal names.
    pub reason: Refused,
}

impl Cap {
    /// A cap on a number of calls.
    fn calls(measure: Measure, hard: Option<i64>, reason: Refused) -> Self {
        let soft = |hard: i64| {
            // Rounded up: the least count that is at least this share of the cap.
            let share = (i128::from(hard.max(0)) * SOFT_PERCENT + 99) / 100;
            i64::try_from(share).unwrap_or(i64::MAX)
        };
        Self { measure, soft: hard.map(soft), hard, reason }
    }

    /// Whether it limits this call.
    pub(super) fn matches(&self, call: &DayTotals) -> bool {
        self.measure == Measure::Cost || call.amount(self.measure) > 0
    }

    /// Whether reserved amounts count towards the soft limit. Calls do. Dollars count once they are
    /// spent, because an upper bound says little about what a call will cost.
    pub(super) fn soft_includes_reserved(&self) -> bool {
        self.measure != Measure::Cost
    }

    fn is_soft_reached(&self, day: &DayUse) -> bool {
        let settled = day.settled.amount(self.measure);
        let reserved = day.reserved.amount(self.measure);
        let used =
            if self.soft_includes_reserved() { settled.saturating_add(reserved) } else { settled };
        self.soft.is_some_and(|soft| used >= soft)
    }

    /// The refusal of `call`, if it does not fit.
    fn refusal(&self, day: &DayUse, call: &DayTotals) -> Option<Admission> {
        let hard = self.hard.filter(|_| self.matches(call))?;
        let settled = day.settled.amount(self.measure);
        let with_call = settled.saturating_add(call.amount(self.measure));
        // A budget that is spent to the last nano-dollar admits not even a free call.
        let fits_settled = settled < hard && with_call <= hard;
        let reserved = day.reserved.amount(self.measure);
        let fits = fits_settled && with_call.saturating_add(reserved) <= hard;
        (!fits).then_some(Admission::Refused { reason: self.reason, in_flight: fits_settled })
    }
}

/// The day's caps as the settings name them; `None` is no cap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Caps {
    /// Cost from which calls are degraded.
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

    /// The caps as a list, in the order in which refusals name them.
    pub fn list(&self) -> [Cap; 5] {
        let dollars = Cap {
            measure: Measure::Cost,
            soft: self.soft.map(|soft| soft.0),
            hard: self.hard.map(|hard| hard.0),
            reason: Refused::HardBudgetReached,
        };
        [
            dollars,
            Cap::calls(Measure::Calls, self.total, Refused::MaxCallsTotalReached),
            Cap::calls(
                Measure::FreeModels,
                self.openrouter_free,
                Refused::MaxCallsOpenrouterFreeReached,
            ),
            Cap::calls(Measure::Groq, self.groq, Refused::MaxCallsGroqReached),
            Cap::calls(Measure::Gemini, self.gemini, Refused::MaxCallsGeminiReached),
        ]
    }
}

/// What a day has used, and what is reserved in addition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DayUse {
    /// Calls made and their cost: the sum of the ledger.
    pub settled: DayTotals,
    /// Calls in flight and their upper bounds: the sum of the open leases.
    pub reserved: DayTotals,
    /// The number of changes to `settled`: the larger of two versions is the newer copy.
    pub version: u64,
}

named! {
    /// Why a call was refused.
    pub enum Refused {
        /// The rest of the hard budget cannot pay for the call.
        HardBudgetReached = "hard_budget_reached",
        /// The cap on all calls.
        MaxCallsTotalReached = "max_calls_total_reached",
        /// The cap on free routes.
        MaxCallsOpenrouterFreeReached = "max_calls_openrouter_free_reached",
        /// The cap on Groq.
        MaxCallsGroqReached = "max_calls_groq_reached",
        /// The cap on Gemini.
        MaxCallsGeminiReached = "max_calls_gemini_reached",
    }
}

/// The verdict on a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// The call may be made, and counts as reserved.
    Admitted {
        /// A soft limit is reached: use a smaller model.
        degraded: bool,
    },
    /// The call may not be made.
    Refused {
        /// The cap that refused it.
        reason: Refused,
        /// True if the call would fit once the calls in flight are over at a lower cost: retry
        /// later. False if the cap is used up for the day.
        in_flight: bool,
    },
}

/// When to retry after a refusal that only calls in flight caused.
pub(crate) const RETRY_IN_FLIGHT: Duration = Duration::from_secs(1);

/// Whether a call that adds `call` (one call at its upper bound) fits below all of `caps`.
pub fn admit(caps: &[Cap], day: &DayUse, call: &DayTotals) -> Admission {
    let refusal = caps.iter().find_map(|cap| cap.refusal(day, call));
    refusal.unwrap_or_else(|| Admission::Admitted { degraded: is_degraded(caps, day) })
}

/// Whether the soft limit of one of `caps` is reached on `day`.
pub(crate) fn is_degraded(caps: &[Cap], day: &DayUse) -> bool {
    caps.iter().any(|cap| cap.is_soft_reached(day))
}
