//! Versions of a schema: what a program migrates, and which programs may write.

use crate::{Error, ErrorKind, Result, VERSION};

/// The version of a stored schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SchemaVersion {
    /// The number of its migrations; 0 for an empty database.
    pub version: usize,
    /// The least version that a program must know to write to it.
    pub min_writer: usize,
}

/// The migrations that a program knows.
#[derive(Debug, Clone, Copy)]
pub struct Migrations {
    /// Each migrates the schema from its index to the next version. Append only.
    pub all: &'static [&'static str],
    /// The least version that a program must know to write to the schema after all of them. It is
    /// raised with a migration after which earlier programs would write what is wrong; otherwise they
    /// go on writing, so that processes can be upgraded one by one.
    pub min_writer: usize,
}

impl Migrations {
    /// The version that they lead to.
    pub fn version(&self) -> usize {
        self.all.len()
    }

    /// Those that `stored` lacks. None if a newer program has migrated it.
    ///
    /// # Errors
    /// As [`Migrations::check_newer`].
    pub fn pending(&self, stored: SchemaVersion) -> Result<&'static [&'static str]> {
        self.check_newer(stored)?;
        Ok(self.all.get(stored.version..).unwrap_or_default())
    }

    /// Checks that this program may use a schema that a newer one may have migrated.
    ///
    /// # Errors
    /// `Unusable` if it may not write to it any more.
    pub fn check_newer(&self, stored: SchemaVersion) -> Result<()> {
        let (known, SchemaVersion { version, min_writer }) = (self.version(), stored);
        if version <= known || min_writer <= known {
            return Ok(());
        }
        Err(unusable(format!(
            "written by a newer simops: its schema has version {version}, which takes writes of \
             programs that know version {min_writer}; this simops {VERSION} knows up to {known}; \
             upgrade it or use another database"
        )))
    }

    /// Checks that this program may write, within the transaction that writes.
    ///
    /// # Errors
    /// `Unusable` if the schema is older, or too new.
    pub fn check_writer(&self, stored: SchemaVersion) -> Result<()> {
        let (known, SchemaVersion { version, .. }) = (self.version(), stored);
        if version < known {
            return Err(unusable(format!(
                "the schema of the database has version {version}, and simops {VERSION} writes to \
                 version {known}: {MIGRATED_BY}"
            )));
        }
        self.check_newer(stored)
    }
}

const MIGRATED_BY: &str = "simops-server, `simops-cli worker` and every command that writes migrate it \
                           when they start";

/// The error of a statement that names a table or column that the database lacks.
pub fn misfit() -> Error {
    unusable(format!(
        "the database lacks a table or column that simops {VERSION} needs: if its schema is older, \
         {MIGRATED_BY}; if it is newer, upgrade simops; else restore a backup"
    ))
}

/// The error of opening a database without a schema for reading.
pub fn no_schema() -> Error {
    unusable(format!("the database is empty: {MIGRATED_BY}"))
}

fn unusable(detail: String) -> Error {
    Error::new(ErrorKind::Unusable, detail)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const KNOWN: Migrations = Migrations { all: &["a", "b", "c"], min_writer: 2 };

    fn stored(version: usize, min_writer: usize) -> SchemaVersion {
        SchemaVersion { version, min_writer }
    }

    #[test]
    fn an_older_schema_is_migrated_before_it_is_written_to() {
        assert_eq!(KNOWN.pending(stored(0, 0)).unwrap(), ["a", "b", "c"]);
        assert_eq!(KNOWN.pending(stored(2, 1)).unwrap(), ["c"]);
        let refused = KNOWN.check_writer(stored(2, 1)).unwrap_err();
        assert!(refused.detail().contains("has version 2"), "{refused}");
        assert!(refused.detail().contains("simops-server"), "{refused}");
    }

    #[test]
    fn a_newer_schema_is_written_to_if_it_allows_that() {
        for allowed in [stored(3, 2), stored(4, 2), stored(9, 3)] {
            assert!(KNOWN.pending(allowed).unwrap().is_empty());
            KNOWN.check_writer(allowed).unwrap();
        }
        for newer in [stored(4, 4), stored(9, 5)] {
            for refused in
                [KNOWN.check_writer(newer).unwrap_err(), KNOWN.pending(newer).unwrap_err()]
            {
                assert_eq!(refused.kind(), ErrorKind::Unusable);
                assert!(refused.detail().contains("newer simops"), "{refused}");
                assert!(refused.detail().contains("upgrade"), "{refused}");
            }
        }
    }
}
