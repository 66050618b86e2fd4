//! The registry record of a run.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Labels;

named! {
    /// The mode of a run.
    #[derive(Default)]
    pub enum RunMode {
        /// For development and rehearsals. May reset the world.
        #[default]
        Test = "test",
        /// A production run. Never resets the world.
        Real = "real",
    }
}

named! {
    /// The planned duration of a run.
    #[derive(Default)]
    pub enum RunClass {
        /// Three days.
        #[default]
        Standard72h = "standard_72h",
        /// Four days.
        Deep96h = "deep_96h",
        /// Any length.
        SpecialExploratory = "special_exploratory",
    }
}

named! {
    /// What ended a run. Only a run that a guardrail ended can be resumed.
    pub enum EndedBy {
        /// A person or a script.
        Operator = "operator",
        /// A guardrail, because a stop condition was met.
        Guardrail = "guardrail",
        /// A reset of the world.
        WorldReset = "world_reset",
    }
}

/// A run in the registry. It is created when the run starts and updated when it ends or is resumed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RunRecord {
    /// Unique id. A run id is never reused.
    pub run_id: String,
    /// The mode; in JSON both `mode` and `run_mode`.
    #[serde(flatten, with = "both_names")]
    #[cfg_attr(feature = "openapi", schema(value_type = RunModes))]
    pub mode: RunMode,
    /// The version of the experiment protocol.
    pub protocol_version: String,
    /// The experimental condition.
    pub condition_name: Option<String>,
    /// The id of the hypothesis under test.
    pub hypothesis_id: Option<String>,
    /// The id of the season.
    pub season_id: Option<String>,
    /// The number of the season, from 1.
    pub season_number: Option<i64>,
    /// The run that this one continues or is compared with.
    pub parent_run_id: Option<String>,
    /// The runs that belong together, as those of one experiment.
    #[serde(default)]
    pub group_id: Option<String>,
    /// Values by name, by which runs are found and compared.
    #[serde(default)]
    pub labels: Labels,
    /// The version of the policy by which state was transferred from the parent run.
    pub transfer_policy_version: Option<String>,
    /// The researchers' name of the epoch.
    pub epoch_id: Option<String>,
    /// The planned duration.
    pub run_class: RunClass,
    /// The control run that it mirrors.
    #[serde(default)]
    pub mirror_control_run_id: Option<String>,
    /// The number of agents carried over from an earlier run.
    #[serde(default)]
    pub carryover_agent_count: Option<i64>,
    /// The number of new agents.
    #[serde(default)]
    pub fresh_agent_count: Option<i64>,
    /// Whether it deviates from its protocol.
    #[serde(default)]
    pub protocol_deviation: bool,
    /// How and why it deviates.
    #[serde(default)]
    pub deviation_reason: Option<String>,
    /// The world epoch in which the run started.
    pub world_epoch: Option<i64>,
    /// When the run started.
    pub started_at: Timestamp,
    /// The actor that started it.
    pub started_by: String,
    /// The reason given for the start.
    pub start_reason: Option<String>,
    /// When the run ended; `None` while it is open.
    pub ended_at: Option<Timestamp>,
    /// Why it ended.
    pub end_reason: Option<String>,
    /// What ended it.
    pub ended_by: Option<EndedBy>,
}

/// The mode of a run under both of its names.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
struct RunModes {
    /// Test or real.
    mode: RunMode,
    /// The same.
    run_mode: Option<RunMode>,
}

mod both_names {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{RunMode, RunModes};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    pub(super) fn serialize<S: Serializer>(mode: &RunMode, to: S) -> Result<S::Ok, S::Error> {
        RunModes { mode: *mode, run_mode: Some(*mode) }.serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<RunMode, D::Error> {
        RunModes::deserialize(from).map(|modes| modes.mode)
    }
}

impl RunRecord {
    /// Whether the run has not ended.
    pub fn is_open(&self) -> bool {
        self.ended_at.is_none()
    }

    /// Whether `resume` can reopen the run, which requires that a guardrail ended it.
    pub fn is_resumable(&self) -> bool {
        self.ended_by == Some(EndedBy::Guardrail)
    }

    /// Marks the run as ended.
    #[must_use]
    pub fn ended(&self, at: Timestamp, by: EndedBy, reason: &str) -> Self {
        Self {
            ended_at: Some(at),
            ended_by: Some(by),
            end_reason: Some(reason.to_owned()),
            ..self.clone()
        }
    }

    /// Marks the run as open again.
    #[must_use]
    pub fn reopened(&self) -> Self {
        Self { ended_at: None, ended_by: None, end_reason: None, ..self.clone() }
    }
}
