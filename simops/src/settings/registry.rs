//! The table of settings: name, kind, bounds, default, meaning.

use serde_json::{Value, json};

use crate::{Error, Result};

/// The names of the built-in settings.
#[expect(missing_docs, reason = "the table below describes each")]
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

/// What values a setting takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SettingKind {
    /// `true` or `false`.
    Bool,
    /// A whole number within both bounds.
    Int {
        /// Smallest value allowed.
        min: i64,
        /// Greatest value allowed.
        max: i64,
    },
    /// A finite number within both bounds.
    Float {
        /// Smallest value allowed.
        min: f64,
        /// Greatest value allowed.
        max: f64,
    },
    /// One of a few words.
    Choice(&'static [&'static str]),
    /// Letters, digits, `_`, `:` and `-`; may be empty.
    Name {
        /// Greatest length in characters.
        max_chars: usize,
    },
}

/// One row of the table.
#[derive(Debug, Clone, PartialEq)]
pub struct SettingSpec {
    /// The name, in the API and in the environment.
    pub key: &'static str,
    /// What values it takes.
    pub kind: SettingKind,
    /// The value while nothing overrides it.
    pub default: Value,
    /// What it does, as a sentence.
    pub description: &'static str,
}

/// The settings a process knows: the built-in ones and those its host adds.
#[derive(Debug, Clone, PartialEq)]
pub struct Registry {
    specs: Vec<SettingSpec>,
}

impl Registry {
    /// The built-in settings with their shipped defaults.
    pub fn builtin() -> Self {
        Self { specs: builtin_specs() }
    }

    /// The same registry with a host's own setting.
    ///
    /// # Errors
    /// `Rejected` when the name is taken, `Invalid` when the default is not allowed.
    pub fn with(mut self, spec: SettingSpec) -> Result<Self> {
        if self.get(spec.key).is_some() {
            return Err(Error::rejected(format!("the setting {} exists already", spec.key)));
        }
        spec.check(&spec.default)?;
        self.specs.push(spec);
        Ok(self)
    }

    /// The same registry with defaults replaced by the values that `lookup` (the environment) holds.
    ///
    /// # Errors
    /// Returns `Invalid` naming the setting, the value and what is allowed; also for a setting that
    /// holds run state, see [`Registry::check_environment`].
    pub fn with_defaults_from(mut self, lookup: impl Fn(&str) -> Option<String>) -> Result<Self> {
        Self::check_environment(&lookup)?;
        for spec in &mut self.specs {
            if let Some(text) = lookup(spec.key).filter(|text| !text.trim().is_empty()) {
                spec.default = spec.parse(text.trim())?;
            }
        }
        super::validate::check_together(&super::Effective::of(&self, &super::Overrides::new()))?;
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

    /// Every row, in the order of the table.
    pub fn specs(&self) -> impl Iterator<Item = &SettingSpec> {
        self.specs.iter()
    }

    /// The row of that name.
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
            "Whether runs are tests or count for real.",
        ),
        row(key::RUN_ID, Name { max_chars: 64 }, json!(""), "The run that is shown as current."),
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
        row(key::ACTIVE, Bool, json!(false), "Whether hosts take turns at all."),
        row(key::PAUSED, Bool, json!(false), "Whether an active run holds still."),
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
            "Seconds between two turns of one agent.",
        ),
        row(
            key::OPENROUTER_RPM_LIMIT,
            Int { min: 1, max: 120 },
            json!(6),
            "OpenRouter calls per minute.",
        ),
        row(
            key::LLM_ACTION_MAX_TOKENS,
            Int { min: 64, max: 2048 },
            json!(350),
            "Output tokens allowed for one action.",
        ),
        row(
            key::LLM_ACTION_PARSE_RETRY_ATTEMPTS,
            Int { min: 0, max: 5 },
            json!(2),
            "How often an answer that does not parse is asked for again.",
        ),
        row(
            key::LLM_MEMORY_UPDATE_EVERY,
            Int { min: 1, max: 24 },
            json!(3),
            "An agent's memory is rewritten after so many checkpoints.",
        ),
        row(
            key::LLM_MEMORY_MAX_CHARS,
            Int { min: 200, max: 8000 },
            json!(1200),
            "Characters an agent's memory may have.",
        ),
        row(
            key::BUDGET_SOFT,
            Float { min: 0.0, max: 25.0 },
            json!(0.50),
            "USD a day after which calls are degraded; 0 = off.",
        ),
        row(
            key::BUDGET_HARD,
            Float { min: 0.0, max: 100.0 },
            json!(1.00),
            "USD a day after which calls are refused; 0 = off.",
        ),
        row(
            key::MAX_CALLS_TOTAL,
            Int { min: 1, max: 50_000 },
            json!(2200),
            "Model calls a day, all providers together.",
        ),
        row(
            key::MAX_CALLS_OPENROUTER_FREE,
            Int { min: 0, max: 50_000 },
            json!(900),
            "Calls a day to models whose name ends in :free; 0 = off.",
        ),
        row(
            key::MAX_CALLS_GROQ,
            Int { min: 0, max: 50_000 },
            json!(1800),
            "Calls a day to Groq; 0 = off.",
        ),
        row(
            key::MAX_CALLS_GEMINI,
            Int { min: 0, max: 50_000 },
            json!(1800),
            "Calls a day to Gemini; 0 = off.",
        ),
        row(key::STOP_ENABLED, Bool, json!(true), "Whether stop conditions end a run."),
        row(
            key::STOP_FAILURE_WINDOW,
            Int { min: 1, max: 1440 },
            json!(15),
            "Minutes in which provider failures are counted.",
        ),
        row(
            key::STOP_FAILURE_THRESHOLD,
            Int { min: 1, max: 50_000 },
            json!(25),
            "Failed calls in the window that stop a run, given their share.",
        ),
        row(
            key::STOP_FAILURE_RATE,
            Float { min: 0.0, max: 1.0 },
            json!(0.5),
            "Share of failed calls in the window that stops a run, given their number.",
        ),
        row(
            key::STOP_POOL_UTILIZATION,
            Float { min: 0.5, max: 1.0 },
            json!(0.95),
            "Utilisation of the database pool that counts as pressure.",
        ),
        row(
            key::STOP_POOL_CHECKS,
            Int { min: 1, max: 60 },
            json!(3),
            "Checks in a row under pressure that stop a run.",
        ),
    ]
}
