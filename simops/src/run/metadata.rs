//! The registry row of a run. Written when it starts, ended once, never overwritten.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Whether a run is a test or counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum RunMode {
    /// For development and rehearsals; may reset the world.
    Test,
    /// For the record.
    Real,
}

impl RunMode {
    /// The mode's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Test => "test",
            Self::Real => "real",
        }
    }

    /// The mode of that name.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "test" => Some(Self::Test),
            "real" => Some(Self::Real),
            _ => None,
        }
    }
}

/// How long a run is meant to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum RunClass {
    /// Three days.
    #[default]
    #[serde(rename = "standard_72h")]
    Standard72h,
    /// Four days.
    #[serde(rename = "deep_96h")]
    Deep96h,
    /// Any length.
    #[serde(rename = "special_exploratory")]
    SpecialExploratory,
}

impl RunClass {
    /// The names of all classes.
    pub const NAMES: [&'static str; 3] = ["standard_72h", "deep_96h", "special_exploratory"];

    /// The class of that name.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "standard_72h" => Some(Self::Standard72h),
            "deep_96h" => Some(Self::Deep96h),
            "special_exploratory" => Some(Self::SpecialExploratory),
            _ => None,
        }
    }
}

/// Who ended a run. Only a guardrail's end can be taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum EndedBy {
    /// A person or a script.
    Operator,
    /// A stop condition.
    Guardrail,
    /// The world was reset under it.
    WorldReset,
}

/// A run, as the registry keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RunRecord {
    /// Its name, unique for ever.
    pub run_id: String,
    /// Test or real; in JSON both `mode` and `run_mode`.
    #[serde(flatten, with = "both_names")]
    #[cfg_attr(feature = "openapi", schema(value_type = RunModes))]
    pub mode: RunMode,
    /// The protocol it follows.
    pub protocol_version: String,
    /// The experimental condition.
    pub condition_name: Option<String>,
    /// The hypothesis it tests.
    pub hypothesis_id: Option<String>,
    /// The season it belongs to.
    pub season_id: Option<String>,
    /// The number of that season, from 1.
    pub season_number: Option<i64>,
    /// The run it continues or is compared with.
    pub parent_run_id: Option<String>,
    /// How state was carried over from the parent.
    pub transfer_policy_version: Option<String>,
    /// The researcher's name for the epoch.
    pub epoch_id: Option<String>,
    /// How long it is meant to be.
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
    /// The world it began in.
    pub world_epoch: Option<i64>,
    /// When it began.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub started_at: Timestamp,
    /// Who began it.
    pub started_by: String,
    /// Why it began.
    pub start_reason: Option<String>,
    /// When it ended; `None` while it has not.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub ended_at: Option<Timestamp>,
    /// Why it ended.
    pub end_reason: Option<String>,
    /// Who ended it.
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
    /// Whether it has not ended.
    pub fn is_open(&self) -> bool {
        self.ended_at.is_none()
    }

    /// Whether a guardrail ended it, so that `resume` may go on with it.
    pub fn is_resumable(&self) -> bool {
        self.ended_by == Some(EndedBy::Guardrail)
    }

    /// The same run, ended.
    #[must_use]
    pub fn ended(&self, at: Timestamp, by: EndedBy, reason: &str) -> Self {
        Self {
            ended_at: Some(at),
            ended_by: Some(by),
            end_reason: Some(reason.to_owned()),
            ..self.clone()
        }
    }

    /// The same run, open again.
    #[must_use]
    pub fn reopened(&self) -> Self {
        Self { ended_at: None, ended_by: None, end_reason: None, ..self.clone() }
    }
}
