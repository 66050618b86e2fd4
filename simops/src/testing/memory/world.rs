//! Worlds: epochs and their documents.

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::Value;

use super::{Data, Epoch, MemoryStore};
use crate::store::{Documents, EpochStatus, TurnCommit, World, WorldEpoch, WorldStore};
use crate::{Error, Result};

#[async_trait]
impl WorldStore for MemoryStore {
    async fn request_epoch(&self, world: &str, now: Timestamp) -> Result<i64> {
        let mut data = self.data();
        data.last_epoch += 1;
        let epoch = data.last_epoch;
        let (world, status) = (world.to_owned(), EpochStatus::Requested);
        let row = WorldEpoch { epoch, world, status, requested_at: now };
        data.epochs.insert(epoch, Epoch { row, world: World::default() });
        drop(data);
        self.notify_watchers();
        Ok(epoch)
    }

    async fn requested_epochs(&self, world: &str, since: Timestamp) -> Result<Vec<WorldEpoch>> {
        let data = self.data();
        let rows = data.epochs.values().map(|epoch| &epoch.row);
        Ok(rows
            .filter(|row| row.status == EpochStatus::Requested && row.world == world)
            .filter(|row| row.requested_at >= since)
            .cloned()
            .collect())
    }

    async fn claim_epoch(&self, epoch: i64, host_id: &str) -> Result<bool> {
        let mut data = self.data();
        let Some(known) = data.epochs.get_mut(&epoch) else { return Ok(false) };
        if known.row.status != EpochStatus::Requested {
            return Ok(false);
        }
        known.row.status = EpochStatus::Building { host_id: host_id.to_owned() };
        drop(data);
        self.notify_watchers();
        Ok(true)
    }

    async fn finish_epoch(&self, epoch: i64, documents: &Documents, result: &Value) -> Result<()> {
        let ready = EpochStatus::Ready { result: result.clone() };
        if self.data().end_building(epoch, ready, documents)? {
            self.notify_watchers();
        }
        Ok(())
    }

    async fn fail_epoch(&self, epoch: i64, reason: &str) -> Result<()> {
        let failed = EpochStatus::Failed { reason: reason.to_owned() };
        if self.data().end_building(epoch, failed, &Documents::new())? {
            self.notify_watchers();
        }
        Ok(())
    }

    async fn epoch(&self, epoch: i64) -> Result<Option<WorldEpoch>> {
        Ok(self.data().epochs.get(&epoch).map(|epoch| epoch.row.clone()))
    }

    async fn delete_epochs(&self, world: &str, before: Timestamp, keep: usize) -> Result<u64> {
        let data = &mut *self.data();
        let mine = data.epochs.iter().rev().filter(|(_, epoch)| epoch.row.world == world);
        let kept: Vec<i64> = mine.take(keep).map(|(number, _)| *number).collect();
        let active = data.state.worlds.get(world).copied();
        let known = data.epochs.len();
        data.epochs.retain(|number, epoch| {
            epoch.row.world != world
                || epoch.row.requested_at >= before
                || kept.contains(number)
                || active == Some(*number)
        });
        Ok((known - data.epochs.len()) as u64)
    }

    async fn world(&self, epoch: i64) -> Result<World> {
        Ok(self.data().epochs.get(&epoch).map(|epoch| epoch.world.clone()).unwrap_or_default())
    }

    async fn commit_turn(&self, turn: &TurnCommit) -> Result<i64> {
        let data = &mut *self.data();
        let run = data.runs.iter().find(|run| run.run_id == turn.run_id);
        let Some((run, world)) = run.and_then(|run| Some((run, run.world.as_ref()?))) else {
            return Err(Error::stale("there is no such run in a world"));
        };
        if turn.generation < run.gate_generation {
            return Err(Error::stale("the run was paused, stopped or reset since"));
        }
        if data.state.worlds.get(world) != Some(&turn.epoch) {
            return Err(Error::stale("another epoch of the world is active"));
        }
        let world = data.epochs.get_mut(&turn.epoch).map(|epoch| &mut epoch.world);
        let Some(world) = world.filter(|world| world.version == turn.expected_version) else {
            return Err(Error::stale("the world has changed since"));
        };
        put_documents(&mut world.documents, &turn.documents);
        world.version += 1;
        let version = world.version;
        data.append(&turn.events);
        Ok(version)
    }
}

impl Data {
    /// Ends the building of an epoch; false if it already ended in the same way.
    fn end_building(
        &mut self,
        epoch: i64,
        ended: EpochStatus,
        documents: &Documents,
    ) -> Result<bool> {
        let not_built = || Error::conflict(format!("epoch {epoch} is not being built"));
        let known = self.epochs.get_mut(&epoch).ok_or_else(not_built)?;
        let same = std::mem::discriminant(&known.row.status) == std::mem::discriminant(&ended);
        match known.row.status {
            EpochStatus::Building { .. } => {
                known.row.status = ended;
                put_documents(&mut known.world.documents, documents);
                Ok(true)
            }
            _ if same => Ok(false),
            _ => Err(not_built()),
        }
    }
}

fn put_documents(world: &mut Documents, documents: &Documents) {
    for (name, body) in documents {
        if body.is_null() {
            world.remove(name);
        } else {
            world.insert(name.clone(), body.clone());
        }
    }
}
