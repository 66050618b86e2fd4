//! Validation of start requests, independent of any state.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Labels, RunClass, RunLimits, RunMode, RunRecord, labels};
use crate::settings::validate::is_name;
use crate::text::{composed, is_bidi};
use crate::{Error, FieldError, Result};

/// The maximum length of a reason in characters.
pub const MAX_REASON_CHARS: usize = 500;
/// The identifiers of a start request and their maximum lengths. They consist of letters, digits, `_`, `:` and
/// `-`.
pub const IDENTIFIERS: [(&str, usize); 11] = [
    ("condition_name", 120),
    ("epoch_id", 64),
    ("group_id", 64),
    ("host", 64),
    ("hypothesis_id", 120),
    ("mirror_control_run_id", 64),
    ("parent_run_id", 64),
    ("protocol_version", 64),
    ("run_id", 64),
    ("season_id", 64),
    ("transfer_policy_version", 64),
];
/// The largest number of a season.
pub const MAX_SEASON_NUMBER: i64 = 9999;
/// The default protocol version.
pub(crate) const DEFAULT_PROTOCOL: &str = "protocol_v1";

/// A request to start a run. Empty strings count as absent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "clap", derive(clap::Args))]
#[serde(default)]
pub struct StartRun {
    /// `test` or `real`; required.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(required = true, nullable = false))]
    #[cfg_attr(feature = "clap", arg(long, required = true, value_name = "MODE", value_parser = ["test", "real"], hide_possible_values = true))]
    pub mode: Option<String>,
    /// The run id; default `{mode}-{YYYYMMDDTHHMMSSZ}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "clap", arg(long, value_name = "ID"))]
    pub run_id: Option<String>,
    /// The version of the experiment protocol; default `protocol_v1`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "clap", arg(long, value_name = "VERSION"))]
    pub protocol_version: Option<String>,
    /// The experimental condition, at most 120 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "clap", arg(long, value_name = "NAME"))]
    pub condition_name: Option<String>,
    /// The id of the hypothesis under test, at most 120 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "clap", arg(long, value_name = "ID"))]
    pub hypothesis_id: Option<String>,
    /// The id of the season; requires a season number of at least 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "clap", arg(long, value_name = "ID"))]
    pub season_id: Option<String>,
    /// The number of the season, 0 (none) to 9999.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "clap", arg(long, value_name = "N", allow_negative_numbers = true))]
    pub season_number: Option<i64>,
    /// The existing run that this one continues or is compared with.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "clap", arg(long, value_name = "ID"))]
    pub parent_run_id: Option<String>,
    /// The group of runs that it belongs to, as those of one experiment.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "clap", arg(long, value_name = "ID"))]
    pub group_id: Option<String>,
    /// Values by name, by which runs are found and compared: at most 20, names of at most 64 letters,
    /// digits, `_` and `-`, values of 1 to 120 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "clap", arg(skip))]
    pub labels: Option<Labels>,
    /// What it may use: `max_usd`, `max_calls`, `max_tokens`, `max_actions` and
    /// `max_duration_minutes` (pauses do not count), and `at_limit`: `pause` (default) or `stop`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<super::RunLimits>))]
    #[cfg_attr(feature = "clap", arg(skip))]
    pub limits: Option<Map<String, Value>>,
    /// The host that takes its turns: one that is connected, or `gateway`; default the one host with a
    /// world that is connected, else `gateway`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "clap", arg(long, value_name = "NAME"))]
    pub host: Option<String>,
    /// The version of the policy by which state was transferred from the parent run.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "clap", arg(long, value_name = "VERSION"))]
    pub transfer_policy_version: Option<String>,
    /// The researchers' name of the epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "clap", arg(long, value_name = "ID"))]
    pub epoch_id: Option<String>,
    /// `standard_72h` (default), `deep_96h` or `special_exploratory`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "clap", arg(long, value_name = "CLASS", value_parser = RunClass::NAMES))]
    pub run_class: Option<String>,
    /// An existing control run that this one mirrors.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "clap", arg(long, value_name = "ID"))]
    pub mirror_control_run_id: Option<String>,
    /// The number of agents carried over from an earlier run, at least 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "clap", arg(long, value_name = "N", allow_negative_numbers = true))]
    pub carryover_agent_count: Option<i64>,
    /// The number of new agents, at least 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "clap", arg(long, value_name = "N", allow_negative_numbers = true))]
    pub fresh_agent_count: Option<i64>,
    /// Whether it deviates from its protocol; by default, whether there is a `deviation_reason`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "clap", arg(long, num_args = 0, default_missing_value = "true"))]
    pub protocol_deviation: Option<bool>,
    /// How and why it deviates, at most 500 characters; may have several lines.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "clap", arg(long, value_name = "TEXT"))]
    pub deviation_reason: Option<String>,
    /// Whether to build a new world first. Requires mode `test`; not possible in production.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "clap", arg(long, num_args = 0, default_missing_value = "true"))]
    pub reset_world: Option<bool>,
    /// Whether to check the request only: the response says what would start, and nothing does.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "clap", arg(long, num_args = 0, default_missing_value = "true"))]
    pub dry_run: Option<bool>,
    /// Why the run is started, at most 500 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "clap", arg(long, value_name = "TEXT"))]
    pub reason: Option<String>,
}

/// A valid start request.
#[derive(Debug, Clone, PartialEq)]
pub struct RunPlan {
    /// The requested run id, if any.
    pub run_id: Option<String>,
    /// Whether to build a new world first.
    pub reset_world: bool,
    /// The record of the run. Its id, world, and the time and actor of its start are set when it
    /// starts.
    pub run: RunRecord,
}

impl StartRun {
    /// Validates the request.
    ///
    /// # Errors
    /// Returns `Invalid`, with all invalid fields, if a field is malformed or out of range. Returns
    /// `Rejected` if a run of mode `real` asks for a reset or a run is its own parent.
    pub fn plan(&self) -> Result<RunPlan> {
        let mut errors = FieldErrors(Vec::new());
        let mode = self.mode.as_deref().and_then(|name| RunMode::parse(name.trim()));
        if mode.is_none() {
            errors.add("mode", "must be one of test, real");
        }
        let run_class = present(self.run_class.as_deref()).map(RunClass::parse);
        if run_class == Some(None) {
            errors.add("run_class", &format!("must be one of {}", RunClass::NAMES.join(", ")));
        }
        if self.season_number.is_some_and(|number| !(0..=MAX_SEASON_NUMBER).contains(&number)) {
            let message = format!("must be a whole number between 0 and {MAX_SEASON_NUMBER}");
            errors.add("season_number", &message);
        }
        let run_id = errors.identifier("run_id", &self.run_id);
        let protocol = errors.identifier("protocol_version", &self.protocol_version);
        let deviation_reason = errors.lines("deviation_reason", self.deviation_reason.as_deref());
        if self.protocol_deviation == Some(false) && deviation_reason.is_some() {
            errors.add("protocol_deviation", "must be true when deviation_reason is given");
        }
        let labels = labels::check(self.labels.as_ref().unwrap_or(&Labels::new()));
        let labels = labels.unwrap_or_else(|wrong| {
            errors.0.extend(wrong);
            Labels::new()
        });
        let limits = RunLimits::default().with(self.limits.as_ref().unwrap_or(&Map::new()));
        let limits = limits.unwrap_or_else(|wrong| {
            errors.0.extend(wrong.fields().iter().cloned());
            RunLimits::default()
        });
        let run = RunRecord {
            limits: Some(limits).filter(|limits| !limits.is_empty()),
            mode: mode.unwrap_or_default(),
            protocol_version: protocol.unwrap_or_else(|| DEFAULT_PROTOCOL.to_owned()),
            condition_name: errors.identifier("condition_name", &self.condition_name),
            hypothesis_id: errors.identifier("hypothesis_id", &self.hypothesis_id),
            season_id: errors.identifier("season_id", &self.season_id),
            season_number: self.season_number.filter(|number| *number != 0),
            parent_run_id: errors.identifier("parent_run_id", &self.parent_run_id),
            group_id: errors.identifier("group_id", &self.group_id),
            labels,
            host: errors.identifier("host", &self.host),
            transfer_policy_version: errors
                .identifier("transfer_policy_version", &self.transfer_policy_version),
            epoch_id: errors.identifier("epoch_id", &self.epoch_id),
            run_class: run_class.flatten().unwrap_or_default(),
            mirror_control_run_id: errors
                .identifier("mirror_control_run_id", &self.mirror_control_run_id),
            carryover_agent_count: errors
                .count("carryover_agent_count", self.carryover_agent_count),
            fresh_agent_count: errors.count("fresh_agent_count", self.fresh_agent_count),
            protocol_deviation: self.protocol_deviation.unwrap_or(deviation_reason.is_some()),
            deviation_reason,
            ..RunRecord::default()
        };
        if run.season_id.is_some() && run.season_number.is_none() {
            errors.add("season_number", "must be at least 1 when season_id is given");
        }
        errors.into_result()?;
        let reset_world = self.reset_world.unwrap_or_default();
        if reset_world && run.mode == RunMode::Real {
            return Err(Error::rejected("reset_world requires mode test"));
        }
        if run_id.is_some() && run_id == run.parent_run_id {
            return Err(Error::rejected("a run cannot be its own parent"));
        }
        Ok(RunPlan { run_id, reset_world, run })
    }
}

/// Validates and trims a reason. An empty one counts as absent.
///
/// # Errors
/// Returns `Invalid` if the reason is too long or has characters that [`prose`] refuses.
pub(crate) fn check_reason(reason: Option<&str>) -> Result<Option<String>> {
    prose(reason).map_err(|message| Error::invalid("reason", message))
}

/// Trimmed text of several lines in normalisation form C: LF and TAB are allowed, CRLF becomes LF. An
/// empty one is absent.
///
/// # Errors
/// What is wrong: its length, or a control character.
fn prose(text: Option<&str>) -> std::result::Result<Option<String>, String> {
    let text = composed(&text.unwrap_or_default().replace("\r\n", "\n"));
    let text = text.trim();
    let is_allowed = |c: char| matches!(c, '\n' | '\t') || !(c.is_control() || is_bidi(c));
    if !text.chars().all(is_allowed) {
        return Err("must not contain control characters other than LF and TAB".to_owned());
    }
    if text.chars().count() > MAX_REASON_CHARS {
        return Err(format!("must be at most {MAX_REASON_CHARS} characters"));
    }
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

fn present(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !text.is_empty())
        .map(|text| text.trim_matches(' '))
        .filter(|t| !t.is_empty())
}

/// Collects the errors of fields.
struct FieldErrors(Vec<FieldError>);

impl FieldErrors {
    fn add(&mut self, field: &str, message: &str) {
        self.0.push(FieldError { field: field.to_owned(), message: message.to_owned() });
    }

    fn identifier(&mut self, field: &str, text: &Option<String>) -> Option<String> {
        let text = present(text.as_deref())?;
        let max = IDENTIFIERS.iter().find(|(name, _)| *name == field).map_or(0, |(_, max)| *max);
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

    /// Text of several lines.
    fn lines(&mut self, field: &str, text: Option<&str>) -> Option<String> {
        prose(text).unwrap_or_else(|message| {
            self.add(field, &message);
            None
        })
    }

    fn into_result(self) -> Result<()> {
        if self.0.is_empty() { Ok(()) } else { Err(Error::invalid_fields(self.0)) }
    }
}
