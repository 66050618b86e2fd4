//! Databases as they are found.

use simops::ErrorKind;
use simops::store::{ControlStore, EventStore};
use simops_postgres::PostgresStore;
use simops_tests::port::free_port;
use simops_tests::postgres::PostgresServer;
use simops_tests::wait::eventually;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::support::event;

/// The advisory lock of those who migrate.
const MIGRATION: i64 = 0x5369_4f70;

async fn refused(url: &str) -> (ErrorKind, String) {
    let error = PostgresStore::open(url).await.err().expect("it should be refused");
    (error.kind(), error.to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twelve_that_open_an_empty_database_at_once_find_one_schema() {
    let database = PostgresServer::shared().database();
    let openers: Vec<_> = (0..12)
        .map(|_| {
            let url = database.url();
            tokio::spawn(async move { PostgresStore::open(&url).await })
        })
        .collect();
    for opener in openers {
        let store = opener.await.unwrap().unwrap();
        store.append(&[event("opened")]).await.unwrap();
    }
    assert_eq!(database.sql("SELECT count(*) FROM simops_schema").trim(), "1");
    assert_eq!(database.sql("SELECT count(*) FROM events").trim(), "12");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waited_for_the_migration_of_another_sees_its_schema() {
    let database = PostgresServer::shared().database();
    let mut other = PgConnection::connect(&database.url()).await.unwrap();
    let create = format!(
        "BEGIN; SELECT pg_advisory_xact_lock({MIGRATION}); \
         CREATE TABLE simops_schema (version INTEGER NOT NULL, min_writer INTEGER NOT NULL); \
         INSERT INTO simops_schema VALUES (4000, 3999)"
    );
    sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut other).await.unwrap();
    let url = database.url();
    let opener = tokio::spawn(async move { refused(&url).await });
    let waiting = "SELECT count(*) FROM pg_locks JOIN pg_database ON oid = database \
                   WHERE locktype = 'advisory' AND NOT granted AND datname = current_database()";
    eventually("it waits", async || (database.sql(waiting).trim() == "1").then_some(())).await;
    sqlx::raw_sql("COMMIT").execute(&mut other).await.unwrap();
    let (kind, detail) = opener.await.unwrap();
    assert_eq!(kind, ErrorKind::Unusable);
    assert!(detail.contains("newer simops"), "{detail}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_of_a_newer_simops_or_another_program_is_left_alone() {
    let database = PostgresServer::shared().database();
    drop(PostgresStore::open(&database.url()).await.unwrap());
    database.sql("UPDATE simops_schema SET version = 4000, min_writer = 3999");
    let (kind, detail) = refused(&database.url()).await;
    assert_eq!(kind, ErrorKind::Unusable);
    assert!(detail.contains("newer simops"), "{detail}");

    let strangers = PostgresServer::shared().database();
    strangers.sql("CREATE TABLE events (theirs INTEGER)");
    let (kind, detail) = refused(&strangers.url()).await;
    assert_eq!(kind, ErrorKind::Unusable);
    assert!(detail.contains("another program"), "{detail}");
    assert_eq!(
        strangers.sql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").trim(),
        "1"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_of_opening_is_one_sentence_without_secrets() {
    let port = PostgresServer::shared().port();
    for (url, kind, says) in [
        (
            format!("postgres://postgres:secret@127.0.0.1:{port}/missing"),
            ErrorKind::Unusable,
            "create it",
        ),
        (
            format!("postgres://nobody:secret@127.0.0.1:{port}/postgres"),
            ErrorKind::Unusable,
            "user or password",
        ),
        (
            format!("postgres://postgres:secret@127.0.0.1:{}/postgres", free_port()),
            ErrorKind::Unavailable,
            "does not answer",
        ),
    ] {
        let (found, detail) = refused(&url).await;
        assert_eq!(found, kind, "{detail}");
        assert!(detail.contains(says) && !detail.contains("secret"), "{detail}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_schemas_of_one_database_are_two_stores() {
    let database = PostgresServer::shared().database();
    database.sql("CREATE SCHEMA one; CREATE SCHEMA two");
    let url = |schema| format!("{}?options=-csearch_path%3D{schema}", database.url());
    let one = PostgresStore::open(&url("one")).await.unwrap();
    let two = PostgresStore::open(&url("two")).await.unwrap();
    crate::support::commit(&one).await;
    assert_eq!(one.load().await.unwrap().generation, 1);
    assert_eq!(two.load().await.unwrap().generation, 0);
}
