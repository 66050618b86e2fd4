//! Whether the stored sums equal the ledger.

use jiff::civil::Date;
use serde::Serialize;

use super::budget::CallTotals;
use super::{DayTotals, DayUse};

/// A sum as stored, and as counted again from the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pair<T> {
    /// As stored.
    pub kept: T,
    /// As the ledger and the open leases add up.
    pub counted: T,
}

impl<T: Copy> Pair<T> {
    /// A correct sum.
    pub fn of(sum: T) -> Self {
        Self { kept: sum, counted: sum }
    }
}

/// All stored sums, and what they should be, at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recount {
    /// Rows of the ledger.
    pub rows: i64,
    /// Rows that were deleted as old. Their sums are included.
    pub pruned: i64,
    /// Open leases.
    pub leases: i64,
    /// Every day that has a row, a lease or a sum, in order.
    pub days: Vec<(Date, Pair<DayUse>)>,
    /// Every run that has a row or a sum, in order.
    pub runs: Vec<(String, Pair<CallTotals>)>,
}

/// A stored sum that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The day or run.
    pub of: String,
    /// The name of the sum. Money is in billionths of a US dollar.
    pub counter: &'static str,
    /// Its stored value.
    pub kept: i64,
    /// Its correct value.
    pub counted: i64,
}

impl Recount {
    /// The sums that are wrong.
    pub fn differences(&self) -> Vec<Difference> {
        let mut wrong = Vec::new();
        for (day, pair) in &self.days {
            let of = format!("day {day}");
            compare(&mut wrong, &of, settled(&pair.kept.settled), settled(&pair.counted.settled));
            compare(
                &mut wrong,
                &of,
                reserved(&pair.kept.reserved),
                reserved(&pair.counted.reserved),
            );
        }
        for (run_id, pair) in &self.runs {
            compare(&mut wrong, &format!("run {run_id}"), run(&pair.kept), run(&pair.counted));
        }
        wrong
    }
}

type Named<const N: usize> = [(&'static str, i64); N];

fn compare<const N: usize>(
    wrong: &mut Vec<Difference>,
    of: &str,
    kept: Named<N>,
    counted: Named<N>,
) {
    for ((counter, kept), (_, counted)) in kept.into_iter().zip(counted) {
        if kept != counted {
            wrong.push(Difference { of: of.to_owned(), counter, kept, counted });
        }
    }
}

fn settled(totals: &DayTotals) -> Named<6> {
    [
        ("calls_total", totals.calls_total),
        ("calls_openrouter_free", totals.calls_openrouter_free),
        ("calls_groq", totals.calls_groq),
        ("calls_gemini", totals.calls_gemini),
        ("calls_unpriced", totals.calls_unpriced),
        ("cost_nano_usd", totals.cost.0),
    ]
}

fn reserved(totals: &DayTotals) -> Named<6> {
    [
        ("reserved_calls_total", totals.calls_total),
        ("reserved_calls_openrouter_free", totals.calls_openrouter_free),
        ("reserved_calls_groq", totals.calls_groq),
        ("reserved_calls_gemini", totals.calls_gemini),
        ("reserved_calls_unpriced", totals.calls_unpriced),
        ("reserved_cost_nano_usd", totals.cost.0),
    ]
}

fn run(totals: &CallTotals) -> Named<5> {
    [
        ("calls", totals.calls),
        ("success_calls", totals.success_calls),
        ("fallback_calls", totals.fallback_calls),
        ("total_tokens", totals.total_tokens),
        ("cost_nano_usd", totals.cost.0),
    ]
}
