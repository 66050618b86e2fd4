//! Whether the stored sums equal the ledger.
//!
//! The rows of a large ledger are counted in pieces ([`LedgerScan`]), between which rows are added,
//! replaced and pruned. All of that changes the [`LedgerBasis`] of their days, so that at the end only
//! the pieces with rows of such days must be counted again.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::civil::Date;
use serde::Serialize;

use super::{
    Amounts, BudgetUse, Budgets, CallFacts, CallTotals, DayTotals, DayUse, UsageRow, UseKey,
};

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
    /// Every use of a budget that a row or a lease counts towards or that is stored, in order.
    pub uses: Vec<(UseKey, Pair<BudgetUse>)>,
}

/// A stored sum that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The day, run or use of a budget.
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
        for (key, Pair { kept, counted }) in &self.uses {
            let UseKey { budget, period, part } = key;
            let of = format!("budget {budget} {period} {part}");
            let sums = [kept, counted].map(|used| [used.settled, used.reserved]);
            compare(&mut wrong, of.trim_end(), "", ["spent", "reserved"], sums);
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
    /// The budgets whose uses are counted, with the groups of runs.
    pub budgets: Arc<Budgets>,
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
    /// What its calls have used of budgets.
    pub uses: BTreeMap<UseKey, i64>,
}

impl LedgerPiece {
    /// The piece of these rows with their places, which follow the place `after`.
    pub fn of(after: i64, rows: &[(i64, UsageRow)], budgets: &Budgets) -> Self {
        let mut piece = Self { after, until: after, ..Self::default() };
        for (place, row) in rows {
            piece.until = *place;
            piece.rows += 1;
            let sums = piece.sums.entry((row.day, row.run_id.clone())).or_default();
            *sums = (sums.0 + DayTotals::of(row), sums.1 + CallTotals::of(row));
            for (key, amount) in budgets.amounts_of_row(row) {
                let used = piece.uses.entry(key).or_default();
                *used = used.saturating_add(amount);
            }
        }
        piece
    }
}

/// Pieces of the ledger that were counted one after another.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LedgerScan {
    basis: LedgerBasis,
    /// The only budget whose uses are counted; `None`: all.
    budget: Option<String>,
    pieces: Vec<LedgerPiece>,
    rows: u64,
}

impl LedgerScan {
    /// A scan that begins at this basis.
    pub fn new(basis: LedgerBasis) -> Self {
        Self { basis, ..Self::default() }
    }

    /// A scan that begins at this basis and counts the uses of one budget alone.
    pub fn of_budget(basis: LedgerBasis, budget: &str) -> Self {
        let mut scan = Self { basis, budget: Some(budget.to_owned()), ..Self::default() };
        scan.basis.budgets = Arc::new(scan.narrowed(Budgets::clone(&scan.basis.budgets)));
        scan
    }

    /// Those of `budgets` whose uses are counted.
    pub fn narrowed(&self, mut budgets: Budgets) -> Budgets {
        Arc::make_mut(&mut budgets.list)
            .retain(|budget| self.budget.as_ref().is_none_or(|only| *only == budget.id));
        budgets
    }

    /// The place of the last row that was counted.
    pub fn position(&self) -> i64 {
        self.pieces.last().map_or(0, |piece| piece.until)
    }

    /// The budgets whose uses are counted.
    pub fn budgets(&self) -> &Arc<Budgets> {
        &self.basis.budgets
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

    /// The pieces, each with whether it must be counted again because a day of its rows has changed, or
    /// the budgets.
    pub fn pieces(&self, now: &LedgerBasis) -> impl Iterator<Item = (&LedgerPiece, bool)> {
        let other_budgets = self.basis.budgets.list != now.budgets.list;
        self.pieces.iter().map(move |piece| {
            let has_changed = |(day, _): &(Date, _)| self.basis.days.get(day) != now.days.get(day);
            (piece, other_budgets || piece.sums.keys().any(has_changed))
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
    /// Of uses of budgets.
    pub uses: Vec<(UseKey, Pair<BudgetUse>)>,
}

impl UsageCorrection {
    /// The corrections that a recount asks for, each of at most about `limit` sums.
    pub fn of(found: &Recount, limit: usize) -> Vec<Self> {
        let days = wrong(&found.days, limit).map(|days| Self { days, ..Self::default() });
        let runs = wrong(&found.runs, limit).map(|runs| Self { runs, ..Self::default() });
        let uses = wrong(&found.uses, limit).map(|uses| Self { uses, ..Self::default() });
        days.chain(runs).chain(uses).collect()
    }

    /// The corrections of the uses of one budget alone.
    pub fn of_budget(found: &Recount, budget: &str, limit: usize) -> Vec<Self> {
        let uses = found.uses.iter().filter(|(key, _)| key.budget == budget).cloned();
        let uses: Vec<_> = uses.collect();
        wrong(&uses, limit).map(|uses| Self { uses, ..Self::default() }).collect()
    }

    /// The right sums of a use of a budget that is now `kept`.
    pub fn budget_use(pair: &Pair<BudgetUse>, kept: BudgetUse) -> BudgetUse {
        let sums = [pair.kept, pair.counted, kept].map(|used| [used.settled, used.reserved]);
        let [settled, reserved] = corrected(sums);
        BudgetUse { settled, reserved, version: kept.version + 1, ..kept }
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

/// The sums that are wrong, in pieces.
fn wrong<K: Clone, T: Clone + PartialEq>(
    all: &[(K, Pair<T>)],
    limit: usize,
) -> impl Iterator<Item = Vec<(K, Pair<T>)>> {
    let wrong = all.iter().filter(|(_, pair)| pair.kept != pair.counted).cloned();
    let wrong: Vec<_> = wrong.collect();
    let pieces: Vec<_> = wrong.chunks(limit.max(1)).map(<[_]>::to_vec).collect();
    pieces.into_iter()
}

/// The facts of calls of which only the sums per day and run are left, as budgets see them that
/// [are summed by run](super::Budget::is_summed_by_run).
pub(crate) fn pruned_uses(
    budgets: &Budgets,
    day: Date,
    run_id: Option<&str>,
    sums: &CallTotals,
) -> Vec<(UseKey, i64)> {
    let call = CallFacts::of_run("", day);
    let call = CallFacts { run_id: run_id.map(Cow::Borrowed), ..call };
    let CallTotals { calls, total_tokens: tokens, cost, .. } = *sums;
    let amounts = Amounts { calls, tokens, cost };
    let uses = budgets.uses(&call).into_iter().filter(|(budget, _)| budget.is_summed_by_run());
    uses.map(|(budget, key)| (key, amounts.of(budget.unit))).collect()
}

fn corrected<const N: usize>([before, counted, now]: [[i64; N]; 3]) -> [i64; N] {
    let mut sums = now;
    for (sum, (before, counted)) in sums.iter_mut().zip(before.into_iter().zip(counted)) {
        let right = i128::from(*sum) + i128::from(counted) - i128::from(before);
        *sum = i64::try_from(right).unwrap_or(if right < 0 { i64::MIN } else { i64::MAX });
    }
    sums
}
