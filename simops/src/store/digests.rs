//! Storage of digests and run reports.

use async_trait::async_trait;
use jiff::Timestamp;
use jiff::civil::Date;
use serde_json::Value;

use super::Page;
use crate::Result;
use crate::digest::{Digest, DigestStatus};
use crate::run::RunRecord;

/// Digests. [`ControlStore::commit`](super::ControlStore::commit) writes them, so that a digest and
/// its audit row are one transaction.
#[async_trait]
pub trait DigestStore: Send + Sync {
    /// The digest with this slug.
    async fn digest(&self, slug: &str) -> Result<Option<Digest>>;

    /// All digests of an anchor date, including discarded ones, in the order of creation.
    async fn digests_of(&self, anchor: Date) -> Result<Vec<Digest>>;

    /// Lists digests, newest first, optionally of one status. `before` is the cursor of an earlier
    /// page. A status change does not change the position of a digest.
    async fn digests(
        &self,
        status: Option<DigestStatus>,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Page<Digest>>;
}

/// A stored report of an ended run.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredReport {
    /// The run.
    pub run_id: String,
    /// The end that the report is about. A run that was resumed after a guardrail stop has several.
    pub ended_at: Timestamp,
    /// The report as JSON.
    pub body: Value,
    /// When it was written.
    pub created_at: Timestamp,
}

/// Reports of runs.
#[async_trait]
pub trait ReportStore: Send + Sync {
    /// Stores the report of a run's end. Returns false, and changes nothing, if there is one.
    async fn put_report(&self, report: &StoredReport) -> Result<bool>;

    /// The report of a run's end.
    async fn report_of(&self, run_id: &str, ended_at: Timestamp) -> Result<Option<StoredReport>>;

    /// The ends of a run for which a report exists, oldest first.
    async fn report_ends(&self, run_id: &str) -> Result<Vec<Timestamp>>;

    /// Ended runs without a report of their latest end, earliest end first, at most `limit`.
    async fn runs_without_report(&self, limit: usize) -> Result<Vec<RunRecord>>;
}
