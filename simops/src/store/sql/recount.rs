//! The parts of a recount of the ledger and the open leases.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::civil::Date;

use super::budget_rows::{ReadBudgets, USE_COLUMNS, budget_use, put_budget_use};
use super::counter::lock_counter;
use super::usage::{
    DAY_USE_COLUMNS, RUN_TOTALS_COLUMNS, USAGE_COLUMNS, all_leases, day_use, pruned_calls,
    put_day_use, put_run_totals, run_totals,
};
use super::{LATER_OF_CALLS, PrunedCalls, SqlOperation, SqlTx, Statement, count};
use crate::usage::recount::pruned_uses;
use crate::usage::{
    BudgetUse, Budgets, CallSums, CallTotals, DayUse, Lease, LedgerBasis, LedgerPiece, LedgerScan,
    Pair, Recount, UsageCorrection, UsageRow, UseKey,
};

/// Rows of the ledger that are read at once.
const PIECE: usize = 10_000;

/// The number of corrections; 0 in a schema of an earlier version, where the name means the column of
/// the outer query.
const CORRECTIONS: &str = "SELECT (SELECT corrections FROM fence) \
                           FROM (SELECT CAST(0 AS BIGINT) AS corrections) AS earlier";

/// Reads what changes with the rows of each day.
pub struct ReadLedgerBasis;

impl SqlOperation for ReadLedgerBasis {
    type Output = LedgerBasis;

    async fn run<T: SqlTx>(&self, tx: &mut T) -> Result<LedgerBasis, T::Error> {
        let budgets = ReadBudgets { with_groups: true }.run(tx).await?;
        Ok(basis(&stored_days(tx).await?, &tx.fetch_all(&pruned_calls()).await?, budgets))
    }
}

/// Counts at most `limit` rows of the ledger whose place is after one and up to another.
pub struct CountCalls {
    /// The place of the row before the first.
    pub after: i64,
    /// The last place.
    pub until: i64,
    /// The most rows to count.
    pub limit: usize,
    /// The budgets whose uses are counted.
    pub budgets: Arc<Budgets>,
}

impl SqlOperation for CountCalls {
    type Output = LedgerPiece;

    fn is_long(&self) -> bool {
        true
    }

    async fn run<T: SqlTx>(&self, tx: &mut T) -> Result<LedgerPiece, T::Error> {
        let place = T::PLACE;
        let rows = Statement::new(format!(
            "SELECT {place}, {USAGE_COLUMNS} FROM usage{LATER_OF_CALLS} \
             WHERE {place} > $1 AND {place} <= $2 ORDER BY {place} LIMIT $3"
        ));
        let rows = rows.bind(self.after).bind(self.until).bind(count(self.limit));
        let rows: Vec<(i64, UsageRow)> = tx.fetch_all(&rows).await?;
        Ok(LedgerPiece::of(self.after, &rows, &self.budgets))
    }
}

/// Completes a scan of the ledger and compares it with all stored sums.
pub struct FinishRecount(pub Arc<LedgerScan>);

impl SqlOperation for FinishRecount {
    type Output = Recount;

    fn is_long(&self) -> bool {
        true
    }

    async fn run<T: SqlTx>(&self, tx: &mut T) -> Result<Recount, T::Error> {
        let (kept, pruned) = (stored_days(tx).await?, tx.fetch_all(&pruned_calls()).await?);
        let budgets = ReadBudgets { with_groups: true }.run(tx).await?;
        let now = basis(&kept, &pruned, self.0.narrowed(budgets));
        let mut sums = Sums::default();
        for (piece, has_changed) in self.0.pieces(&now) {
            if has_changed {
                let limit = PIECE.max(usize::try_from(piece.rows).unwrap_or(PIECE));
                let (after, until) = (piece.after, piece.until);
                let budgets = Arc::clone(&now.budgets);
                let again = CountCalls { after, until, limit, budgets };
                sums.add(&again.run(tx).await?);
            } else {
                sums.add(piece);
            }
        }
        let mut after = self.0.position();
        loop {
            let budgets = Arc::clone(&now.budgets);
            let new = CountCalls { after, until: i64::MAX, limit: PIECE, budgets };
            let new = new.run(tx).await?;
            if new.rows == 0 {
                break;
            }
            after = new.until;
            sums.add(&new);
        }
        sums.compare(tx, kept, pruned, &now.budgets).await
    }
}

/// The sums of the ledger.
#[derive(Default)]
struct Sums {
    rows: u64,
    days: BTreeMap<Date, Pair<DayUse>>,
    runs: BTreeMap<String, Pair<CallTotals>>,
    uses: BTreeMap<UseKey, Pair<BudgetUse>>,
}

impl Sums {
    fn add(&mut self, piece: &LedgerPiece) {
        self.rows += piece.rows;
        self.add_sums(&piece.sums);
        for (key, amount) in &piece.uses {
            self.add_use(key.clone(), *amount);
        }
    }

    fn add_use(&mut self, key: UseKey, amount: i64) {
        let used = &mut self.uses.entry(key).or_default().counted;
        used.settled = used.settled.saturating_add(amount);
    }

    fn add_sums(&mut self, sums: &CallSums) {
        for ((day, run_id), (of_day, of_run)) in sums {
            let day = &mut self.days.entry(*day).or_default().counted;
            day.settled = day.settled + *of_day;
            if let Some(run_id) = run_id {
                let run = &mut self.runs.entry(run_id.clone()).or_default().counted;
                *run = *run + *of_run;
            }
        }
    }

    /// Adds what is pruned, the open leases, and the stored sums.
    async fn compare<T: SqlTx>(
        mut self,
        tx: &mut T,
        kept: Vec<(Date, DayUse)>,
        pruned: Vec<PrunedCalls>,
        budgets: &Budgets,
    ) -> Result<Recount, T::Error> {
        let mut pruned_rows: i64 = 0;
        for gone in pruned {
            pruned_rows = pruned_rows.saturating_add(gone.of_run.calls);
            let run_id = gone.run_id.as_deref();
            for (key, amount) in pruned_uses(budgets, gone.day, run_id, &gone.of_run) {
                self.add_use(key, amount);
            }
            let key = (gone.day, gone.run_id);
            self.add_sums(&CallSums::from([(key, (gone.of_day, gone.of_run))]));
        }
        let open: Vec<Lease> = tx.fetch_all(&all_leases()).await?;
        for lease in &open {
            let day = &mut self.days.entry(lease.day).or_default().counted;
            day.reserved = day.reserved + Lease::totals(lease);
            for (key, amount) in budgets.amounts_of_lease(lease) {
                let used = &mut self.uses.entry(key).or_default().counted;
                used.reserved = used.reserved.saturating_add(amount);
            }
        }
        for (day, kept) in kept {
            let pair = self.days.entry(day).or_default();
            pair.counted.version = kept.version;
            pair.kept = kept;
        }
        let kept = Statement::new(format!("SELECT run_id, {RUN_TOTALS_COLUMNS} FROM usage_runs"));
        for (run_id, kept) in tx.fetch_all::<(String, CallTotals)>(&kept).await? {
            self.runs.entry(run_id).or_default().kept = kept;
        }
        if !budgets.list.is_empty() {
            let kept = format!("SELECT {USE_COLUMNS} FROM budget_use");
            let kept = match budgets.list.as_slice() {
                [budget] => Statement::new(format!("{kept} WHERE budget = $1")).bind(&budget.id),
                _ => Statement::new(kept),
            };
            for (key, kept) in tx.fetch_all::<(UseKey, BudgetUse)>(&kept).await? {
                let pair = self.uses.entry(key).or_default();
                let counted = &mut pair.counted;
                counted.settled = counted.settled.saturating_add(kept.pruned);
                (counted.pruned, counted.version) = (kept.pruned, kept.version);
                pair.kept = kept;
            }
        }
        Ok(Recount {
            revision: tx.fetch_one(&Statement::new(CORRECTIONS)).await?,
            rows: self.rows.cast_signed(),
            pruned: pruned_rows,
            leases: count(open.len()),
            days: self.days.into_iter().collect(),
            runs: self.runs.into_iter().collect(),
            uses: self.uses.into_iter().collect(),
        })
    }
}

async fn stored_days<T: SqlTx>(tx: &mut T) -> Result<Vec<(Date, DayUse)>, T::Error> {
    tx.fetch_all(&Statement::new(format!("SELECT day, {DAY_USE_COLUMNS} FROM usage_days"))).await
}

fn basis(days: &[(Date, DayUse)], pruned: &[PrunedCalls], budgets: Budgets) -> LedgerBasis {
    let mut basis = LedgerBasis { budgets: Arc::new(budgets), ..LedgerBasis::default() };
    for (day, kept) in days {
        basis.days.entry(*day).or_default().0 = kept.version;
        basis.rows = basis.rows.saturating_add(kept.settled.calls_total);
    }
    for gone in pruned {
        basis.days.entry(gone.day).or_default().1 += gone.of_run.calls;
        basis.rows = basis.rows.saturating_sub(gone.of_run.calls);
    }
    basis
}

/// Corrects sums, unless others have corrected some since the recount.
pub struct CorrectUsage {
    /// The revision that the recount has found.
    pub revision: i64,
    /// What is wrong.
    pub wrong: Arc<UsageCorrection>,
}

impl SqlOperation for CorrectUsage {
    type Output = Option<i64>;

    fn is_repeatable(&self) -> bool {
        // One that was made is found by its revision.
        true
    }

    fn is_long(&self) -> bool {
        true
    }

    async fn run<T: SqlTx>(&self, tx: &mut T) -> Result<Option<i64>, T::Error> {
        lock_counter(tx).await?;
        let next = "UPDATE fence SET corrections = corrections + 1 WHERE corrections = $1";
        if tx.execute(&Statement::new(next).bind(self.revision)).await? == 0 {
            return Ok(None);
        }
        for (day, pair) in &self.wrong.days {
            let kept = tx.fetch_optional(&day_use(*day)).await?.unwrap_or_default();
            tx.execute(&put_day_use(*day, &UsageCorrection::day(pair, kept))).await?;
        }
        for (run_id, pair) in &self.wrong.runs {
            let kept = tx.fetch_optional(&run_totals(run_id)).await?.unwrap_or_default();
            tx.execute(&put_run_totals(run_id, &UsageCorrection::run(pair, kept))).await?;
        }
        for (key, pair) in &self.wrong.uses {
            let kept = tx.fetch_optional(&budget_use(key)).await?.unwrap_or_default();
            let right = UsageCorrection::budget_use(pair, kept);
            tx.execute(&put_budget_use(key, &right)).await?;
        }
        Ok(Some(self.revision + 1))
    }
}
