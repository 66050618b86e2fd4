//! Whether the stored sums equal the ledger.

use jiff::civil::Date;
use serde::Serialize;

use super::{CallTotals, DayTotals, DayUse};

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
    pub counter: String,
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
            let (kept, counted) = (&pair.kept, &pair.counted);
            let settled = [kept.settled.to_array(), counted.settled.to_array()];
            let reserved = [kept.reserved.to_array(), counted.reserved.to_array()];
            compare(&mut wrong, &of, "", DayTotals::NAMES, settled);
            compare(&mut wrong, &of, "reserved_", DayTotals::NAMES, reserved);
        }
        for (run_id, Pair { kept, counted }) in &self.runs {
            let sums = [kept.to_array(), counted.to_array()];
            compare(&mut wrong, &format!("run {run_id}"), "", CallTotals::NAMES, sums);
        }
        wrong
    }
}

fn compare<const N: usize>(
    wrong: &mut Vec<Difference>,
    of: &str,
    prefix: &str,
    names: [&str; N],
    [kept, counted]: [[i64; N]; 2],
) {
    for (name, (kept, counted)) in names.into_iter().zip(kept.into_iter().zip(counted)) {
        if kept != counted {
            let unit = if name == "cost" { "_nano_usd" } else { "" };
            let counter = format!("{prefix}{name}{unit}");
            wrong.push(Difference { of: of.to_owned(), counter, kept, counted });
        }
    }
}
