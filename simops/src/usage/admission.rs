//! Admission: whether a call fits below every cap and budget that counts it.
//!
//! A cap or budget is a [`Line`] to a call: what the call adds, what is used, and the limits. [`admit`]
//! compares them. Stores run it inside [`LedgerBatch`](super::LedgerBatch), in the transaction that
//! counts the call; the Redis script `reserve.lua` is the only copy, and the differential test holds it
//! to this one.

use std::sync::Arc;
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

/// A limit of the settings on what a day may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cap {
    /// The id under which it is listed among the budgets.
    pub id: &'static str,
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
    fn calls(id: &'static str, measure: Measure, hard: Option<i64>, reason: Refused) -> Self {
        let soft = |hard: i64| {
            // Rounded up: the least count that is at least this share of the cap.
            let share = (i128::from(hard.max(0)) * SOFT_PERCENT + 99) / 100;
            i64::try_from(share).unwrap_or(i64::MAX)
        };
        Self { id, measure, soft: hard.map(soft), hard, reason }
    }

    /// The setting that it is.
    pub fn setting(&self) -> &'static str {
        match self.measure {
            Measure::Cost => key::BUDGET_HARD,
            Measure::Calls => key::MAX_CALLS_TOTAL,
            Measure::FreeModels => key::MAX_CALLS_OPENROUTER_FREE,
            Measure::Groq => key::MAX_CALLS_GROQ,
            Measure::Gemini => key::MAX_CALLS_GEMINI,
        }
    }

    /// What `call` (one call at what it reserves) meets on `day`.
    pub(super) fn line(&self, day: &DayUse, call: &DayTotals) -> Line<'static> {
        let matches = self.measure == Measure::Cost || call.amount(self.measure) > 0;
        Line {
            id: self.id,
            place: String::new(),
            reason: self.reason,
            adds: matches.then(|| call.amount(self.measure)),
            soft: self.soft,
            hard: self.hard,
            settled: day.settled.amount(self.measure),
            reserved: day.reserved.amount(self.measure),
            soft_includes_reserved: self.measure != Measure::Cost,
            is_counted: true,
        }
    }
}

/// A cap or a budget as one call meets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line<'l> {
    /// The id of the cap or budget.
    pub id: &'l str,
    /// Which of its uses: the window and the value of its key. Empty for a cap.
    pub place: String,
    /// The reason that a refusal names.
    pub reason: Refused,
    /// What the call adds; `None` if it is none of the calls that are limited, which are degraded at
    /// the soft limit all the same.
    pub adds: Option<i64>,
    /// The amount from which calls are degraded.
    pub soft: Option<i64>,
    /// The amount that is never exceeded.
    pub hard: Option<i64>,
    /// What calls in the ledger have used.
    pub settled: i64,
    /// What calls in flight use at most.
    pub reserved: i64,
    /// Whether reserved amounts count towards the soft limit. Calls do. Dollars and tokens count once
    /// they are spent, because a reservation says little about what a call will use.
    pub soft_includes_reserved: bool,
    /// Whether all that was used before is counted. If not, calls wait.
    pub is_counted: bool,
}

impl Line<'_> {
    fn is_soft_reached(&self) -> bool {
        let used = match self.soft_includes_reserved {
            true => self.settled.saturating_add(self.reserved),
            false => self.settled,
        };
        self.soft.is_some_and(|soft| used >= soft)
    }

    /// The refusal of the call, if it does not fit.
    fn refusal(&self) -> Option<Admission> {
        let (hard, adds) = (self.hard?, self.adds?);
        let refused = |reason, in_flight| {
            let (budget, place) = (Arc::from(self.id), Arc::from(self.place.as_str()));
            Some(Admission::Refused { reason, budget, place, in_flight })
        };
        let with_call = self.settled.saturating_add(adds);
        // A budget that is spent to the last nano-dollar admits not even a free call.
        if self.settled >= hard {
            return refused(self.reason, false);
        }
        if adds > hard {
            return refused(Refused::CallExceedsBudget, false);
        }
        if with_call > hard {
            return refused(self.reason, false);
        }
        let fits = self.is_counted && with_call.saturating_add(self.reserved) <= hard;
        if fits { None } else { refused(self.reason, true) }
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
    /// The ids under which the caps of the settings are listed among the budgets, in order.
    pub const IDS: [&'static str; 5] = [
        "llm_daily_budget_usd",
        "llm_max_calls_per_day_gemini",
        "llm_max_calls_per_day_groq",
        "llm_max_calls_per_day_openrouter_free",
        "llm_max_calls_per_day_total",
    ];

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

    /// The caps as a list, in order of id.
    pub fn list(&self) -> [Cap; 5] {
        let [dollars, gemini, groq, free, total] = Self::IDS;
        let free_reached = Refused::MaxCallsOpenrouterFreeReached;
        [
            Cap {
                id: dollars,
                measure: Measure::Cost,
                soft: self.soft.map(|soft| soft.0),
                hard: self.hard.map(|hard| hard.0),
                reason: Refused::HardBudgetReached,
            },
            Cap::calls(gemini, Measure::Gemini, self.gemini, Refused::MaxCallsGeminiReached),
            Cap::calls(groq, Measure::Groq, self.groq, Refused::MaxCallsGroqReached),
            Cap::calls(free, Measure::FreeModels, self.openrouter_free, free_reached),
            Cap::calls(total, Measure::Calls, self.total, Refused::MaxCallsTotalReached),
        ]
    }

    /// What `call` meets on `day`.
    pub(crate) fn lines(&self, day: &DayUse, call: &DayTotals) -> Vec<Line<'static>> {
        self.list().iter().map(|cap| cap.line(day, call)).collect()
    }
}

/// What a day has used, and what is reserved in addition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DayUse {
    /// Calls made and their cost: the sum of the ledger.
    pub settled: DayTotals,
    /// Calls in flight and what they reserve: the sum of the open leases.
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
        /// A budget that is no setting.
        BudgetReached = "budget_reached",
        /// The call by itself may use more than a whole limit.
        CallExceedsBudget = "call_exceeds_budget",
    }
}

/// The verdict on a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    /// The call may be made, and counts as reserved.
    Admitted {
        /// A soft limit is reached: use a smaller model.
        degraded: bool,
    },
    /// The call may not be made.
    Refused {
        /// Why.
        reason: Refused,
        /// The id of the cap or budget that refused it: the first one in order of id.
        budget: Arc<str>,
        /// Which use of it: the window and the value of its key. Empty for a cap.
        place: Arc<str>,
        /// True if the call would fit once the calls in flight are over at a lower cost: retry
        /// later. False if the limit is used up.
        in_flight: bool,
    },
}

/// When to retry after a refusal that only calls in flight caused.
pub(crate) const RETRY_IN_FLIGHT: Duration = Duration::from_secs(1);

/// Whether a call fits below all of `lines`.
pub fn admit(lines: &[Line<'_>]) -> Admission {
    let refused = lines.iter().filter_map(|line| Some((line.id, line.refusal()?)));
    let first = refused.min_by_key(|(id, _)| *id).map(|(_, refusal)| refusal);
    first.unwrap_or_else(|| Admission::Admitted { degraded: is_degraded(lines) })
}

/// Whether the soft limit of one of `lines` is reached.
pub(crate) fn is_degraded(lines: &[Line<'_>]) -> bool {
    lines.iter().any(Line::is_soft_reached)
}
