//! Reads of the usage ledger; verification and rebuild of its sums.

use jiff::Timestamp;
use serde::Serialize;

use super::records::MAX_PAGE;
use super::{Listing, Ops, Writer, bounded, cursor_position};
use crate::Result;
use crate::control::Write;
use crate::recount::{Limits, OnProgress, recount_usage};
use crate::store::UsageFilter;
use crate::usage::UsageRow;
use crate::usage::recount::{Difference, Recount};

/// Which calls to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UsageQuery {
    /// Only of this run.
    pub run_id: Option<String>,
    /// Only those recorded at or after this time.
    pub since: Option<Timestamp>,
    /// The cursor of an earlier page.
    pub cursor: Option<String>,
    /// 1 to 500.
    pub limit: i64,
}

/// What a recount covered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Counted {
    /// Rows of the ledger.
    pub rows: i64,
    /// Rows deleted by `prune`, whose sums are kept.
    pub pruned: i64,
    /// Open leases.
    pub leases: i64,
    /// Days with a row, a lease or a sum.
    pub days: usize,
    /// Runs with a row or a sum.
    pub runs: usize,
}

/// Whether the stored sums equal ledger and open leases.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VerifiedUsage {
    /// Whether all are equal.
    pub ok: bool,
    /// What was counted.
    #[serde(flatten)]
    pub counted: Counted,
    /// The sums that differ.
    pub differences: Vec<Difference>,
}

/// The result of a rebuild of the sums.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RebuiltUsage {
    /// True.
    pub ok: bool,
    /// What was counted.
    #[serde(flatten)]
    pub counted: Counted,
    /// The corrected sums, with old and new value.
    pub repaired: Vec<Difference>,
}

impl Ops {
    /// A page of the usage ledger, in the order in which calls were first recorded.
    ///
    /// # Errors
    /// Returns `Invalid` for a limit outside 1 to 500 and for a malformed cursor.
    pub async fn usage(&self, query: &UsageQuery) -> Result<Listing<UsageRow>> {
        let filter = UsageFilter {
            run_id: query.run_id.clone().filter(|text| !text.is_empty()),
            since: query.since,
            after: cursor_position(query.cursor.as_deref())?,
        };
        let limit = bounded("limit", query.limit, MAX_PAGE)?;
        self.store.usage_rows(&filter, limit).await.map(Listing::from)
    }

    /// Recounts ledger and open leases in pieces and compares the result with the stored sums.
    ///
    /// # Errors
    /// As [`recount_usage`].
    pub async fn verify_usage(&self, progress: OnProgress<'_>) -> Result<VerifiedUsage> {
        let recount = recount_usage(&*self.store, false, Limits::default(), progress).await?;
        let differences = recount.differences();
        let counted = Counted::of(&recount);
        Ok(VerifiedUsage { ok: differences.is_empty(), counted, differences })
    }
}

impl Writer<'_> {
    /// Recounts the usage sums from ledger and leases in pieces and corrects them in short
    /// transactions. If the future is dropped, the corrections that were made stay.
    ///
    /// # Errors
    /// Returns `Forbidden` when the gate is closed; as [`recount_usage`].
    pub async fn rebuild_usage(&self, progress: OnProgress<'_>) -> Result<RebuiltUsage> {
        self.permit(Write::RebuildUsage)?;
        let store = &*self.ops.store;
        let found = recount_usage(store, true, Limits::default(), progress).await?;
        Ok(RebuiltUsage { ok: true, counted: Counted::of(&found), repaired: found.differences() })
    }
}

impl Counted {
    fn of(recount: &Recount) -> Self {
        Self {
            rows: recount.rows,
            pruned: recount.pruned,
            leases: recount.leases,
            days: recount.days.len(),
            runs: recount.runs.len(),
        }
    }
}
