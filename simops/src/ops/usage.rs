//! The usage ledger: reading it, and whether the sums kept of it are right.

use jiff::Timestamp;
use jiff::civil::Date;
use serde::Serialize;
use uuid::Uuid;

use super::records::MAX_PAGE;
use super::{Ops, bounded, place};
use crate::Result;
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
    /// Where an earlier page ended.
    pub cursor: Option<String>,
    /// 1 to 500.
    pub limit: i64,
}

/// A page of the ledger.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct UsageResponse {
    /// The calls, in the order in which they were first recorded.
    pub items: Vec<UsageItem>,
    /// Pass it as `cursor` for those that follow; null at the end.
    pub next_cursor: Option<String>,
}

/// A row of the ledger as it is shown.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct UsageItem {
    /// Its id.
    pub id: Uuid,
    /// When it was recorded.
    pub created_at: Timestamp,
    /// The UTC day it counts for.
    pub day: Date,
    /// The run it was made for.
    pub run_id: Option<String>,
    /// The agent it was made for.
    pub agent_id: Option<i64>,
    /// The agent's checkpoint.
    pub checkpoint: Option<i64>,
    /// The provider.
    pub provider: String,
    /// The model asked for.
    pub model_requested: String,
    /// The model that answered.
    pub model_resolved: Option<String>,
    /// Tokens sent.
    pub input_tokens: i64,
    /// Those of them that the provider had cached.
    pub cached_input_tokens: i64,
    /// Tokens received.
    pub output_tokens: i64,
    /// Those of them that were reasoning.
    pub reasoning_tokens: i64,
    /// What it cost, in USD.
    pub cost_usd: f64,
    /// Whether the price book knew the model.
    pub priced: bool,
    /// Whether it answered.
    pub success: bool,
    /// Whether it was degraded or took a later route.
    pub fallback_used: bool,
    /// How long it took, in milliseconds.
    pub latency_ms: i64,
    /// What failed.
    pub error_type: Option<String>,
}

/// How much was counted anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Counted {
    /// Rows of the ledger.
    pub rows: i64,
    /// Rows that `prune` deleted, counted by what was kept of them.
    pub pruned: i64,
    /// Open leases.
    pub leases: i64,
    /// Days with a row, a lease or a sum.
    pub days: usize,
    /// Runs with a row or a sum.
    pub runs: usize,
}

/// Whether the sums kept equal ledger and open leases.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VerifiedUsage {
    /// Whether all do.
    pub ok: bool,
    /// How much was counted.
    #[serde(flatten)]
    pub counted: Counted,
    /// The sums that do not.
    pub differences: Vec<Difference>,
}

/// What a rebuild of the sums put right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RebuiltUsage {
    /// True.
    pub ok: bool,
    /// How much was counted.
    #[serde(flatten)]
    pub counted: Counted,
    /// The sums that were wrong, as they were and as they are now.
    pub repaired: Vec<Difference>,
}

impl Ops {
    /// A page of the usage ledger.
    ///
    /// # Errors
    /// `Invalid` for a limit outside 1 to 500 or a cursor that is none.
    pub async fn usage(&self, query: &UsageQuery) -> Result<UsageResponse> {
        let filter = UsageFilter {
            run_id: query.run_id.clone().filter(|text| !text.is_empty()),
            since: query.since,
            after: place(query.cursor.as_deref())?,
        };
        let page = self.store.usage_rows(&filter, bounded("limit", query.limit, MAX_PAGE)?).await?;
        let next_cursor = page.next.map(|place| place.to_string());
        Ok(UsageResponse {
            items: page.items.into_iter().map(UsageItem::from).collect(),
            next_cursor,
        })
    }

    /// Counts ledger and open leases anew and compares that with the sums kept.
    ///
    /// # Errors
    /// Of the store.
    pub async fn verify_usage(&self) -> Result<VerifiedUsage> {
        let recount = self.store.recount().await?;
        let differences = recount.differences();
        let counted = Counted::of(&recount);
        Ok(VerifiedUsage { ok: differences.is_empty(), counted, differences })
    }

    /// Counts anew and puts every sum right, in one transaction.
    ///
    /// # Errors
    /// `Forbidden` when the write gate is closed.
    pub async fn rebuild_usage(&self) -> Result<RebuiltUsage> {
        self.check_writable()?;
        let found = self.store.rebuild_usage().await?;
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

impl From<UsageRow> for UsageItem {
    fn from(row: UsageRow) -> Self {
        Self {
            id: row.id,
            created_at: row.created_at,
            day: row.day,
            run_id: row.run_id,
            agent_id: row.agent_id,
            checkpoint: row.checkpoint,
            provider: row.provider,
            model_requested: row.model_requested,
            model_resolved: row.model_resolved,
            input_tokens: row.input_tokens,
            cached_input_tokens: row.cached_input_tokens,
            output_tokens: row.output_tokens,
            reasoning_tokens: row.reasoning_tokens,
            cost_usd: row.cost.dollars(),
            priced: row.priced,
            success: row.success,
            fallback_used: row.fallback_used,
            latency_ms: row.latency_ms,
            error_type: row.error_type,
        }
    }
}
