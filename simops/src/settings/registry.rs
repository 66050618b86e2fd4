//! The registry of settings: name, type, range, default and description.

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
    use SettingKind::{Bool, Choice, Float, Int, Name};
    let row = |key, kind, default, description| SettingSpec { key, kind, default, description };
    vec![
        row(
            key::RUN_MODE,
            Choice(&["test", "real"]),
            json!("test"),
            "The mode of new runs: test or real.",
        ),
        row(key::RUN_ID, Name { max_chars: 64 }, json!(""), "The id of the current run."),
        row(
            key::CONDITION_NAME,
            Name { max_chars: 120 },
            json!(""),
            "The experimental condition of the run.",
        ),
        row(
            key::SEASON_NUMBER,
            Int { min: 0, max: 9999 },
            json!(0),
            "The season of the run; 0 = none.",
        ),
        row(key::ACTIVE, Bool, json!(false), "Whether the simulation is active."),
        row(key::PAUSED, Bool, json!(false), "Whether the active run is paused."),
        row(
            key::FORCE_CHEAPEST_ROUTE,
            Bool,
            json!(false),
            "Send every model call to the cheapest route.",
        ),
        row(
            key::AGENT_LOOP_DELAY_SECONDS,
            Int { min: 60, max: 900 },
            json!(150),
            "Seconds between two turns of an agent.",
        ),
        row(
            key::OPENROUTER_RPM_LIMIT,
            Int { min: 1, max: 120 },
            json!(6),
            "Maximum number of OpenRouter calls per minute.",
        ),
        row(
            key::LLM_ACTION_MAX_TOKENS,
            Int { min: 64, max: 2048 },
            json!(350),
            "Maximum number of output tokens for an action.",
        ),
        row(
            key::LLM_ACTION_PARSE_RETRY_ATTEMPTS,
            Int { min: 0, max: 5 },
            json!(2),
            "Maximum number of retries after a model response that cannot be parsed.",
        ),
        row(
            key::LLM_MEMORY_UPDATE_EVERY,
            Int { min: 1, max: 24 },
            json!(3),
            "Number of checkpoints after which an agent's memory is updated.",
        ),
        row(
            key::LLM_MEMORY_MAX_CHARS,
            Int { min: 200, max: 8000 },
            json!(1200),
            "Maximum length of an agent's memory in characters.",
        ),
        row(
            key::BUDGET_SOFT,
            Float { min: 0.0, max: 25.0 },
            json!(0.50),
            "Daily cost in USD above which calls are degraded to the cheapest route; 0 = off.",
        ),
        row(
            key::BUDGET_HARD,
            Float { min: 0.0, max: 100.0 },
            json!(1.00),
            "Daily cost in USD above which calls are refused; 0 = off.",
        ),
        row(
            key::MAX_CALLS_TOTAL,
            Int { min: 1, max: 50_000 },
            json!(2200),
            "Maximum number of model calls per day over all providers.",
        ),
        row(
            key::MAX_CALLS_OPENROUTER_FREE,
            Int { min: 0, max: 50_000 },
            json!(900),
            "Maximum number of calls per day to models whose name ends in :free; 0 = off.",
        ),
        row(
            key::MAX_CALLS_GROQ,
            Int { min: 0, max: 50_000 },
            json!(1800),
            "Maximum number of calls per day to Groq; 0 = off.",
        ),
        row(
            key::MAX_CALLS_GEMINI,
            Int { min: 0, max: 50_000 },
            json!(1800),
            "Maximum number of calls per day to Gemini; 0 = off.",
        ),
        row(key::STOP_ENABLED, Bool, json!(true), "Whether guardrails stop runs."),
        row(
            key::STOP_FAILURE_WINDOW,
            Int { min: 1, max: 1440 },
            json!(15),
            "Length in minutes of the window in which failed calls are counted.",
        ),
        row(
            key::STOP_FAILURE_THRESHOLD,
            Int { min: 1, max: 50_000 },
            json!(25),
            "Number of failed calls in the window at which a run is stopped, if the failure rate is also reached.",
        ),
        row(
            key::STOP_FAILURE_RATE,
            Float { min: 0.0, max: 1.0 },
            json!(0.5),
            "Failure rate in the window at which a run is stopped, if the number of failed calls is also reached.",
        ),
        row(
            key::STOP_POOL_UTILIZATION,
            Float { min: 0.5, max: 1.0 },
            json!(0.95),
            "Utilisation of the database connection pool at which a check counts towards a stop.",
        ),
        row(
            key::STOP_POOL_CHECKS,
            Int { min: 1, max: 60 },
            json!(3),
            "Number of consecutive checks above the pool threshold at which a run is stopped.",
        ),
    ]
}
