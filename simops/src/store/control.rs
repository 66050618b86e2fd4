//! Control state, run registry, audit trail and idempotency records: what one commit changes.

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::watch;

use super::Page;
use crate::Result;
use crate::control::{AuditRow, Change, ControlState};
use crate::run::RunRecord;

/// A caller's name for one write, so that repeating the write repeats the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// The key, at most 255 characters.
    pub key: String,
    /// What was asked: a digest of operation and body. The same key with another one is refused.
    pub fingerprint: String,
}

/// The answer that a write got the first time.
#[derive(Debug, Clone, PartialEq)]
pub struct IdempotencyRecord {
    /// What was asked.
    pub fingerprint: String,
    /// The answer, success or refusal, in the form that [`crate::ops`] gave it.
    pub answer: Value,
    /// When it was given.
    pub created_at: Timestamp,
}

/// What came of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Commit {
    /// It is true and durable.
    Done,
    /// The generation has moved, or the idempotency key was answered meanwhile: nothing changed,
    /// decide again.
    Conflict,
}

/// A page of the audit trail.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditPage {
    /// All rows there are.
    pub count: i64,
    /// The rows of the page, newest first.
    pub items: Vec<AuditRow>,
}

/// Control state and all that changes with it.
#[async_trait]
pub trait ControlStore: Send + Sync {
    /// The state now, with the run that `SIMULATION_RUN_ID` names. A new database has generation 0
    /// and nothing else.
    async fn load(&self) -> Result<ControlState>;

    /// Makes `change` true in one transaction: the state, the registry row, the audit rows, the
    /// events, and the answer to an idempotency key. [`Commit::Conflict`], and nothing changed,
    /// when the generation is not the expected one or the key has an answer.
    ///
    /// # Errors
    /// `Internal`, and nothing changed, when a second run would be open: the rules never ask for it.
    async fn commit(
        &self,
        change: &Change,
        answer: Option<(&IdempotencyKey, &IdempotencyRecord)>,
    ) -> Result<Commit>;

    /// The answer given under `key`, if any.
    async fn idempotency_record(&self, key: &str) -> Result<Option<IdempotencyRecord>>;

    /// Keeps an answer that changed nothing else. [`Commit::Conflict`] when the key has one.
    async fn save_idempotency(
        &self,
        key: &IdempotencyKey,
        answer: &IdempotencyRecord,
    ) -> Result<Commit>;

    /// Drops answers given before `before`; how many.
    async fn delete_idempotency_before(&self, before: Timestamp) -> Result<u64>;

    /// A revision that moves whenever a commit, a host's state or an epoch's status changes, in
    /// this process or another: look again when it does. Turns, events and usage do not move it.
    /// Its value means nothing else.
    fn watch(&self) -> watch::Receiver<u64>;

    /// The registry row of that name.
    async fn run(&self, run_id: &str) -> Result<Option<RunRecord>>;

    /// Registry rows, newest start first; those before the place `before`, if given. A row that is
    /// replaced keeps its place.
    async fn runs(&self, before: Option<i64>, limit: usize) -> Result<Page<RunRecord>>;

    /// Audit rows, newest first, without the first `offset`.
    async fn audit(&self, limit: usize, offset: usize) -> Result<AuditPage>;

    /// Audit rows with ids over `after`, oldest first.
    async fn audit_after(&self, after: i64, limit: usize) -> Result<Vec<AuditRow>>;

    /// Whether the store can read and write now.
    async fn ping(&self) -> Result<()>;

    /// What to call this kind of store: `sqlite`, `postgres`, `memory`.
    fn backend(&self) -> &'static str;

    /// Share of its connections in use, 0 to 1.
    fn pool_utilization(&self) -> f64;
}
