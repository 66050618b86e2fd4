//! Database URLs: `sqlite://PATH`, `sqlite:PATH` or `sqlite::memory:`.

use std::fmt;
use std::path::PathBuf;

use simops::{Error, Result};

/// The location of a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Location {
    /// In a file.
    File(PathBuf),
    /// In this process, for as long as the store lives.
    Memory,
}

impl Location {
    /// Parses `url`.
    ///
    /// # Errors
    /// `Invalid` for another URL. It is not quoted: the URL of a server may hold a password.
    pub(crate) fn parse(url: &str) -> Result<Self> {
        let wrong = |what: &str| Error::invalid("DATABASE_URL", what);
        let rest = url.strip_prefix("sqlite:").ok_or_else(|| {
            wrong("must be sqlite://PATH or sqlite::memory: for an SQLite database")
        })?;
        let path = rest.strip_prefix("//").unwrap_or(rest);
        if path == ":memory:" {
            return Ok(Self::Memory);
        }
        if path.is_empty() {
            return Err(wrong("names no file; write sqlite://PATH or sqlite::memory:"));
        }
        if path.contains(['?', '\0']) {
            return Err(wrong("takes no options after the path, and a path has no '?'"));
        }
        Ok(Self::File(PathBuf::from(path)))
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Memory => f.write_str("the database in memory"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_path_is_understood() {
        let file = |path: &str| Some(Location::File(path.into()));
        for (url, expected) in [
            ("sqlite://simops.db", file("simops.db")),
            ("sqlite:///var/lib/simops.db", file("/var/lib/simops.db")),
            ("sqlite:a b/ü.db", file("a b/ü.db")),
            ("sqlite::memory:", Some(Location::Memory)),
            ("sqlite://:memory:", Some(Location::Memory)),
            ("sqlite://", None),
            ("sqlite://x.db?mode=ro", None),
            ("postgres://user:secret@host/db", None),
            ("simops.db", None),
        ] {
            assert_eq!(Location::parse(url).ok(), expected, "{url}");
        }
    }

    #[test]
    fn a_refused_url_is_not_quoted() {
        let error = Location::parse("postgres://user:secret@host/db").map(drop);
        assert!(error.is_err_and(|error| !error.to_string().contains("secret")));
    }
}
