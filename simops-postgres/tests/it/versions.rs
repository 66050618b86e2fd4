//! Schemas of other versions: which are migrated, read as they are, or refused.

use simops::ErrorKind;
use simops::clock::day_of;
use simops::event::DayTally;
use simops::recount::RecountExt;
use simops::store::{Commit, ControlStore, EventFilter, EventStore, TallyStore};
use simops_postgres::{PostgresOptions, PostgresStore};
use simops_tests::older::{add_agents, agents_in};
use simops_tests::pgbouncer::PgBouncer;
use simops_tests::postgres::{PostgresServer, TestDatabase};
use simops_tests::wait::eventually;
use sqlx::Connection;
use sqlx::postgres::PgConnection;

use crate::support::{change, event};

fn version(database: &TestDatabase) -> i64 {
    database.sql("SELECT version FROM simops_schema").trim().parse().unwrap()
}

/// What a newer simops does that lets programs of version `min_writer` write.
fn migrate_further(database: &TestDatabase, min_writer: i64) {
    database
        .sql(&format!("UPDATE simops_schema SET version = version + 1, min_writer = {min_writer}"));
}

/// A database of the last version without `min_writer`.
async fn older() -> TestDatabase {
    let database = PostgresServer::shared().database();
    drop(PostgresStore::open(&database.url()).await.unwrap());
    database.sql(simops_tests::older::POSTGRES);
    database
}

async fn open_unchanged(url: &str) -> simops::Result<PostgresStore> {
    let options = PostgresOptions { migrate: false, ..PostgresOptions::default() };
    PostgresStore::open_with(url, options).await
}

async fn commit(store: &PostgresStore) -> simops::Result<Commit> {
    store.commit(&change(&store.load().await?), None).await
}

fn assert_newer<T>(result: simops::Result<T>) {
    let refused = result.err().expect("it should be refused");
    assert_eq!(refused.kind(), ErrorKind::Unusable);
    assert!(refused.detail().contains("newer simops"), "{refused}");
    assert!(refused.detail().contains("upgrade"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_goes_on_after_a_migration_that_lets_it_write() {
    let database = PostgresServer::shared().database();
    let running = PostgresStore::open(&database.url()).await.unwrap();
    let known = version(&database);
    migrate_further(&database, known);
    assert_eq!(commit(&running).await.unwrap(), Commit::Done);
    // It may be restarted as well.
    let restarted = PostgresStore::open(&database.url()).await.unwrap();
    assert_eq!(commit(&restarted).await.unwrap(), Commit::Done);
    assert_eq!(version(&database), known + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_writes_nothing_after_a_migration_that_it_does_not_know() {
    let database = PostgresServer::shared().database();
    let pooler = PgBouncer::before(PostgresServer::shared());
    let direct = PostgresStore::open(&database.url()).await.unwrap();
    let pooled = PostgresStore::open(&pooler.url(&database)).await.unwrap();
    commit(&direct).await.unwrap();
    commit(&pooled).await.unwrap();
    migrate_further(&database, version(&database) + 1);
    for running in [direct, pooled] {
        assert_newer(commit(&running).await);
        assert_newer(running.ping().await);
        assert_newer(running.append(&[crate::support::event("late")]).await);
        assert_eq!(running.load().await.unwrap().generation, 2);
    }
    assert_newer(PostgresStore::open(&database.url()).await);
    assert_newer(open_unchanged(&database.url()).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_schema_is_read_as_it_is_and_takes_no_writes() {
    let database = older().await;
    let before = version(&database);
    let store = open_unchanged(&database.url()).await.unwrap();
    assert_eq!(store.load().await.unwrap().generation, 0);
    let filter = EventFilter { limit: 1, ..EventFilter::default() };
    assert!(store.events(&filter).await.unwrap().items.is_empty());
    assert_eq!(store.recount_kpi().await.unwrap().differences(), []);
    assert_eq!(store.recount().await.unwrap().differences(), []);
    let refused = commit(&store).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unusable);
    assert!(refused.detail().contains("simops-server"), "{refused}");
    assert_eq!(version(&database), before);

    database.sql("ALTER TABLE control RENAME COLUMN production_mark TO mark");
    let refused = store.load().await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unusable);
    assert!(refused.detail().contains("simops-server"), "{refused}");
    database.sql("ALTER TABLE control RENAME COLUMN mark TO production_mark");

    let writer = PostgresStore::open(&database.url()).await.unwrap();
    assert_eq!(commit(&writer).await.unwrap(), Commit::Done);
    assert!(version(&database) > before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agents_of_an_older_schema_keep_their_figures_and_others_may_have_names() {
    let database = PostgresServer::shared().database();
    let store = PostgresStore::open(&database.url()).await.unwrap();
    add_agents(&store).await;
    let before = agents_in(&store).await;
    assert!(before.iter().any(|read| read.contains("agent_id: Some(-8)")), "{before:?}");
    drop(store);
    database.sql(simops_tests::older::POSTGRES);
    let unchanged = open_unchanged(&database.url()).await.unwrap();
    assert_eq!(agents_in(&unchanged).await, before);
    assert_eq!(unchanged.recount().await.unwrap().differences(), []);
    drop(unchanged);
    let store = PostgresStore::open(&database.url()).await.unwrap();
    assert_eq!(agents_in(&store).await, before);

    let named = event("said").of_agent("Zoë");
    let day = day_of(named.created_at);
    store.append(&[named.clone(), named]).await.unwrap();
    let days = store.tally_days(day, day).await.unwrap();
    let of_zoe = |day: &&DayTally| day.class.agent_id == Some("Zoë".into());
    assert_eq!(days.iter().filter(of_zoe).map(|day| day.count).collect::<Vec<_>>(), [1]);
    assert_eq!(days.len(), 4, "{days:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_created_to_be_read() {
    let database = PostgresServer::shared().database();
    let refused = open_unchanged(&database.url()).await.err().expect("it should be refused");
    assert!(refused.detail().contains("empty"), "{refused}");
    let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'";
    assert_eq!(database.sql(tables).trim(), "0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_migration_waits_for_another_and_for_transactions_on_the_tables() {
    for holding in [
        "SELECT pg_advisory_xact_lock(1399410544)",
        "SELECT pg_advisory_xact_lock_shared(hashtext('simops schema'), hashtext('public'))",
        "SELECT * FROM simops_schema",
    ] {
        let database = older().await;
        let mut other = PgConnection::connect(&database.url()).await.unwrap();
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!("BEGIN; {holding}")))
            .execute(&mut other)
            .await
            .unwrap();
        let url = database.url();
        let opening = tokio::spawn(async move { PostgresStore::open(&url).await });
        eventually("the migration waits", async || {
            let waiting = "SELECT count(*) FROM pg_stat_activity \
                           WHERE datname = current_database() AND wait_event_type = 'Lock'";
            (database.sql(waiting).trim() == "1").then_some(())
        })
        .await;
        assert!(!opening.is_finished(), "{holding}");
        sqlx::raw_sql("COMMIT").execute(&mut other).await.unwrap();
        let store = opening.await.unwrap().unwrap();
        assert_eq!(commit(&store).await.unwrap(), Commit::Done, "{holding}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_migration_that_waits_for_a_long_read_does_not_hold_up_writes_meanwhile() {
    let database = older().await;
    let mut reader = PgConnection::connect(&database.url()).await.unwrap();
    sqlx::raw_sql("BEGIN; SELECT * FROM simops_schema").execute(&mut reader).await.unwrap();
    let url = database.url();
    let opening = tokio::spawn(async move { PostgresStore::open(&url).await });
    let mut granted = 0;
    // A writer of the older version, as it begins its transactions.
    let mut writer = PgConnection::connect(&database.url()).await.unwrap();
    eventually("writes between attempts to migrate", async || {
        sqlx::raw_sql(
            "BEGIN; SET LOCAL lock_timeout = '5s'; \
             SELECT pg_advisory_xact_lock_shared(hashtext('simops schema'), hashtext('public')); \
             SELECT version FROM simops_schema; COMMIT",
        )
        .execute(&mut writer)
        .await
        .unwrap();
        granted += 1;
        (granted >= 50).then_some(())
    })
    .await;
    assert!(!opening.is_finished());
    sqlx::raw_sql("COMMIT").execute(&mut reader).await.unwrap();
    opening.await.unwrap().unwrap();
}
