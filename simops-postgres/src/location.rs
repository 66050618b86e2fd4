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
        let Parameters { url, pooled, ignored } =
            Parameters::of(url).ok_or_else(|| wrong("pooled must be true or false"))?;
        if !ignored.is_empty() {
            // Not their values: one may be a password.
            let parameters = ignored.join(", ");
            tracing::warn!(code = "database_url_parameters_ignored", %name, %parameters, "unknown parameters of the URL are ignored");
        }
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

/// The parameters of a URL that the driver knows. It would log the values of others.
const KNOWN: [&str; 18] = [
    "application_name",
    "dbname",
    "host",
    "hostaddr",
    "options",
    "password",
    "port",
    "ssl-ca",
    "ssl-cert",
    "ssl-key",
    "ssl-mode",
    "ssl-root-cert",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "statement-cache-capacity",
    "user",
];

/// A URL taken apart.
struct Parameters {
    /// The URL with the parameters that the driver knows.
    url: String,
    /// The value of the parameter `pooled` or `pgbouncer`.
    pooled: Option<bool>,
    /// The names of all other parameters.
    ignored: Vec<String>,
}

impl Parameters {
    /// `None` if the value of `pooled` is neither true nor false.
    fn of(url: &str) -> Option<Self> {
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let (mut kept, mut pooled, mut ignored) = (Vec::new(), None, Vec::new());
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let is_option = name.starts_with("options[") || name.starts_with("options%5B");
            match name {
                "pooled" | "pgbouncer" => pooled = Some(value.parse().ok()?),
                _ if is_option || KNOWN.contains(&name) => kept.push(parameter),
                _ => ignored.push(name.to_owned()),
            }
        }
        let query = if kept.is_empty() { String::new() } else { format!("?{}", kept.join("&")) };
        Some(Self { url: format!("{base}{query}"), pooled, ignored })
    }
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
    fn parameters_that_are_unknown_do_not_reach_the_driver() {
        let url =
            "postgres://h/db?sslpassword=s1&options[a]=b&channel_binding=require&passwd&port=1";
        let parameters = Parameters::of(url).unwrap();
        assert_eq!(parameters.url, "postgres://h/db?options[a]=b&port=1");
        assert_eq!(parameters.ignored, ["sslpassword", "channel_binding", "passwd"]);
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
