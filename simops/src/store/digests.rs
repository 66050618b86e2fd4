//! Digests and reports: texts about what happened. A digest is written by the control commit that
//! carries it, so that it and its audit row are one.

use async_trait::async_trait;
use jiff::Timestamp;
use jiff::civil::Date;
use serde_json::Value;

use super::Page;
use crate::Result;
use crate::digest::{Digest, DigestStatus};
use crate::run::RunRecord;

/// Digests. They are put by [`ControlStore::commit`](super::ControlStore::commit).
#[async_trait]
pub trait DigestStore: Send + Sync {
    /// The digest of that name.
    async fn digest(&self, slug: &str) -> Result<Option<Digest>>;

    /// Every digest of an anchor date, discarded ones too, in the order in which they were made.
    async fn digests_of(&self, anchor: Date) -> Result<Vec<Digest>>;

    /// Digests, newest first, of any status or of one; those before the place `before`, if given. A
    /// digest whose status changes keeps its place.
    async fn digests(
        &self,
        status: Option<DigestStatus>,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Page<Digest>>;
}

/// What is kept of a run that has ended.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredReport {
    /// The run.
    pub run_id: String,
    /// The end it is about: a run that goes on after a guardrail's stop ends more than once.
    pub ended_at: Timestamp,
    /// The report.
    pub body: Value,
    /// When it was written.
    pub created_at: Timestamp,
}

/// Reports of runs.
#[async_trait]
pub trait ReportStore: Send + Sync {
    /// Keeps the report of an end, unless there is one: the first stays. Whether it was kept.
    async fn put_report(&self, report: &StoredReport) -> Result<bool>;

    /// The report of an end of a run.
    async fn report_of(&self, run_id: &str, ended_at: Timestamp) -> Result<Option<StoredReport>>;

    /// The ends of a run that have a report, oldest first.
    async fn report_ends(&self, run_id: &str) -> Result<Vec<Timestamp>>;

    /// Runs that have ended and have no report of that end, oldest end first, at most `limit`.
    async fn runs_without_report(&self, limit: usize) -> Result<Vec<RunRecord>>;
}
