//! Flags and variables of the database.

use std::time::Duration;

use clap::Args;
use simops::{Error, Result};
use simops_postgres::PostgresOptions;

use crate::database::Database;

/// The database options of a program.
#[derive(Debug, Clone, Default, Args)]
pub struct DatabaseArgs {
    /// The database: sqlite://PATH (default sqlite://simops.db), sqlite::memory:, or
    /// postgres://USER:PASSWORD@HOST:PORT/NAME
    #[arg(long, env = "DATABASE_URL", value_name = "URL", hide_env_values = true)]
    database_url: Option<String>,

    /// The URL past a pooler of Postgres, for migrations and notifications; DATABASE_URL is then assumed
    /// to be the pooler's
    #[arg(long, env = "DATABASE_DIRECT_URL", value_name = "URL", hide_env_values = true)]
    database_direct_url: Option<String>,

    /// Maximum connections to Postgres, 1 to 1000, default 10, plus one that listens
    #[arg(long, env = "DATABASE_MAX_CONNECTIONS", value_name = "NUMBER")]
    database_max_connections: Option<String>,

    /// Seconds that a call waits for a free connection to Postgres, default 3
    #[arg(long, env = "DATABASE_ACQUIRE_TIMEOUT_SECONDS", value_name = "SECONDS")]
    database_acquire_timeout_seconds: Option<String>,

    /// Seconds that a call waits for a response of Postgres, default 10
    #[arg(long, env = "DATABASE_ANSWER_TIMEOUT_SECONDS", value_name = "SECONDS")]
    database_answer_timeout_seconds: Option<String>,
}

impl DatabaseArgs {
    /// Validates the options.
    ///
    /// # Errors
    /// `Invalid`, with the name of the variable and the allowed values.
    pub fn database(&self) -> Result<Database> {
        let mut database = Database::at(set(&self.database_url).unwrap_or("sqlite://simops.db"))?;
        let defaults = PostgresOptions::default();
        let seconds = |name, text, default: Duration| {
            number(name, text, 1, 600, default.as_secs()).map(Duration::from_secs)
        };
        database.options = PostgresOptions {
            direct_url: set(&self.database_direct_url).map(str::to_owned),
            max_connections: number(
                "DATABASE_MAX_CONNECTIONS",
                &self.database_max_connections,
                1,
                1_000,
                defaults.max_connections.into(),
            )?
            .try_into()
            .unwrap_or(defaults.max_connections),
            acquire_timeout: seconds(
                "DATABASE_ACQUIRE_TIMEOUT_SECONDS",
                &self.database_acquire_timeout_seconds,
                defaults.acquire_timeout,
            )?,
            call_timeout: seconds(
                "DATABASE_ANSWER_TIMEOUT_SECONDS",
                &self.database_answer_timeout_seconds,
                defaults.call_timeout,
            )?,
            ..defaults
        };
        Ok(database)
    }
}

/// A trimmed text. An empty one counts as unset.
fn set(text: &Option<String>) -> Option<&str> {
    text.as_deref().map(str::trim).filter(|text| !text.is_empty())
}

fn number(name: &str, text: &Option<String>, min: u64, max: u64, default: u64) -> Result<u64> {
    let Some(text) = set(text) else { return Ok(default) };
    text.parse().ok().filter(|number| (min..=max).contains(number)).ok_or_else(|| {
        let allowed = format!("{text:?} is not allowed; must be a number from {min} to {max}");
        Error::invalid(name, allowed)
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
