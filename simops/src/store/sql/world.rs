//! Epochs of the world and their documents.

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::Value;

use super::control::read_worlds;
use super::{GateLock, SqlOperation, SqlRecord, SqlRow, SqlStore, SqlTx, Statement, count};
use crate::store::{Documents, EpochStatus, TurnCommit, World, WorldEpoch, WorldStore};
use crate::{Error, ErrorKind, Result};

const EPOCH_COLUMNS: &str = "epoch, world, requested_at, status, host_id, result, reason";

impl SqlRecord for WorldEpoch {
    fn read<R: SqlRow>(row: &mut R) -> Result<Self, R::Error> {
        let (epoch, world) = (row.int()?, row.text()?);
        let (requested_at, status) = (row.time()?, row.text()?);
        let host_id = row.optional(R::text)?;
        let (result, reason) = (row.optional(R::json)?, row.optional(R::text)?);
        let status = match (status.as_str(), host_id, result, reason) {
            ("requested", ..) => EpochStatus::Requested,
            ("building", Some(host_id), ..) => EpochStatus::Building { host_id },
            ("ready", _, Some(result), _) => EpochStatus::Ready { result },
            ("failed", .., Some(reason)) => EpochStatus::Failed { reason },
            _ => return Err(R::unreadable(format!("epoch {epoch} has an unknown status"))),
        };
        Ok(Self { epoch, world, status, requested_at })
    }
}

#[async_trait]
impl<S: SqlStore> WorldStore for S {
    async fn request_epoch(&self, world: &str, now: Timestamp) -> Result<i64> {
        self.write(RequestEpoch { world: world.to_owned(), now }).await
    }

    async fn requested_epochs(&self, world: &str, since: Timestamp) -> Result<Vec<WorldEpoch>> {
        let sql = format!(
            "SELECT {EPOCH_COLUMNS} FROM epochs \
             WHERE status = 'requested' AND world = $1 AND requested_at >= $2 ORDER BY epoch"
        );
        self.fetch_all(Statement::new(sql).bind(world).bind(since)).await
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

    async fn delete_epochs(&self, world: &str, before: Timestamp, keep: usize) -> Result<u64> {
        self.write(DeleteEpochs { world: world.to_owned(), before, keep }).await
    }

    async fn world(&self, epoch: i64) -> Result<World> {
        self.read(ReadWorld(epoch)).await
    }

    async fn commit_turn(&self, turn: &TurnCommit) -> Result<i64> {
        self.write(CommitTurn(turn.clone())).await
    }
}

struct RequestEpoch {
    world: String,
    now: Timestamp,
}

impl SqlOperation for RequestEpoch {
    type Output = i64;

    async fn run<T: SqlTx>(&self, tx: &mut T) -> Result<i64, T::Error> {
        let request = Statement::new(
            "INSERT INTO epochs (status, world, requested_at) VALUES ('requested', $1, $2) \
             RETURNING epoch",
        );
        tx.notify_watchers();
        tx.fetch_one(&request.bind(&self.world).bind(self.now)).await
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
    world: String,
    before: Timestamp,
    keep: usize,
}

impl SqlOperation for DeleteEpochs {
    type Output = u64;

    fn is_repeatable(&self) -> bool {
        true
    }

    async fn run<T: SqlTx>(&self, tx: &mut T) -> Result<u64, T::Error> {
        // Epochs are locked before the gate, as by turns.
        let old = format!(
            "SELECT epoch FROM epochs WHERE world = $1 AND requested_at < $2 \
                 AND epoch NOT IN (SELECT epoch FROM epochs WHERE world = $1 \
                                   ORDER BY epoch DESC LIMIT $3) ORDER BY epoch{}",
            T::FOR_UPDATE
        );
        let old = Statement::new(old).bind(&self.world).bind(self.before).bind(count(self.keep));
        let old: Vec<i64> = tx.fetch_all(&old).await?;
        tx.lock_gate(GateLock::Shared).await?;
        let worlds: String = tx.fetch_one(&Statement::new("SELECT worlds FROM control")).await?;
        let active = active_epoch(&worlds, &self.world)?;
        let mut deleted = 0;
        for epoch in old.into_iter().filter(|epoch| Some(*epoch) != active) {
            let delete = Statement::new("DELETE FROM epochs WHERE epoch = $1").bind(epoch);
            deleted += tx.execute(&delete).await?;
        }
        Ok(deleted)
    }
}

/// The active epoch of `world` among those that are stored.
fn active_epoch(worlds: &str, world: &str) -> Result<Option<i64>> {
    let worlds = read_worlds(worlds).map_err(|error| Error::new(ErrorKind::Unusable, error))?;
    Ok(worlds.get(world).copied())
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
        // The lock keeps what is read here as it is until this transaction ends.
        let gate = "SELECT runs.gate_generation, runs.world, control.worlds \
                    FROM runs CROSS JOIN control WHERE runs.run_id = $1";
        let gate = Statement::new(gate).bind(&turn.run_id);
        let gate: Option<(i64, Option<String>, String)> = tx.fetch_optional(&gate).await?;
        let Some((generation, Some(world), worlds)) = gate else {
            return Err(Error::stale("there is no such run in a world").into());
        };
        if turn.generation < generation.cast_unsigned() {
            return Err(Error::stale("the run was paused, stopped or reset since").into());
        }
        if active_epoch(&worlds, &world)? != Some(turn.epoch) {
            return Err(Error::stale("another epoch of the world is active").into());
        }
        tx.put_documents(turn.epoch, &turn.documents).await?;
        tx.append_events(&turn.events).await?;
        Ok(version)
    }
}
