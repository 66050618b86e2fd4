//! The registry record of a run.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Labels, ReachedLimit, RunLimits, RunUse};

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

/// Whether hosts may take turns in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunGate {
    /// The run has ended.
    Closed,
    /// It is paused.
    Paused,
    /// Turns may begin.
    Open,
}

/// A run in the registry. It is created when the run starts and updated when it is paused, resumed or ends.
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
    /// The host that takes its turns. Null for a run in a world that any host of that world may drive.
    #[serde(default)]
    pub host: Option<String>,
    /// The world that it uses, which has one open run at most; null for a run of a foreign host.
    #[serde(default)]
    pub world: Option<String>,
    /// What it may use, if that is limited.
    #[serde(default)]
    pub limits: Option<RunLimits>,
    /// The limit that paused or ended it, until it goes on.
    #[serde(default)]
    pub limit_reached: Option<String>,
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
    /// Whether it is paused, while it is open.
    #[serde(skip)]
    pub paused: bool,
    /// The generation of the last change of its gate. Work with an older generation is refused.
    #[serde(skip)]
    pub gate_generation: u64,
    /// Since when its gate is open; `None` while it is paused or has ended.
    #[serde(skip)]
    pub open_since: Option<Timestamp>,
    /// How long its gate was open before `open_since`, in milliseconds.
    #[serde(skip)]
    pub open_before_ms: i64,
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

    /// Whether hosts may take turns.
    pub fn gate(&self) -> RunGate {
        match (self.is_open(), self.paused) {
            (false, _) => RunGate::Closed,
            (true, true) => RunGate::Paused,
            (true, false) => RunGate::Open,
        }
    }

    /// How long its gate was open in total, at `now`: pauses do not count.
    pub fn active_time(&self, now: Timestamp) -> SignedDuration {
        let open = self.open_since.map(|since| now.duration_since(since)).unwrap_or_default();
        SignedDuration::from_millis(self.open_before_ms)
            .saturating_add(open.max(SignedDuration::ZERO))
    }

    /// The same run, whose gate moved at `now` by the commit with that generation.
    #[must_use]
    pub(crate) fn gate_moved(self, generation: u64, now: Timestamp) -> Self {
        let open_before_ms = self.active_time(now).as_millis();
        Self {
            gate_generation: generation,
            open_since: (self.gate() == RunGate::Open).then_some(now),
            open_before_ms: i64::try_from(open_before_ms).unwrap_or(i64::MAX),
            ..self
        }
    }

    /// The same run, paused or not.
    #[must_use]
    pub(crate) fn with_paused(&self, paused: bool) -> Self {
        let limit_reached = self.limit_reached.clone().filter(|_| paused);
        Self { paused, limit_reached, ..self.clone() }
    }

    /// The limit that `used` has reached, if any.
    pub(crate) fn reached_limit(&self, used: &RunUse) -> Option<ReachedLimit> {
        self.limits.and_then(|limits| limits.reached(used))
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
        Self {
            ended_at: None,
            ended_by: None,
            end_reason: None,
            limit_reached: None,
            paused: false,
            ..self.clone()
        }
    }
}
