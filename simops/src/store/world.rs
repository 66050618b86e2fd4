//! Worlds: documents per epoch, changed together with the events that tell the change.
//!
//! A world is a set of named JSON documents. A reset builds a new epoch beside the one shown; the
//! control commit that names it switches over. So a crash shows the old world or the new one.

use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::Value;

use crate::Result;
use crate::event::NewEvent;

/// Documents by name.
pub type Documents = BTreeMap<String, Value>;

/// How far an epoch is.
#[derive(Debug, Clone, PartialEq)]
pub enum EpochStatus {
    /// Asked for; a host that owns a world should claim it.
    Requested,
    /// A host builds it.
    Building {
        /// The host.
        host_id: String,
    },
    /// It can be shown.
    Ready {
        /// What the host says of it.
        result: Value,
    },
    /// It cannot be built.
    Failed {
        /// Why.
        reason: String,
    },
}

/// An epoch of the world, asked for or built.
#[derive(Debug, Clone, PartialEq)]
pub struct WorldEpoch {
    /// Its number; later epochs have greater ones.
    pub epoch: i64,
    /// How far it is.
    pub status: EpochStatus,
    /// When it was asked for.
    pub requested_at: Timestamp,
}

/// An epoch's documents and how often they have changed.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct World {
    /// Counts the turns committed.
    pub version: i64,
    /// The documents.
    pub documents: Documents,
}

/// One turn's effect: documents and events, together or not at all.
#[derive(Debug, Clone, PartialEq)]
pub struct TurnCommit {
    /// The generation the turn was begun under. Older than the gate's: refused.
    pub generation: u64,
    /// The epoch it happened in.
    pub epoch: i64,
    /// The version it was decided on.
    pub expected_version: i64,
    /// Documents to write; null removes one.
    pub documents: Documents,
    /// What happened.
    pub events: Vec<NewEvent>,
}

/// Worlds.
#[async_trait]
pub trait WorldStore: Send + Sync {
    /// Asks for a new epoch; its number, which is never given again.
    async fn request_epoch(&self, now: Timestamp) -> Result<i64>;

    /// Epochs asked for at `since` or later and claimed by nobody, oldest first.
    async fn requested_epochs(&self, since: Timestamp) -> Result<Vec<WorldEpoch>>;

    /// Makes `host_id` the one builder of an epoch. False when another was faster.
    async fn claim_epoch(&self, epoch: i64, host_id: &str) -> Result<bool>;

    /// Writes a claimed epoch's documents, but for nulls, and makes it ready, in one transaction.
    /// Repeating it changes nothing.
    ///
    /// # Errors
    /// `Conflict` when the epoch was not claimed, has failed, or is unknown.
    async fn finish_epoch(&self, epoch: i64, documents: &Documents, result: &Value) -> Result<()>;

    /// Says that a claimed epoch cannot be built. Repeating it changes nothing.
    ///
    /// # Errors
    /// `Conflict` when the epoch was not claimed, is ready, or is unknown.
    async fn fail_epoch(&self, epoch: i64, reason: &str) -> Result<()>;

    /// One epoch.
    async fn epoch(&self, epoch: i64) -> Result<Option<WorldEpoch>>;

    /// Drops epochs asked for before `before` but for the `keep` newest; how many. Never the one in
    /// `shown`, nor the one that the control state shows by now.
    async fn delete_epochs(
        &self,
        before: Timestamp,
        keep: usize,
        shown: Option<i64>,
    ) -> Result<u64>;

    /// An epoch's documents. An unknown epoch is an empty world.
    async fn world(&self, epoch: i64) -> Result<World>;

    /// Makes a turn true in one transaction; the new version.
    ///
    /// # Errors
    /// `Stale`, and nothing changed, when the turn's generation is older than the gate's, its
    /// epoch is not the one shown, or the version has moved.
    async fn commit_turn(&self, turn: &TurnCommit) -> Result<i64>;
}
