//! Database URLs of flags and variables.

use super::*;
use crate::database::Kind;

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
    let wrong =
        DatabaseArgs { database_max_connections: Some("0".to_owned()), ..DatabaseArgs::default() };
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
    assert_eq!((options.max_connections, options.call_timeout.as_secs()), (25, 4));
    assert!(options.direct_url.is_some());
}
