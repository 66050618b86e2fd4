//! Control state: setting overrides, current run, world, audit head and production mark, under one
//! generation.

use super::AuditHead;
use crate::run::RunRecord;
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
    /// The generation of the last change of the run gate: a start, stop, pause, resume or reset. Work
    /// with an older generation is refused.
    pub gate_generation: u64,
    /// Settings that differ from their defaults, by name.
    pub overrides: Overrides,
    /// The run that `SIMULATION_RUN_ID` names, open or ended.
    pub run: Option<RunRecord>,
    /// Whether the database is marked as production: then the rules of production apply to every
    /// process, whatever its own environment says.
    pub production_mark: bool,
    /// The epoch of the current world; `None` before a host has built one.
    pub world_epoch: Option<i64>,
    /// The last audit row.
    pub audit_head: AuditHead,
}

/// Whether hosts may take turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunGate {
    /// No run, or the run has ended.
    Closed,
    /// A paused run.
    Paused,
    /// Turns may begin.
    Open,
}

impl ControlState {
    /// Every setting's value.
    pub fn effective(&self, registry: &Registry) -> Effective {
        Effective::of(registry, &self.overrides)
    }

    /// Whether hosts may take turns.
    pub fn gate(&self, registry: &Registry) -> RunGate {
        let settings = self.effective(registry);
        let open = self.run.as_ref().is_some_and(RunRecord::is_open);
        match (open && settings.flag(key::ACTIVE), settings.flag(key::PAUSED)) {
            (false, _) => RunGate::Closed,
            (true, true) => RunGate::Paused,
            (true, false) => RunGate::Open,
        }
    }

    /// The current run while it has not ended.
    pub fn open_run(&self) -> Option<&RunRecord> {
        self.run.as_ref().filter(|run| run.is_open())
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
            (key::PAUSED, run.is_open() || settings.flag(key::PAUSED)),
        ]
        .into_iter()
        .find_map(|(key, agrees)| (!agrees).then_some(key))
    }
}
