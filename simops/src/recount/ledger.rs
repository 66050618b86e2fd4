//! Recounts the ledger of model calls: its rows in pieces, and in one snapshot those of days that have
//! changed since.

use std::sync::Arc;

use super::{Limits, MAX_RESTARTS, OnProgress, RecountProgress, Stage, disturbed, unknown_outcome};
use crate::Result;
use crate::store::UsageStore;
use crate::usage::{BudgetStore, LedgerScan, Recount, UsageCorrection};

/// Compares the stored sums of model calls with the ledger and the open leases and, if it `corrects`,
/// corrects those that are wrong. Returns what was found before the corrections.
///
/// # Errors
/// Returns `Unavailable` if the database is unavailable, or if others keep correcting the sums.
pub async fn recount_usage<S: UsageStore + ?Sized>(
    store: &S,
    corrects: bool,
    limits: Limits,
    progress: OnProgress<'_>,
) -> Result<Recount> {
    let mut first = None;
    for _ in 0..MAX_RESTARTS {
        let scan = LedgerScan::new(store.ledger_basis().await?);
        let found = recount(store, scan, limits, progress).await?;
        let wrong = UsageCorrection::of(&found, limits.corrections);
        let first = first.get_or_insert(found.clone());
        if !corrects || wrong.is_empty() {
            return Ok(std::mem::take(first));
        }
        // Counted again afterwards: calls that were made meanwhile may have met wrong sums, which stop
        // at zero.
        correct(store, found.revision, wrong).await?;
    }
    Err(disturbed())
}

/// Counts what the ledger says of a budget that was just defined, and marks it as counted. Ends at once
/// if it is counted or there is none.
///
/// # Errors
/// Returns `Unavailable` if the database is unavailable, or if others keep changing budgets. The budget
/// admits no call until this is repeated.
///
/// # Cancel safety
/// A dropped call is repeated as a whole.
pub async fn count_budget<S: UsageStore + BudgetStore + ?Sized>(
    store: &S,
    budget: &str,
    limits: Limits,
    progress: OnProgress<'_>,
) -> Result<()> {
    for _ in 0..MAX_RESTARTS {
        let budgets = store.budgets().await?;
        let Some(budget) = budgets.get(budget).filter(|budget| !budget.counted) else {
            return Ok(());
        };
        let scan = LedgerScan::of_budget(store.ledger_basis().await?, &budget.id);
        let found = recount(store, scan, limits, progress).await?;
        let wrong = UsageCorrection::of_budget(&found, &budget.id, limits.corrections);
        if wrong.is_empty() {
            store.mark_counted(&budget.id, budget.defined).await?;
        } else {
            correct(store, found.revision, wrong).await?;
        }
    }
    Err(disturbed())
}

async fn recount<S: UsageStore + ?Sized>(
    store: &S,
    mut scan: LedgerScan,
    limits: Limits,
    progress: OnProgress<'_>,
) -> Result<Recount> {
    let expected = scan.expected_rows();
    loop {
        let piece =
            store.count_calls(scan.position(), i64::MAX, limits.piece, scan.budgets()).await?;
        if piece.rows == 0 {
            break;
        }
        scan.push(piece);
        let (stage, done) = (Stage::Counting, scan.rows());
        progress(RecountProgress { stage, done, of: expected.max(done) });
    }
    store.finish_recount(Arc::new(scan)).await
}

/// Corrects what is wrong in short transactions, unless another process corrects sums.
async fn correct<S: UsageStore + ?Sized>(
    store: &S,
    mut revision: i64,
    wrong: Vec<UsageCorrection>,
) -> Result<()> {
    for wrong in wrong {
        let corrected = store.correct_usage(revision, Arc::new(wrong)).await;
        let Some(next) = corrected.map_err(unknown_outcome)? else { break };
        revision = next;
    }
    Ok(())
}
