//! Who may write: the write gate, the environment, and the production mark of the database.
//!
//! [`WritePolicy`] is the configuration of one process. Together with the production mark, which
//! belongs to the database, it gives the [`WriteRules`] in force.

use serde::{Deserialize, Serialize};

use super::Environment;
use crate::{Error, Result};

named! {
    /// Every write that a person can ask for, through the API, the command line or the library.
    ///
    /// Writes of simops itself (guardrails, timers, reports, visitors' events, turns of hosts)
    /// do not pass the gate; see [`SystemWriter`](crate::ops::SystemWriter).
    pub enum Write {
        /// Starts a run.
        StartRun = "start_run",
        /// Ends a run.
        StopRun = "stop_run",
        /// Ends every open run.
        StopAll = "stop_all",
        /// Pauses a run.
        Pause = "pause",
        /// Pauses every open run.
        PauseAll = "pause_all",
        /// Resumes a paused run, or one that a guardrail stopped.
        Resume = "resume",
        /// Sends model calls to the cheapest route.
        Degrade = "degrade",
        /// Sends model calls to their usual routes again.
        ClearDegrade = "clear_degrade",
        /// Changes the mode shown while no run is open.
        SetRunMode = "set_run_mode",
        /// Replaces the world.
        ResetWorld = "reset_world",
        /// Changes the limits of a run.
        PatchLimits = "patch_limits",
        /// Changes settings.
        PatchConfig = "patch_config",
        /// Defines a budget, or changes it.
        PutBudget = "put_budget",
        /// Deletes a budget.
        DeleteBudget = "delete_budget",
        /// Acknowledges an alert.
        AcknowledgeAlert = "acknowledge_alert",
        /// Silences an alert, or ends its silence.
        SilenceAlert = "silence_alert",
        /// Sends a message again.
        ReplayDelivery = "replay_delivery",
        /// Writes a baseline to the output folder.
        WriteBaseline = "write_baseline",
        /// Creates a digest.
        CreateDigest = "create_digest",
        /// Publishes a digest.
        PublishDigest = "publish_digest",
        /// Discards a digest.
        DiscardDigest = "discard_digest",
        /// Deletes old rows of a log.
        Prune = "prune",
        /// Recounts the KPI sums and corrects them.
        RebuildKpi = "rebuild_kpi",
        /// Records KPI events from a file, or generated ones.
        ImportKpi = "import_kpi",
        /// Deletes the events of some visitors.
        DeleteVisits = "delete_visits",
        /// Recounts the usage sums and corrects them.
        RebuildUsage = "rebuild_usage",
        /// Takes one turn of an agent on request.
        TakeTurn = "take_turn",
        /// Removes the production mark of the database.
        UnmarkProduction = "unmark_production",
    }
}

impl Write {
    /// Whether a gate that is [`WriteGate::StopOnly`] lets it pass.
    pub fn passes_stop_only(self) -> bool {
        matches!(self, Self::Pause | Self::PauseAll | Self::StopRun | Self::StopAll | Self::Degrade)
    }
}

/// The write gate, `ADMIN_WRITE_ENABLED`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum WriteGate {
    /// All writes pass.
    Open,
    /// Only pause, stop and degrade pass.
    StopOnly,
    /// No write passes.
    Closed,
}

impl WriteGate {
    /// The gate that a value of `ADMIN_WRITE_ENABLED` means.
    ///
    /// # Errors
    /// Returns what is allowed when the value is not `true`, `false` or `stop-only`.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text.trim().to_ascii_lowercase().as_str() {
            "true" => Ok(Self::Open),
            "stop-only" => Ok(Self::StopOnly),
            "false" => Ok(Self::Closed),
            _ => Err("must be true or false, or stop-only".to_owned()),
        }
    }
}

/// What the configuration of a process says about writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WritePolicy {
    /// `ENVIRONMENT`.
    pub environment: Environment,
    /// `ADMIN_WRITE_ENABLED`; unset, the gate is open in development and closed in production.
    pub gate: Option<WriteGate>,
}

impl From<Environment> for WritePolicy {
    fn from(environment: Environment) -> Self {
        Self { environment, gate: None }
    }
}

impl WritePolicy {
    /// The rules in force on a database, which may be marked as production.
    pub fn on(self, production_mark: bool) -> WriteRules {
        let environment = if production_mark { Environment::Production } else { self.environment };
        let gate = self.gate.unwrap_or(match environment {
            Environment::Development => WriteGate::Open,
            Environment::Production => WriteGate::Closed,
        });
        WriteRules { environment, gate }
    }
}

/// The rules in force for writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WriteRules {
    environment: Environment,
    gate: WriteGate,
}

impl WriteRules {
    /// The environment whose rules apply: production on a database that is marked so.
    pub fn environment(self) -> Environment {
        self.environment
    }

    /// The write gate.
    pub fn gate(self) -> WriteGate {
        self.gate
    }

    /// Checks the gate for `write`; `None` is a write that is not known, which passes an open gate
    /// only.
    ///
    /// # Errors
    /// Returns `Forbidden` when the gate does not let it pass.
    pub fn check_gate(self, write: Option<Write>) -> Result<()> {
        match self.gate {
            WriteGate::Open => Ok(()),
            WriteGate::StopOnly if write.is_some_and(Write::passes_stop_only) => Ok(()),
            WriteGate::StopOnly => {
                Err(Error::forbidden(format!("{GATE_CLOSED}, except pause, stop and degrade")))
            }
            WriteGate::Closed => Err(Error::forbidden(GATE_CLOSED)),
        }
    }

    /// Checks whether the world may be reset.
    ///
    /// # Errors
    /// Returns `Forbidden` in production.
    pub fn check_reset(self) -> Result<()> {
        match self.environment {
            Environment::Development => Ok(()),
            Environment::Production => {
                Err(Error::forbidden("World reset is blocked in production"))
            }
        }
    }

    /// Checks every rule that does not depend on the details of `write`.
    ///
    /// # Errors
    /// Returns `Forbidden` when the gate or the environment does not allow it.
    pub fn check(self, write: Write) -> Result<()> {
        self.check_gate(Some(write))?;
        if write == Write::ResetWorld { self.check_reset() } else { Ok(()) }
    }
}

const GATE_CLOSED: &str = "Admin write controls are disabled in this environment";

#[cfg(test)]
mod tests;
