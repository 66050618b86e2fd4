//! Control state: setting overrides, open runs, worlds, audit head and production mark, under one
//! generation.

use std::collections::BTreeMap;

use super::AuditHead;
use crate::run::{RunGate, RunRecord};
use crate::settings::{Effective, Overrides, Registry, key};

named! {
    /// The environment of a process.
    pub enum Environment {
        /// Writes are allowed unless the gate is closed.
        Development = "development",
        /// The world cannot be reset, and writes are refused unless the gate is opened.
        Production = "production",
    }
}

/// The aggregate that every control command reads and replaces.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ControlState {
    /// Counts the commits. A commit names the generation it was decided on.
    pub generation: u64,
    /// Settings that differ from their defaults, by name.
    pub overrides: Overrides,
    /// The current run, open or ended: the one that `SIMULATION_RUN_ID` names, and that commands mean
    /// which name none.
    pub run: Option<RunRecord>,
    /// The open runs other than the current one, in the order of their starts.
    pub other_runs: Vec<RunRecord>,
    /// Whether the database is marked as production: then the rules of production apply to every
    /// process, whatever its own environment says.
    pub production_mark: bool,
    /// The active epoch of every world that a host has built, by name.
    pub worlds: BTreeMap<String, i64>,
    /// The last audit row.
    pub audit_head: AuditHead,
}

impl ControlState {
    /// Every setting's value.
    pub fn effective(&self, registry: &Registry) -> Effective {
        Effective::of(registry, &self.overrides)
    }

    /// Whether hosts may take turns in the current run.
    pub fn gate(&self) -> RunGate {
        self.run.as_ref().map_or(RunGate::Closed, RunRecord::gate)
    }

    /// The current run while it has not ended.
    pub fn open_run(&self) -> Option<&RunRecord> {
        self.run.as_ref().filter(|run| run.is_open())
    }

    /// Every open run, the current one first.
    pub fn open_runs(&self) -> impl Iterator<Item = &RunRecord> {
        self.open_run().into_iter().chain(&self.other_runs)
    }

    /// The open run of a world.
    pub fn run_in_world(&self, world: &str) -> Option<&RunRecord> {
        self.open_runs().find(|run| run.world.as_deref() == Some(world))
    }

    /// The active epoch of the current run's world, or else of the one world that there is.
    pub fn world_epoch(&self) -> Option<i64> {
        match self.run.as_ref().and_then(|run| run.world.as_ref()) {
            Some(world) => self.worlds.get(world).copied(),
            None if self.worlds.len() == 1 => self.worlds.values().next().copied(),
            None => None,
        }
    }

    /// The run of that name, if it is open or the current one.
    pub fn known_run(&self, run_id: &str) -> Option<&RunRecord> {
        self.run.iter().chain(&self.other_runs).find(|run| run.run_id == run_id)
    }

    /// The setting whose value contradicts the registry, if any: the invariant of every commit.
    pub fn disagreement(&self, registry: &Registry) -> Option<&'static str> {
        let settings = self.effective(registry);
        let Some(run) = &self.run else {
            return [
                (key::RUN_ID, settings.text(key::RUN_ID).is_empty()),
                (key::ACTIVE, !settings.flag(key::ACTIVE)),
            ]
            .into_iter()
            .find_map(|(key, agrees)| (!agrees).then_some(key));
        };
        [
            (key::RUN_ID, settings.text(key::RUN_ID) == run.run_id),
            (key::RUN_MODE, settings.text(key::RUN_MODE) == run.mode.as_str()),
            (
                key::CONDITION_NAME,
                settings.text(key::CONDITION_NAME) == run.condition_name.as_deref().unwrap_or(""),
            ),
            (
                key::SEASON_NUMBER,
                settings.int(key::SEASON_NUMBER) == run.season_number.unwrap_or_default(),
            ),
            (key::ACTIVE, settings.flag(key::ACTIVE) == run.is_open()),
            (key::PAUSED, settings.flag(key::PAUSED) == (run.paused || !run.is_open())),
        ]
        .into_iter()
        .find_map(|(key, agrees)| (!agrees).then_some(key))
    }
}
