//! The variables of a database, as flags.

use std::time::Duration;

use clap::Args;
use simops::{Error, Result};
use simops_postgres::PostgresOptions;

use crate::Database;

/// What a program is told of its database.
#[derive(Debug, Clone, Default, Args)]
pub struct DatabaseArgs {
    /// The database: sqlite://PATH (default sqlite://simops.db), sqlite::memory:, or
    /// postgres://USER:PASSWORD@HOST:PORT/NAME
    #[arg(long, global = true, env = "DATABASE_URL", value_name = "URL", hide_env_values = true)]
    database_url: Option<String>,

    /// Postgres past its pooler, for migrations and notifications; then DATABASE_URL is taken for the
    /// pooler's address
    #[arg(
        long,
        global = true,
        env = "DATABASE_DIRECT_URL",
        value_name = "URL",
        hide_env_values = true
    )]
    database_direct_url: Option<String>,

    /// Connections to Postgres at most, from 1 to 1000, default 10; one more listens
    #[arg(long, global = true, env = "DATABASE_MAX_CONNECTIONS", value_name = "NUMBER")]
    database_max_connections: Option<String>,

    /// How long a call waits for a free connection to Postgres, in seconds, default 3
    #[arg(long, global = true, env = "DATABASE_ACQUIRE_TIMEOUT_SECONDS", value_name = "SECONDS")]
    database_acquire_timeout_seconds: Option<String>,

    /// How long a call waits for an answer of Postgres, in seconds, default 10
    #[arg(long, global = true, env = "DATABASE_ANSWER_TIMEOUT_SECONDS", value_name = "SECONDS")]
    database_answer_timeout_seconds: Option<String>,
}

impl DatabaseArgs {
    /// The database that they spell.
    ///
    /// # Errors
    /// `Invalid`, naming the variable and what is allowed.
    pub fn database(&self) -> Result<Database> {
        let database = Database::at(set(&self.database_url).unwrap_or("sqlite://simops.db"))?;
        let usual = PostgresOptions::default();
        let seconds = |name, text, usual: Duration| {
            number(name, text, 1, 600, usual.as_secs()).map(Duration::from_secs)
        };
        let options = PostgresOptions {
            direct_url: set(&self.database_direct_url).map(str::to_owned),
            max_connections: number(
                "DATABASE_MAX_CONNECTIONS",
                &self.database_max_connections,
                1,
                1_000,
                usual.max_connections.into(),
            )?
            .try_into()
            .unwrap_or(usual.max_connections),
            acquire_within: seconds(
                "DATABASE_ACQUIRE_TIMEOUT_SECONDS",
                &self.database_acquire_timeout_seconds,
                usual.acquire_within,
            )?,
            answer_within: seconds(
                "DATABASE_ANSWER_TIMEOUT_SECONDS",
                &self.database_answer_timeout_seconds,
                usual.answer_within,
            )?,
            ..usual
        };
        Ok(Database { options, ..database })
    }
}

/// A text that is set: an empty one is not.
fn set(text: &Option<String>) -> Option<&str> {
    text.as_deref().map(str::trim).filter(|text| !text.is_empty())
}

fn number(name: &str, text: &Option<String>, least: u64, most: u64, usual: u64) -> Result<u64> {
    let Some(text) = set(text) else { return Ok(usual) };
    text.parse().ok().filter(|number| (least..=most).contains(number)).ok_or_else(|| {
        let allowed = format!("{text:?} is not allowed; must be a number from {least} to {most}");
        Error::invalid(name, allowed)
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::Kind;

    fn args(url: &str) -> DatabaseArgs {
        DatabaseArgs { database_url: Some(url.to_owned()), ..DatabaseArgs::default() }
    }

    #[test]
    fn every_kind_of_database_is_recognised() {
        for (url, kind) in [
            ("", Kind::Sqlite),
            ("sqlite://a.db", Kind::Sqlite),
            ("sqlite::memory:", Kind::SqliteMemory),
            ("sqlite://:memory:", Kind::SqliteMemory),
            ("postgres://me@host/db", Kind::Postgres),
            ("postgresql://me@host/db", Kind::Postgres),
        ] {
            assert_eq!(args(url).database().unwrap().kind(), kind, "{url}");
        }
    }

    #[test]
    fn what_is_no_database_is_refused_without_its_secrets() {
        let error = args("mysql://me:secret@host/db").database().unwrap_err().to_string();
        assert!(error.contains("sqlite://PATH") && !error.contains("secret"), "{error}");
        let wrong = DatabaseArgs {
            database_max_connections: Some("0".to_owned()),
            ..DatabaseArgs::default()
        };
        let error = wrong.database().unwrap_err().to_string();
        assert!(error.contains("DATABASE_MAX_CONNECTIONS") && error.contains("1000"), "{error}");
    }

    #[test]
    fn limits_and_the_address_past_a_pooler_are_taken_over() {
        let args = DatabaseArgs {
            database_direct_url: Some("postgres://me@host:5432/db".to_owned()),
            database_max_connections: Some("25".to_owned()),
            database_answer_timeout_seconds: Some("4".to_owned()),
            ..args("postgres://me@host:6432/db")
        };
        let options = args.database().unwrap().options;
        assert_eq!((options.max_connections, options.answer_within.as_secs()), (25, 4));
        assert!(options.direct_url.is_some());
    }
}
