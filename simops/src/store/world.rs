//! Storage of worlds.
//!
//! A world is a set of named JSON documents, stored per epoch. A reset builds a new epoch while the
//! current one stays active; a control commit then activates the new epoch. After a crash either the
//! old or the new world is active, never a mixture.

use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::Value;

use crate::Result;
use crate::event::NewEvent;

/// Documents by name.
pub type Documents = BTreeMap<String, Value>;

/// The state of an epoch.
#[derive(Debug, Clone, PartialEq)]
pub enum EpochStatus {
    /// Requested; a host should claim and build it.
    Requested,
    /// A host is building it.
    Building {
        /// The host.
        host_id: String,
    },
    /// It is complete and can be activated.
    Ready {
        /// The host's description of the new world.
        result: Value,
    },
    /// Building it failed.
    Failed {
        /// The reason.
        reason: String,
    },
}

/// An epoch of a world.
#[derive(Debug, Clone, PartialEq)]
pub struct WorldEpoch {
    /// Its number. Later epochs have greater numbers, also those of other worlds.
    pub epoch: i64,
    /// The name of the world.
    pub world: String,
    /// The state.
    pub status: EpochStatus,
    /// When it was requested.
    pub requested_at: Timestamp,
}

/// The documents of an epoch and their version.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct World {
    /// The number of committed turns.
    pub version: i64,
    /// The documents.
    pub documents: Documents,
}

/// The effect of one turn, committed atomically.
#[derive(Debug, Clone, PartialEq)]
pub struct TurnCommit {
    /// The run.
    pub run_id: String,
    /// The gate generation of the run under which the turn began. The store refuses an outdated one.
    pub generation: u64,
    /// The epoch in which the turn ran.
    pub epoch: i64,
    /// The world version on which the turn was decided.
    pub expected_version: i64,
    /// Documents to write. A null value removes a document.
    pub documents: Documents,
    /// The events of the turn.
    pub events: Vec<NewEvent>,
}

/// Worlds and their epochs.
#[async_trait]
pub trait WorldStore: Send + Sync {
    /// Requests a new epoch of a world and returns its number. Numbers are never reused.
    async fn request_epoch(&self, world: &str, now: Timestamp) -> Result<i64>;

    /// Unclaimed epochs of a world that were requested at or after `since`, oldest first.
    async fn requested_epochs(&self, world: &str, since: Timestamp) -> Result<Vec<WorldEpoch>>;

    /// Claims an epoch for `host_id`, which is then the only host that may build it. Returns false if
    /// another host has claimed it.
    async fn claim_epoch(&self, epoch: i64, host_id: &str) -> Result<bool>;

    /// Writes the documents of a claimed epoch, except null values, and marks it ready, in one
    /// transaction. A repeated call changes nothing.
    ///
    /// # Errors
    /// Returns `Conflict` if the epoch is not claimed, has failed or does not exist.
    async fn finish_epoch(&self, epoch: i64, documents: &Documents, result: &Value) -> Result<()>;

    /// Marks a claimed epoch as failed. A repeated call changes nothing.
    ///
    /// # Errors
    /// Returns `Conflict` if the epoch is not claimed, is ready or does not exist.
    async fn fail_epoch(&self, epoch: i64, reason: &str) -> Result<()>;

    /// The epoch with this number.
    async fn epoch(&self, epoch: i64) -> Result<Option<WorldEpoch>>;

    /// Deletes epochs of a world that were requested before `before`, except its `keep` newest and the
    /// active one. Returns the number of deleted epochs.
    async fn delete_epochs(&self, world: &str, before: Timestamp, keep: usize) -> Result<u64>;

    /// The documents of an epoch. An unknown epoch has an empty world.
    async fn world(&self, epoch: i64) -> Result<World>;

    /// Commits a turn in one transaction and returns the new world version.
    ///
    /// # Errors
    /// Returns `Stale`, and changes nothing, if the run does not exist or has no world, the turn's
    /// generation is older than the gate's, its epoch is not the active one of the run's world, or the
    /// world version has changed.
    async fn commit_turn(&self, turn: &TurnCommit) -> Result<i64>;
}
