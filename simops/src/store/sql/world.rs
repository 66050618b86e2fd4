//! Epochs of the world and their documents.

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::Value;

use super::{GateLock, SqlOperation, SqlRecord, SqlRow, SqlStore, SqlTx, Statement, count};
use crate::store::{Documents, EpochStatus, TurnCommit, World, WorldEpoch, WorldStore};
use crate::{Error, Result};

const EPOCH_COLUMNS: &str = "epoch, requested_at, status, host_id, result, reason";

impl SqlRecord for WorldEpoch {
    fn read<R: SqlRow>(row: &mut R) -> Result<Self, R::Error> {
        let (epoch, requested_at, status) = (row.int()?, row.time()?, row.text()?);
        let host_id = row.optional(R::text)?;
        let (result, reason) = (row.optional(R::json)?, row.optional(R::text)?);
        let status = match (status.as_str(), host_id, result, reason) {
            ("requested", ..) => EpochStatus::Requested,
            ("building", Some(host_id), ..) => EpochStatus::Building { host_id },
            ("ready", _, Some(result), _) => EpochStatus::Ready { result },
            ("failed", .., Some(reason)) => EpochStatus::Failed { reason },
            _ => return Err(R::unreadable(format!("epoch {epoch} has an unknown status"))),
        };
        Ok(Self { epoch, status, requested_at })
    }
}

#[async_trait]
impl<S: SqlStore> WorldStore for S {
    async fn request_epoch(&self, now: Timestamp) -> Result<i64> {
        self.write(RequestEpoch(now)).await
    }

    async fn requested_epochs(&self, since: Timestamp) -> Result<Vec<WorldEpoch>> {
        let sql = format!(
            "SELECT {EPOCH_COLUMNS} FROM epochs \
             WHERE status = 'requested' AND requested_at >= $1 ORDER BY epoch"
        );
        self.fetch_all(Statement::new(sql).bind(since)).await
    }

    async fn claim_epoch(&self, epoch: i64, host_id: &str) -> Result<bool> {
        let claim = Statement::new(
            "UPDATE epochs SET status = 'building', host_id = $1 \
             WHERE epoch = $2 AND status = 'requested'",
        );
        Ok(self.write(claim.bind(host_id).bind(epoch).notifying()).await? == 1)
    }

    async fn finish_epoch(&self, epoch: i64, documents: &Documents, result: &Value) -> Result<()> {
        let end = Statement::new(
            "UPDATE epochs SET status = 'ready', result = $1 \
             WHERE epoch = $2 AND status = 'building'",
        );
        let (end, documents) = (end.bind_json(result).bind(epoch), documents.clone());
        self.write(EndBuilding { epoch, status: "ready", end, documents }).await
    }

    async fn fail_epoch(&self, epoch: i64, reason: &str) -> Result<()> {
        let end = Statement::new(
            "UPDATE epochs SET status = 'failed', reason = $1 \
             WHERE epoch = $2 AND status = 'building'",
        );
        let (end, documents) = (end.bind(reason).bind(epoch), Documents::new());
        self.write(EndBuilding { epoch, status: "failed", end, documents }).await
    }

    async fn epoch(&self, epoch: i64) -> Result<Option<WorldEpoch>> {
        let sql = format!("SELECT {EPOCH_COLUMNS} FROM epochs WHERE epoch = $1");
        self.fetch_optional(Statement::new(sql).bind(epoch)).await
    }

    async fn delete_epochs(
        &self,
        before: Timestamp,
        keep: usize,
        shown: Option<i64>,
    ) -> Result<u64> {
        self.write(DeleteEpochs { before, keep, shown }).await
    }

    async fn world(&self, epoch: i64) -> Result<World> {
        self.read(ReadWorld(epoch)).await
    }

    async fn commit_turn(&self, turn: &TurnCommit) -> Result<i64> {
        self.write(CommitTurn(turn.clone())).await
    }
}

struct RequestEpoch(Timestamp);

impl SqlOperation for RequestEpoch {
    type Output = i64;

    async fn run<T: SqlTx>(&self, tx: &mut T) -> Result<i64, T::Error> {
        let request = Statement::new(
            "INSERT INTO epochs (status, requested_at) VALUES ('requested', $1) RETURNING epoch",
        );
        tx.notify_watchers();
        tx.fetch_one(&request.bind(self.0)).await
    }
}

/// Ends the building of an epoch with a status, and writes its documents.
struct EndBuilding {
    epoch: i64,
    status: &'static str,
    end: Statement,
    documents: Documents,
}

impl SqlOperation for EndBuilding {
    type Output = ();

    fn is_repeatable(&self) -> bool {
        true
    }

    async fn run<T: SqlTx>(&self, tx: &mut T) -> Result<(), T::Error> {
        let epoch = self.epoch;
        if tx.execute(&self.end).await? == 1 {
            tx.notify_watchers();
            return tx.put_documents(epoch, &self.documents).await;
        }
        let status = Statement::new("SELECT status FROM epochs WHERE epoch = $1").bind(epoch);
        let status: Option<String> = tx.fetch_optional(&status).await?;
        if status.as_deref() == Some(self.status) {
            return Ok(());
        }
        Err(Error::conflict(format!("epoch {epoch} of the world is not being built")).into())
    }
}

struct DeleteEpochs {
    before: Timestamp,
    keep: usize,
    shown: Option<i64>,
}

impl SqlOperation for DeleteEpochs {
    type Output = u64;

    fn is_repeatable(&self) -> bool {
        true
    }

    async fn run<T: SqlTx>(&self, tx: &mut T) -> Result<u64, T::Error> {
        // Epochs are locked before the gate, as by turns.
        let old = format!(
            "SELECT epoch FROM epochs WHERE requested_at < $1 \
                 AND epoch NOT IN (SELECT epoch FROM epochs ORDER BY epoch DESC LIMIT $2) \
                 AND epoch IS DISTINCT FROM $3 ORDER BY epoch{}",
            T::FOR_UPDATE
        );
        let old = Statement::new(old).bind(self.before).bind(count(self.keep)).bind(self.shown);
        let old: Vec<i64> = tx.fetch_all(&old).await?;
        tx.lock_gate(GateLock::Shared).await?;
        let (_, active) = gate(tx).await?;
        let mut deleted = 0;
        for epoch in old.into_iter().filter(|epoch| Some(*epoch) != active) {
            let delete = Statement::new("DELETE FROM epochs WHERE epoch = $1").bind(epoch);
            deleted += tx.execute(&delete).await?;
        }
        Ok(deleted)
    }
}

/// The generation of the gate and the active epoch, which stay the same until the transaction ends.
async fn gate<T: SqlTx>(tx: &mut T) -> Result<(i64, Option<i64>), T::Error> {
    // The row is locked as well, because earlier versions of simops lock nothing else.
    let control = format!("SELECT gate_generation, world_epoch FROM control{}", T::FOR_SHARE);
    tx.fetch_one(&Statement::new(control)).await
}

struct ReadWorld(i64);

impl SqlOperation for ReadWorld {
    type Output = World;

    async fn run<T: SqlTx>(&self, tx: &mut T) -> Result<World, T::Error> {
        let version = Statement::new("SELECT version FROM epochs WHERE epoch = $1").bind(self.0);
        let version: Option<i64> = tx.fetch_optional(&version).await?;
        let documents = Statement::new("SELECT name, body FROM documents WHERE epoch = $1");
        let documents: Vec<(String, Value)> = tx.fetch_all(&documents.bind(self.0)).await?;
        let documents = documents.into_iter().collect();
        Ok(World { version: version.unwrap_or_default(), documents })
    }
}

struct CommitTurn(TurnCommit);

impl SqlOperation for CommitTurn {
    type Output = i64;

    async fn run<T: SqlTx>(&self, tx: &mut T) -> Result<i64, T::Error> {
        let Self(turn) = self;
        // Turns of an epoch take their places here, so only one of them at a time locks the gate, and
        // a commit waits for that one alone.
        let moved = Statement::new(
            "UPDATE epochs SET version = version + 1 WHERE epoch = $1 AND version = $2 \
             RETURNING version",
        );
        let moved = moved.bind(turn.epoch).bind(turn.expected_version);
        let Some(version) = tx.fetch_optional(&moved).await? else {
            return Err(Error::stale("the world has changed since").into());
        };
        tx.lock_gate(GateLock::Shared).await?;
        let (generation, active) = gate(tx).await?;
        if turn.generation < generation.cast_unsigned() {
            return Err(Error::stale("the run was paused, stopped or reset since").into());
        }
        if active != Some(turn.epoch) {
            return Err(Error::stale("another epoch of the world is active").into());
        }
        tx.put_documents(turn.epoch, &turn.documents).await?;
        tx.append_events(&turn.events).await?;
        Ok(version)
    }
}
