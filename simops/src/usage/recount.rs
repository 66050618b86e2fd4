//! Whether the stored sums equal the ledger.
//!
//! The rows of a large ledger are counted in pieces ([`LedgerScan`]), between which rows are added,
//! replaced and pruned. All of that changes the [`LedgerBasis`] of their days, so that at the end only
//! the pieces with rows of such days must be counted again.

use std::collections::BTreeMap;

use jiff::civil::Date;
use serde::Serialize;

use super::{CallTotals, DayTotals, DayUse, UsageRow};

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
    /// The number of corrections that were made before.
    pub revision: i64,
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

/// What changes with the rows of a day, by day: the version of its sums, and the number of its rows that
/// were pruned.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LedgerBasis {
    /// By day.
    pub days: BTreeMap<Date, (u64, i64)>,
    /// Rows that the stored sums of days count and that are not pruned.
    pub rows: i64,
}

/// Sums of the rows of a day and run.
pub type CallSums = BTreeMap<(Date, Option<String>), (DayTotals, CallTotals)>;

/// A part of the ledger, and its sums.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LedgerPiece {
    /// The place of the row before its first.
    pub after: i64,
    /// The place of its last row.
    pub until: i64,
    /// The number of its rows.
    pub rows: u64,
    /// Its sums.
    pub sums: CallSums,
}

impl LedgerPiece {
    /// The piece of these rows with their places, which follow the place `after`.
    pub fn of(after: i64, rows: &[(i64, UsageRow)]) -> Self {
        let mut piece = Self { after, until: after, ..Self::default() };
        for (place, row) in rows {
            piece.until = *place;
            piece.rows += 1;
            let sums = piece.sums.entry((row.day, row.run_id.clone())).or_default();
            *sums = (sums.0 + DayTotals::of(row), sums.1 + CallTotals::of(row));
        }
        piece
    }
}

/// Pieces of the ledger that were counted one after another.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LedgerScan {
    basis: LedgerBasis,
    pieces: Vec<LedgerPiece>,
    rows: u64,
}

impl LedgerScan {
    /// A scan that begins at this basis.
    pub fn new(basis: LedgerBasis) -> Self {
        Self { basis, ..Self::default() }
    }

    /// The place of the last row that was counted.
    pub fn position(&self) -> i64 {
        self.pieces.last().map_or(0, |piece| piece.until)
    }

    /// Adds the piece after [`position`](Self::position).
    pub fn push(&mut self, piece: LedgerPiece) {
        self.rows += piece.rows;
        self.pieces.push(piece);
    }

    /// The number of rows that were counted.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The number of rows to count, if the stored sums are right.
    pub fn expected_rows(&self) -> u64 {
        u64::try_from(self.basis.rows).unwrap_or_default()
    }

    /// The pieces, each with whether it must be counted again because a day of its rows has changed.
    pub fn pieces(&self, now: &LedgerBasis) -> impl Iterator<Item = (&LedgerPiece, bool)> {
        self.pieces.iter().map(|piece| {
            let has_changed = |(day, _): &(Date, _)| self.basis.days.get(day) != now.days.get(day);
            (piece, piece.sums.keys().any(has_changed))
        })
    }
}

/// Wrong sums to correct.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UsageCorrection {
    /// Of days.
    pub days: Vec<(Date, Pair<DayUse>)>,
    /// Of runs.
    pub runs: Vec<(String, Pair<CallTotals>)>,
}

impl UsageCorrection {
    /// The corrections that a recount asks for, each of at most about `limit` sums.
    pub fn of(found: &Recount, limit: usize) -> Vec<Self> {
        let days = found.days.iter().filter(|(_, pair)| pair.kept != pair.counted);
        let runs = found.runs.iter().filter(|(_, pair)| pair.kept != pair.counted);
        let (days, runs): (Vec<_>, Vec<_>) = (days.cloned().collect(), runs.cloned().collect());
        let of_days = days.chunks(limit).map(|days| Self { days: days.to_vec(), runs: Vec::new() });
        let of_runs = runs.chunks(limit).map(|runs| Self { days: Vec::new(), runs: runs.to_vec() });
        of_days.chain(of_runs).collect()
    }

    /// The right sums of a day that are now `kept`. What was counted since moved both alike.
    pub fn day(pair: &Pair<DayUse>, kept: DayUse) -> DayUse {
        let of =
            |pair: [DayTotals; 3]| DayTotals::from_array(corrected(pair.map(|t| t.to_array())));
        DayUse {
            settled: of([pair.kept.settled, pair.counted.settled, kept.settled]),
            reserved: of([pair.kept.reserved, pair.counted.reserved, kept.reserved]),
            version: kept.version + 1,
        }
    }

    /// The right sums of a run that are now `kept`.
    pub fn run(pair: &Pair<CallTotals>, kept: CallTotals) -> CallTotals {
        let sums = [pair.kept, pair.counted, kept];
        CallTotals::from_array(corrected(sums.map(|totals| totals.to_array())))
    }
}

fn corrected<const N: usize>([before, counted, now]: [[i64; N]; 3]) -> [i64; N] {
    let mut sums = now;
    for (sum, (before, counted)) in sums.iter_mut().zip(before.into_iter().zip(counted)) {
        let right = i128::from(*sum) + i128::from(counted) - i128::from(before);
        *sum = i64::try_from(right).unwrap_or(if right < 0 { i64::MIN } else { i64::MAX });
    }
    sums
}
