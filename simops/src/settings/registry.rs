//! The registry of settings: name, type, range, default and description.

use std::ops::RangeInclusive;

use serde_json::{Value, json};

use crate::{Error, Result};

/// The names of the built-in settings.
#[expect(missing_docs, reason = "the descriptions are in the table below")]
pub mod key {
    pub const RUN_MODE: &str = "SIMULATION_RUN_MODE";
    pub const RUN_ID: &str = "SIMULATION_RUN_ID";
    pub const CONDITION_NAME: &str = "SIMULATION_CONDITION_NAME";
    pub const SEASON_NUMBER: &str = "SIMULATION_SEASON_NUMBER";
    pub const ACTIVE: &str = "SIMULATION_ACTIVE";
    pub const PAUSED: &str = "SIMULATION_PAUSED";
    pub const RUN_STATE: [&str; 6] =
        [RUN_MODE, RUN_ID, CONDITION_NAME, SEASON_NUMBER, ACTIVE, PAUSED];
    pub const FORCE_CHEAPEST_ROUTE: &str = "FORCE_CHEAPEST_ROUTE";
    pub const AGENT_LOOP_DELAY_SECONDS: &str = "AGENT_LOOP_DELAY_SECONDS";
    pub const OPENROUTER_RPM_LIMIT: &str = "OPENROUTER_RPM_LIMIT";
    pub const LLM_ACTION_MAX_TOKENS: &str = "LLM_ACTION_MAX_TOKENS";
    pub const LLM_ACTION_PARSE_RETRY_ATTEMPTS: &str = "LLM_ACTION_PARSE_RETRY_ATTEMPTS";
    pub const LLM_MEMORY_UPDATE_EVERY: &str = "LLM_MEMORY_UPDATE_EVERY_N_CHECKPOINTS";
    pub const LLM_MEMORY_MAX_CHARS: &str = "LLM_MEMORY_MAX_CHARS";
    pub const BUDGET_SOFT: &str = "LLM_DAILY_BUDGET_USD_SOFT";
    pub const BUDGET_HARD: &str = "LLM_DAILY_BUDGET_USD_HARD";
    pub const MAX_CALLS_TOTAL: &str = "LLM_MAX_CALLS_PER_DAY_TOTAL";
    pub const MAX_CALLS_OPENROUTER_FREE: &str = "LLM_MAX_CALLS_PER_DAY_OPENROUTER_FREE";
    pub const MAX_CALLS_GROQ: &str = "LLM_MAX_CALLS_PER_DAY_GROQ";
    pub const MAX_CALLS_GEMINI: &str = "LLM_MAX_CALLS_PER_DAY_GEMINI";
    pub const STOP_ENABLED: &str = "STOP_CONDITION_ENFORCEMENT_ENABLED";
    pub const STOP_FAILURE_WINDOW: &str = "STOP_PROVIDER_FAILURE_WINDOW_MINUTES";
    pub const STOP_FAILURE_THRESHOLD: &str = "STOP_PROVIDER_FAILURE_THRESHOLD";
    pub const STOP_FAILURE_RATE: &str = "STOP_PROVIDER_FAILURE_RATE_THRESHOLD";
    pub const STOP_POOL_UTILIZATION: &str = "STOP_DB_POOL_UTILIZATION_THRESHOLD";
    pub const STOP_POOL_CHECKS: &str = "STOP_DB_POOL_CONSECUTIVE_CHECKS";
}

/// The type and range of a setting.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SettingKind {
    /// `true` or `false`.
    Bool,
    /// An integer.
    Int {
        /// Minimum.
        min: i64,
        /// Maximum.
        max: i64,
    },
    /// A finite number.
    Float {
        /// Minimum.
        min: f64,
        /// Maximum.
        max: f64,
    },
    /// One of the listed strings.
    Choice(&'static [&'static str]),
    /// A string of letters, digits, `_`, `:` and `-`; may be empty.
    Name {
        /// Maximum length in characters.
        max_chars: usize,
    },
}

/// The definition of a setting.
#[derive(Debug, Clone, PartialEq)]
pub struct SettingSpec {
    /// The name in the API and in the environment.
    pub key: &'static str,
    /// The type and range.
    pub kind: SettingKind,
    /// The default value.
    pub default: Value,
    /// A sentence that describes the setting.
    pub description: &'static str,
}

/// All settings of a process: the built-in ones and those that its host adds.
#[derive(Debug, Clone, PartialEq)]
pub struct Registry {
    pub(super) specs: Vec<SettingSpec>,
}

impl Registry {
    /// The built-in settings with their built-in defaults.
    pub fn builtin() -> Self {
        Self { specs: builtin_specs() }
    }

    /// Adds a setting of the host.
    ///
    /// # Errors
    /// Returns `Rejected` if a setting with this name exists, and `Invalid` if the default is not
    /// allowed.
    pub fn with(mut self, spec: SettingSpec) -> Result<Self> {
        if self.get(spec.key).is_some() {
            return Err(Error::rejected(format!("the setting {} exists already", spec.key)));
        }
        spec.check(&spec.default)?;
        self.specs.push(spec);
        Ok(self)
    }

    /// Checks that the environment does not hold run state (`SIMULATION_*`), which only the run
    /// controls change.
    ///
    /// # Errors
    /// Returns `Invalid` naming the variable.
    pub fn check_environment(lookup: impl Fn(&str) -> Option<String>) -> Result<()> {
        for name in key::RUN_STATE {
            if let Some(text) = lookup(name).filter(|text| !text.trim().is_empty()) {
                let message = format!(
                    "{text:?} is not allowed; run state cannot be set in the environment: remove the \
                     variable and use the run controls (simops-cli run start, or the console)"
                );
                return Err(Error::invalid(name, message));
            }
        }
        Ok(())
    }

    /// All settings in the order of the registry.
    pub fn specs(&self) -> impl Iterator<Item = &SettingSpec> {
        self.specs.iter()
    }

    /// The setting with this name.
    pub fn get(&self, key: &str) -> Option<&SettingSpec> {
        self.specs.iter().find(|spec| spec.key == key)
    }
}

fn builtin_specs() -> Vec<SettingSpec> {
    vec![
        spec(key::RUN_MODE, SettingKind::Choice(&["test", "real"]), json!("test"))
            .about("The mode of new runs: test or real."),
        name(key::RUN_ID, 64).about("The id of the current run."),
        name(key::CONDITION_NAME, 120).about("The experimental condition of the run."),
        int(key::SEASON_NUMBER, 0..=9999, 0).about("The season of the run; 0 = none."),
        flag(key::ACTIVE, false).about("Whether the simulation is active."),
        flag(key::PAUSED, false).about("Whether the active run is paused."),
        flag(key::FORCE_CHEAPEST_ROUTE, false)
            .about("Send every model call to the cheapest route."),
        int(key::AGENT_LOOP_DELAY_SECONDS, 60..=900, 150)
            .about("Seconds between two turns of an agent."),
        int(key::OPENROUTER_RPM_LIMIT, 1..=120, 6)
            .about("Maximum number of OpenRouter calls per minute."),
        int(key::LLM_ACTION_MAX_TOKENS, 64..=2048, 350)
            .about("Maximum number of output tokens for an action."),
        int(key::LLM_ACTION_PARSE_RETRY_ATTEMPTS, 0..=5, 2)
            .about("Maximum number of retries after a model response that cannot be parsed."),
        int(key::LLM_MEMORY_UPDATE_EVERY, 1..=24, 3)
            .about("Number of checkpoints after which an agent's memory is updated."),
        int(key::LLM_MEMORY_MAX_CHARS, 200..=8000, 1200)
            .about("Maximum length of an agent's memory in characters."),
        float(key::BUDGET_SOFT, 0.0..=25.0, 0.50).about(
            "Daily cost in USD above which calls are degraded to the cheapest route; 0 = off.",
        ),
        float(key::BUDGET_HARD, 0.0..=100.0, 1.00)
            .about("Daily cost in USD above which calls are refused; 0 = off."),
        int(key::MAX_CALLS_TOTAL, 1..=50_000, 2200)
            .about("Maximum number of model calls per day over all providers."),
        int(key::MAX_CALLS_OPENROUTER_FREE, 0..=50_000, 900)
            .about("Maximum number of calls per day to models whose name ends in :free; 0 = off."),
        int(key::MAX_CALLS_GROQ, 0..=50_000, 1800)
            .about("Maximum number of calls per day to Groq; 0 = off."),
        int(key::MAX_CALLS_GEMINI, 0..=50_000, 1800)
            .about("Maximum number of calls per day to Gemini; 0 = off."),
        flag(key::STOP_ENABLED, true).about("Whether guardrails stop runs."),
        int(key::STOP_FAILURE_WINDOW, 1..=1440, 15)
            .about("Length in minutes of the window in which failed calls are counted."),
        int(key::STOP_FAILURE_THRESHOLD, 1..=50_000, 25).about(
            "Number of failed calls in the window at which a run is stopped, if the failure rate is \
             also reached.",
        ),
        float(key::STOP_FAILURE_RATE, 0.0..=1.0, 0.5).about(
            "Failure rate in the window at which a run is stopped, if the number of failed calls is \
             also reached.",
        ),
        float(key::STOP_POOL_UTILIZATION, 0.5..=1.0, 0.95).about(
            "Utilisation of the database connection pool at which a check counts towards a stop.",
        ),
        int(key::STOP_POOL_CHECKS, 1..=60, 3).about(
            "Number of consecutive checks above the pool threshold at which a run is stopped.",
        ),
    ]
}

fn spec(key: &'static str, kind: SettingKind, default: Value) -> SettingSpec {
    SettingSpec { key, kind, default, description: "" }
}

fn flag(key: &'static str, default: bool) -> SettingSpec {
    spec(key, SettingKind::Bool, json!(default))
}

fn int(key: &'static str, range: RangeInclusive<i64>, default: i64) -> SettingSpec {
    spec(key, SettingKind::Int { min: *range.start(), max: *range.end() }, json!(default))
}

fn float(key: &'static str, range: RangeInclusive<f64>, default: f64) -> SettingSpec {
    spec(key, SettingKind::Float { min: *range.start(), max: *range.end() }, json!(default))
}

/// A name that is empty by default.
fn name(key: &'static str, max_chars: usize) -> SettingSpec {
    spec(key, SettingKind::Name { max_chars }, json!(""))
}

impl SettingSpec {
    fn about(self, description: &'static str) -> Self {
        Self { description, ..self }
    }
}
