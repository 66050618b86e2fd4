//! Which runs may be started: the form of a request's fields, checked before any state is read.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{RunClass, RunMode, RunRecord};
use crate::settings::validate::is_name;
use crate::{Error, FieldError, Result};

/// Greatest length of a reason, in characters.
pub const MAX_REASON_CHARS: usize = 500;
/// The protocol of a run that names none.
pub const DEFAULT_PROTOCOL: &str = "protocol_v1";

/// A request to start a run. Empty text counts as absent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct StartRun {
    /// `test` or `real`; required.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(required = true, nullable = false))]
    pub mode: Option<String>,
    /// Its name; `{mode}-{YYYYMMDDTHHMMSSZ}` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
    /// The protocol it follows; `protocol_v1` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol_version: Option<String>,
    /// The experimental condition, at most 120 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub condition_name: Option<String>,
    /// The hypothesis it tests, at most 120 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hypothesis_id: Option<String>,
    /// The season; needs a season number from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub season_id: Option<String>,
    /// 0 (none) to 9999.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub season_number: Option<i64>,
    /// An existing run that this one continues.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_run_id: Option<String>,
    /// How state was carried over from the parent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transfer_policy_version: Option<String>,
    /// The researcher's name for the epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch_id: Option<String>,
    /// `standard_72h` (default), `deep_96h` or `special_exploratory`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_class: Option<String>,
    /// An existing control run that this one mirrors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mirror_control_run_id: Option<String>,
    /// The number of agents carried over from an earlier run, at least 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub carryover_agent_count: Option<i64>,
    /// The number of new agents, at least 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fresh_agent_count: Option<i64>,
    /// Whether it deviates from its protocol.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol_deviation: Option<bool>,
    /// How and why it deviates, at most 500 characters; may have several lines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deviation_reason: Option<String>,
    /// Build a new world first; with mode `test` only, and never in production.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reset_world: Option<bool>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A start request whose fields are all in form.
#[derive(Debug, Clone, PartialEq)]
pub struct RunPlan {
    /// Test or real.
    pub mode: RunMode,
    /// The name asked for, if any.
    pub run_id: Option<String>,
    /// The protocol it follows.
    pub protocol_version: String,
    /// The experimental condition.
    pub condition_name: Option<String>,
    /// The hypothesis it tests.
    pub hypothesis_id: Option<String>,
    /// The season it belongs to.
    pub season_id: Option<String>,
    /// The number of that season.
    pub season_number: Option<i64>,
    /// The run it continues.
    pub parent_run_id: Option<String>,
    /// How state was carried over.
    pub transfer_policy_version: Option<String>,
    /// The researcher's name for the epoch.
    pub epoch_id: Option<String>,
    /// How long it is meant to be.
    pub run_class: RunClass,
    /// The control run that it mirrors.
    pub mirror_control_run_id: Option<String>,
    /// The number of agents carried over.
    pub carryover_agent_count: Option<i64>,
    /// The number of new agents.
    pub fresh_agent_count: Option<i64>,
    /// Whether it deviates from its protocol.
    pub protocol_deviation: bool,
    /// How and why it deviates.
    pub deviation_reason: Option<String>,
    /// Whether a new world is built first.
    pub reset_world: bool,
}

impl StartRun {
    /// The plan this request asks for.
    ///
    /// # Errors
    /// `Invalid` with every field that is out of its form; `Rejected` for a reset with mode `real`
    /// and for a run that names itself as its parent.
    pub fn plan(&self) -> Result<RunPlan> {
        let mut wrong = Wrong(Vec::new());
        let mode =
            match self.mode.as_deref().map(str::trim).map(|name| (name, RunMode::parse(name))) {
                Some((_, Some(mode))) => mode,
                _ => {
                    wrong.add("mode", "must be one of test, real");
                    RunMode::Test
                }
            };
        let run_class = match present(self.run_class.as_deref()) {
            None => RunClass::default(),
            Some(name) => RunClass::parse(name).unwrap_or_else(|| {
                wrong.add("run_class", &format!("must be one of {}", RunClass::NAMES.join(", ")));
                RunClass::default()
            }),
        };
        if self.season_number.is_some_and(|number| !(0..=9999).contains(&number)) {
            wrong.add("season_number", "must be a whole number between 0 and 9999");
        }
        let plan = RunPlan {
            mode,
            run_id: wrong.identifier("run_id", self.run_id.as_deref(), 64),
            protocol_version: wrong
                .identifier("protocol_version", self.protocol_version.as_deref(), 64)
                .unwrap_or_else(|| DEFAULT_PROTOCOL.to_owned()),
            condition_name: wrong.identifier("condition_name", self.condition_name.as_deref(), 120),
            hypothesis_id: wrong.identifier("hypothesis_id", self.hypothesis_id.as_deref(), 120),
            season_id: wrong.identifier("season_id", self.season_id.as_deref(), 64),
            season_number: self.season_number.filter(|number| *number != 0),
            parent_run_id: wrong.identifier("parent_run_id", self.parent_run_id.as_deref(), 64),
            transfer_policy_version: wrong.identifier(
                "transfer_policy_version",
                self.transfer_policy_version.as_deref(),
                64,
            ),
            epoch_id: wrong.identifier("epoch_id", self.epoch_id.as_deref(), 64),
            run_class,
            mirror_control_run_id: wrong.identifier(
                "mirror_control_run_id",
                self.mirror_control_run_id.as_deref(),
                64,
            ),
            carryover_agent_count: wrong.count("carryover_agent_count", self.carryover_agent_count),
            fresh_agent_count: wrong.count("fresh_agent_count", self.fresh_agent_count),
            protocol_deviation: self.protocol_deviation.unwrap_or_default(),
            deviation_reason: wrong.lines("deviation_reason", self.deviation_reason.as_deref()),
            reset_world: self.reset_world.unwrap_or_default(),
        };
        if plan.season_id.is_some() && plan.season_number.is_none() {
            wrong.add("season_number", "must be at least 1 when season_id is given");
        }
        wrong.none()?;
        if plan.reset_world && plan.mode == RunMode::Real {
            return Err(Error::rejected("reset_world is possible with mode test only"));
        }
        if plan.run_id.is_some() && plan.run_id == plan.parent_run_id {
            return Err(Error::rejected("a run cannot be its own parent"));
        }
        Ok(plan)
    }
}

impl RunPlan {
    /// The name of a run that was given none, at `now`.
    pub fn default_run_id(&self, now: Timestamp) -> String {
        format!("{}-{}", self.mode.as_str(), now.strftime("%Y%m%dT%H%M%SZ"))
    }

    /// The registry row of this plan.
    pub fn record(
        self,
        run_id: String,
        now: Timestamp,
        started_by: &str,
        start_reason: Option<&str>,
        world_epoch: Option<i64>,
    ) -> RunRecord {
        RunRecord {
            run_id,
            mode: self.mode,
            protocol_version: self.protocol_version,
            condition_name: self.condition_name,
            hypothesis_id: self.hypothesis_id,
            season_id: self.season_id,
            season_number: self.season_number,
            parent_run_id: self.parent_run_id,
            transfer_policy_version: self.transfer_policy_version,
            epoch_id: self.epoch_id,
            run_class: self.run_class,
            mirror_control_run_id: self.mirror_control_run_id,
            carryover_agent_count: self.carryover_agent_count,
            fresh_agent_count: self.fresh_agent_count,
            protocol_deviation: self.protocol_deviation,
            deviation_reason: self.deviation_reason,
            world_epoch,
            started_at: now,
            started_by: started_by.to_owned(),
            start_reason: start_reason.map(str::to_owned),
            ended_at: None,
            end_reason: None,
            ended_by: None,
        }
    }
}

/// `reason` trimmed; empty counts as absent.
///
/// # Errors
/// `Invalid` when it is too long or holds control characters.
pub fn check_reason(reason: Option<&str>) -> Result<Option<String>> {
    let Some(reason) = present(reason) else { return Ok(None) };
    if reason.chars().any(char::is_control) {
        return Err(Error::invalid("reason", "must not contain control characters"));
    }
    if reason.chars().count() > MAX_REASON_CHARS {
        let message = format!("must be at most {MAX_REASON_CHARS} characters");
        return Err(Error::invalid("reason", message));
    }
    Ok(Some(reason.to_owned()))
}

fn present(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !text.is_empty())
        .map(|text| text.trim_matches(' '))
        .filter(|t| !t.is_empty())
}

/// Whether `c` changes the direction of the text after it, which can make text read as another.
fn is_bidi(c: char) -> bool {
    matches!(c, '\u{061C}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// The fields found out of form so far.
struct Wrong(Vec<FieldError>);

impl Wrong {
    fn add(&mut self, field: &str, message: &str) {
        self.0.push(FieldError { field: field.to_owned(), message: message.to_owned() });
    }

    fn identifier(&mut self, field: &str, text: Option<&str>, max: usize) -> Option<String> {
        let text = present(text)?;
        if !is_name(text, max) {
            let message =
                format!("must be at most {max} characters of letters, digits, '_', ':', '-'");
            self.add(field, &message);
        }
        Some(text.to_owned())
    }

    fn count(&mut self, field: &str, number: Option<i64>) -> Option<i64> {
        if number.is_some_and(|number| number < 0) {
            self.add(field, "must be at least 0");
        }
        number
    }

    /// Text of several lines: LF and TAB are allowed, CRLF becomes LF.
    fn lines(&mut self, field: &str, text: Option<&str>) -> Option<String> {
        let text = text.map(|text| text.replace("\r\n", "\n"))?;
        let text = text.trim();
        if text.is_empty() {
            return None;
        }
        let is_allowed = |c: char| matches!(c, '\n' | '\t') || !(c.is_control() || is_bidi(c));
        if !text.chars().all(is_allowed) {
            self.add(field, "must not contain control characters other than LF and TAB");
        }
        if text.chars().count() > MAX_REASON_CHARS {
            self.add(field, &format!("must be at most {MAX_REASON_CHARS} characters"));
        }
        Some(text.to_owned())
    }

    fn none(self) -> Result<()> {
        if self.0.is_empty() { Ok(()) } else { Err(Error::invalid_fields(self.0)) }
    }
}
