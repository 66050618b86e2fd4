//! Control state, run registry, audit trail and idempotency records: the contents of one commit.

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio::sync::watch;

use super::{DiskSpace, Page};
use crate::Result;
use crate::control::{AuditRow, Change, ControlState};
use crate::run::RunRecord;

/// A caller's key for one write: repeating the write with it repeats the response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// The key, at most 255 characters.
    pub key: String,
    /// A hash of operation and body. The same key with another fingerprint is refused.
    pub fingerprint: String,
}

/// The first response to a write with an idempotency key.
#[derive(Debug, Clone, PartialEq)]
pub struct IdempotencyRecord {
    /// The fingerprint of the request.
    pub fingerprint: String,
    /// The response, success or refusal, as [`crate::ops`] encodes it.
    pub answer: Value,
    /// When it was stored.
    pub created_at: Timestamp,
}

/// How long a response is kept under its idempotency key. After that the key is free.
pub const IDEMPOTENCY_PERIOD: SignedDuration = SignedDuration::from_hours(24);

impl IdempotencyRecord {
    /// Records that were stored at this time or before have expired at `now`.
    pub fn expired_since(now: Timestamp) -> Timestamp {
        now.checked_sub(IDEMPOTENCY_PERIOD).unwrap_or(Timestamp::MIN)
    }

    /// Whether its key is free again at `now`.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.created_at <= Self::expired_since(now)
    }
}

/// The outcome of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Commit {
    /// It is durable.
    Done,
    /// The generation is not the expected one, or the idempotency key has a response that had not
    /// expired when the new one was created: nothing changed, decide again.
    Conflict,
}

/// Selects the runs to list.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RunFilter {
    /// Only runs of this group.
    pub group_id: Option<String>,
    /// Only runs with all of these labels: names and values.
    pub labels: Vec<(String, String)>,
    /// Only runs that are listed after this position: the cursor of an earlier page.
    pub before: Option<i64>,
    /// The maximum number of runs.
    pub limit: usize,
}

impl RunFilter {
    /// A page of all runs.
    pub fn page(before: Option<i64>, limit: usize) -> Self {
        Self { before, limit, ..Self::default() }
    }

    /// Whether it selects `run`, whatever the page.
    pub fn matches(&self, run: &RunRecord) -> bool {
        let has = |(name, value): &(String, String)| run.labels.get(name) == Some(value);
        let of_group = self.group_id.is_none() || self.group_id == run.group_id;
        of_group && self.labels.iter().all(has)
    }
}

/// A page of the audit trail.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditPage {
    /// The number of all rows.
    pub count: i64,
    /// The rows of the page, newest first.
    pub items: Vec<AuditRow>,
}

/// Control state and everything that changes with it.
#[async_trait]
pub trait ControlStore: Send + Sync {
    /// The current state, with the run that `SIMULATION_RUN_ID` names. A new database has generation
    /// 0 and nothing else.
    async fn load(&self) -> Result<ControlState>;

    /// Applies `change` in one transaction: the state with its production mark, the registry row, the
    /// audit rows, the events, and the response to an idempotency key. [`Commit::Conflict`], and
    /// nothing changed, when the generation is not the expected one or the key has a response. One that
    /// had expired when the new one was created is replaced.
    ///
    /// # Errors
    /// Returns `Internal`, and nothing changed, when a second run would be open, which the rules
    /// exclude.
    async fn commit(
        &self,
        change: &Change,
        answer: Option<(&IdempotencyKey, &IdempotencyRecord)>,
    ) -> Result<Commit>;

    /// The response stored under `key`, if any. It may have expired.
    async fn idempotency_record(&self, key: &str) -> Result<Option<IdempotencyRecord>>;

    /// Stores a response that changed nothing else. [`Commit::Conflict`] when the key has one. One that
    /// had expired when the new one was created is replaced.
    async fn save_idempotency(
        &self,
        key: &IdempotencyKey,
        answer: &IdempotencyRecord,
    ) -> Result<Commit>;

    /// Deletes responses that have expired at `now`, at most `limit`, oldest first; returns their number.
    async fn delete_expired_idempotency(&self, now: Timestamp, limit: usize) -> Result<u64>;

    /// A revision that changes with every commit, host state and epoch status, of this process or
    /// another. Turns, events and usage do not change it. Its value has no other meaning.
    fn watch(&self) -> watch::Receiver<u64>;

    /// The registry row of that name.
    async fn run(&self, run_id: &str) -> Result<Option<RunRecord>>;

    /// Registry rows, newest start first. A row that is replaced keeps its position, its group and its
    /// labels.
    async fn runs(&self, filter: &RunFilter) -> Result<Page<RunRecord>>;

    /// Audit rows, newest first, without the first `offset`.
    async fn audit(&self, limit: usize, offset: usize) -> Result<AuditPage>;

    /// Audit rows with ids over `after`, oldest first.
    async fn audit_after(&self, after: i64, limit: usize) -> Result<Vec<AuditRow>>;

    /// Checks that the store can read and write, by a small write. A disk that is full is an error.
    async fn ping(&self) -> Result<()>;

    /// The kind of store: `sqlite`, `postgres`, `memory`.
    fn backend(&self) -> &'static str;

    /// Whether the database outlives this process. One that does not is never marked as production.
    fn is_persistent(&self) -> bool;

    /// Share of its connections in use, 0 to 1.
    fn pool_utilization(&self) -> f64;

    /// The file system that holds the database, as of now; `None` if the store cannot tell. Quick
    /// enough for every request.
    fn disk_space(&self) -> Option<DiskSpace>;
}
