//! Database URLs: `postgres://USER:PASSWORD@HOST:PORT/NAME`.

use std::str::FromStr;

use simops::{Error, Result};
use sqlx::postgres::PgConnectOptions;

/// The application name of sessions.
const NAME: &str = "simops";
/// Capacity of the statement cache of a connection: more than the store has.
const STATEMENTS: usize = 128;

/// A parsed URL.
#[derive(Clone)]
pub(crate) struct Location {
    pub(crate) connect: PgConnectOptions,
    /// Whether the URL is that of a pooler in transaction mode; `None` if it does not say.
    pub(crate) pooled: Option<bool>,
}

impl Location {
    /// Parses `url`, the value of the variable `name`.
    ///
    /// # Errors
    /// `Invalid` for another URL. It is not quoted: it may hold a password.
    pub(crate) fn parse(name: &str, url: &str) -> Result<Self> {
        let wrong = |what: &str| Error::invalid(name, what);
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err(wrong("must be postgres://USER:PASSWORD@HOST:PORT/NAME"));
        }
        let (url, pooled) =
            take_pooled(url).ok_or_else(|| wrong("pooled must be true or false"))?;
        let connect = PgConnectOptions::from_str(&url).map_err(|_| {
            wrong(
                "is not a well-formed postgres://USER:PASSWORD@HOST:PORT/NAME (not shown): \
                   special characters in a password are written as %XX",
            )
        })?;
        let named = connect.get_application_name().is_some();
        let connect = if named { connect } else { connect.application_name(NAME) };
        // Poolers reject this session parameter, and no floats are stored.
        let connect = connect.extra_float_digits(None).statement_cache_capacity(STATEMENTS);
        Ok(Self { connect, pooled })
    }
}

/// `url` without its parameter `pooled` or `pgbouncer`, and the value of that. `None` if the value is
/// neither true nor false.
fn take_pooled(url: &str) -> Option<(String, Option<bool>)> {
    let Some((base, query)) = url.split_once('?') else { return Some((url.to_owned(), None)) };
    let (mut kept, mut pooled) = (Vec::new(), None);
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        match parameter.split_once('=') {
            Some(("pooled" | "pgbouncer", value)) => pooled = Some(value.parse().ok()?),
            _ => kept.push(parameter),
        }
    }
    let url = if kept.is_empty() { base.to_owned() } else { format!("{base}?{}", kept.join("&")) };
    Some((url, pooled))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_an_address_is_understood() {
        let url = "postgres://me:p%40ss@db.example.org:6543/sim?pgbouncer=true&sslmode=require";
        let location = Location::parse("DATABASE_URL", url).unwrap();
        let connect = &location.connect;
        assert_eq!((connect.get_host(), connect.get_port()), ("db.example.org", 6543));
        assert_eq!((connect.get_username(), connect.get_database()), ("me", Some("sim")));
        assert_eq!((location.pooled, connect.get_application_name()), (Some(true), Some("simops")));
        for url in ["postgresql://localhost/sim", "postgres:///sim?host=/run/postgresql&user=me"] {
            assert_eq!(Location::parse("DATABASE_URL", url).unwrap().pooled, None, "{url}");
        }
    }

    #[test]
    fn a_refused_address_is_not_quoted() {
        for url in [
            "mysql://me:secret@host/db",
            "postgres://me:secret@host:port/db",
            "postgres://me:secret@host/db?pooled=secret",
            "postgres://me:secret@host/db?sslmode=secret",
        ] {
            let error = Location::parse("DATABASE_URL", url).map(drop).unwrap_err();
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }
}
