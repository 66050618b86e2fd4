//! The registry of settings: name, type, range, default and description.

use serde_json::{Value, json};

use crate::{Error, Result};

/// Defines the built-in settings, each by its constant, name, kind, default and description.
macro_rules! builtin {
    ($($key:ident = $name:literal, $kind:expr, $default:expr, $description:literal;)+) => {
        /// The names of the built-in settings.
        pub mod key {
            $(
                #[doc = $description]
                pub const $key: &str = $name;
            )+
            /// The settings that hold run state.
            pub const RUN_STATE: [&str; 6] =
                [RUN_MODE, RUN_ID, CONDITION_NAME, SEASON_NUMBER, ACTIVE, PAUSED];
        }

        fn builtin_specs() -> Vec<SettingSpec> {
            use SettingKind::{Bool, Choice, Float, Int, Name};
            vec![$(
                SettingSpec {
                    key: key::$key,
                    kind: $kind,
                    default: json!($default),
                    description: $description,
                }
            ),+]
        }
    };
}

builtin! {
    RUN_MODE = "SIMULATION_RUN_MODE", Choice(&["test", "real"]), "test",
        "The mode of new runs: test or real.";
    RUN_ID = "SIMULATION_RUN_ID", Name { max_chars: 64 }, "",
        "The id of the current run.";
    CONDITION_NAME = "SIMULATION_CONDITION_NAME", Name { max_chars: 120 }, "",
        "The experimental condition of the run.";
    SEASON_NUMBER = "SIMULATION_SEASON_NUMBER", Int { min: 0, max: 9999 }, 0,
        "The season of the run; 0 = none.";
    ACTIVE = "SIMULATION_ACTIVE", Bool, false,
        "Whether the simulation is active.";
    PAUSED = "SIMULATION_PAUSED", Bool, false,
        "Whether the active run is paused.";
    FORCE_CHEAPEST_ROUTE = "FORCE_CHEAPEST_ROUTE", Bool, false,
        "Send every model call to the cheapest route.";
    AGENT_LOOP_DELAY_SECONDS = "AGENT_LOOP_DELAY_SECONDS", Int { min: 60, max: 900 }, 150,
        "Seconds between two turns of an agent.";
    OPENROUTER_RPM_LIMIT = "OPENROUTER_RPM_LIMIT", Int { min: 1, max: 120 }, 6,
        "Maximum number of OpenRouter calls per minute.";
    LLM_ACTION_MAX_TOKENS = "LLM_ACTION_MAX_TOKENS", Int { min: 64, max: 2048 }, 350,
        "Maximum number of output tokens for an action.";
    LLM_ACTION_PARSE_RETRY_ATTEMPTS = "LLM_ACTION_PARSE_RETRY_ATTEMPTS", Int { min: 0, max: 5 }, 2,
        "Maximum number of retries after a model response that cannot be parsed.";
    LLM_MEMORY_UPDATE_EVERY = "LLM_MEMORY_UPDATE_EVERY_N_CHECKPOINTS", Int { min: 1, max: 24 }, 3,
        "Number of checkpoints after which an agent's memory is updated.";
    LLM_MEMORY_MAX_CHARS = "LLM_MEMORY_MAX_CHARS", Int { min: 200, max: 8000 }, 1200,
        "Maximum length of an agent's memory in characters.";
    BUDGET_SOFT = "LLM_DAILY_BUDGET_USD_SOFT", Float { min: 0.0, max: 25.0 }, 0.50,
        "Daily cost in USD above which calls are degraded to the cheapest route; 0 = off.";
    BUDGET_HARD = "LLM_DAILY_BUDGET_USD_HARD", Float { min: 0.0, max: 100.0 }, 1.00,
        "Daily cost in USD above which calls are refused; 0 = off.";
    MAX_CALLS_TOTAL = "LLM_MAX_CALLS_PER_DAY_TOTAL", Int { min: 1, max: 50_000 }, 2200,
        "Maximum number of model calls per day over all providers.";
    MAX_CALLS_OPENROUTER_FREE =
        "LLM_MAX_CALLS_PER_DAY_OPENROUTER_FREE", Int { min: 0, max: 50_000 }, 900,
        "Maximum number of calls per day to models whose name ends in :free; 0 = off.";
    MAX_CALLS_GROQ = "LLM_MAX_CALLS_PER_DAY_GROQ", Int { min: 0, max: 50_000 }, 1800,
        "Maximum number of calls per day to Groq; 0 = off.";
    MAX_CALLS_GEMINI = "LLM_MAX_CALLS_PER_DAY_GEMINI", Int { min: 0, max: 50_000 }, 1800,
        "Maximum number of calls per day to Gemini; 0 = off.";
    STOP_ENABLED = "STOP_CONDITION_ENFORCEMENT_ENABLED", Bool, true,
        "Whether guardrails stop runs.";
    STOP_FAILURE_WINDOW = "STOP_PROVIDER_FAILURE_WINDOW_MINUTES", Int { min: 1, max: 1440 }, 15,
        "Length in minutes of the window in which failed calls are counted.";
    STOP_FAILURE_THRESHOLD = "STOP_PROVIDER_FAILURE_THRESHOLD", Int { min: 1, max: 50_000 }, 25,
        "Number of failed calls in the window at which a run is stopped, if the failure rate is also reached.";
    STOP_FAILURE_RATE = "STOP_PROVIDER_FAILURE_RATE_THRESHOLD", Float { min: 0.0, max: 1.0 }, 0.5,
        "Failure rate in the window at which a run is stopped, if the number of failed calls is also reached.";
    STOP_POOL_UTILIZATION =
        "STOP_DB_POOL_UTILIZATION_THRESHOLD", Float { min: 0.5, max: 1.0 }, 0.95,
        "Utilisation of the database connection pool at which a check counts towards a stop.";
    STOP_POOL_CHECKS = "STOP_DB_POOL_CONSECUTIVE_CHECKS", Int { min: 1, max: 60 }, 3,
        "Number of consecutive checks above the pool threshold at which a run is stopped.";
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
