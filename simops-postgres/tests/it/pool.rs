//! An exhausted connection pool.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use simops::ErrorKind;
use simops::clock::day_of;
use simops::store::sql::SqlStore;
use simops::store::{ControlStore, DigestStore, EventFilter, EventStore, HostStore, UsageStore};
use simops::usage::CounterEpochStore;
use simops_postgres::{PostgresOptions, PostgresStore};
use simops_tests::pgbouncer::PgBouncer;
use simops_tests::postgres::{PostgresServer, TestDatabase};
use simops_tests::wait::{Stopwatch, eventually};

use crate::support::{LIMIT, commit, event};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_pool_is_seen_refuses_in_time_and_recovers() {
    let database = PostgresServer::shared().database();
    let options = PostgresOptions {
        max_connections: 3,
        acquire_timeout: Duration::from_millis(300),
        max_waiting: 20,
        ..PostgresOptions::default()
    };
    let store = Arc::new(PostgresStore::open_with(&database.url(), options).await.unwrap());
    let holder = database.hold("events").await;
    let calls: Vec<_> = (0..60)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let stopwatch = Stopwatch::start();
                let filter = EventFilter { limit: 1, ..EventFilter::default() };
                (store.events(&filter).await, stopwatch.elapsed())
            })
        })
        .collect();
    eventually("the pool is full", async || (store.pool_utilization() >= 1.0).then_some(())).await;
    // All but the three that hold a connection are refused.
    eventually("those without a connection are refused", async || {
        (calls.iter().filter(|call| call.is_finished()).count() == 57).then_some(())
    })
    .await;
    drop(holder);
    eventually("the pool has room again", async || {
        (store.pool_utilization() == 0.0 && store.load().await.is_ok()).then_some(())
    })
    .await;
    let mut granted = 0;
    for call in calls {
        match call.await.unwrap() {
            (Ok(_), _) => granted += 1,
            (Err(error), took) => {
                assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
                assert!(error.detail().contains("in use"), "{error:?}");
                assert!(error.retry_after().is_some());
                assert!(took < Duration::from_secs(2), "{took:?}");
            }
        }
    }
    assert_eq!(granted, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_is_given_up_leaves_no_transaction_and_no_lock() {
    let database = PostgresServer::shared().database();
    let store = PostgresStore::open(&database.url()).await.unwrap();
    let holder = database.hold("audit").await;
    let appended = tokio::time::timeout(Duration::from_millis(300), store.audit(1, 0)).await;
    assert!(appended.is_err(), "it should wait for the table");
    drop(holder);
    commit(&store).await;
    store.append(&[event("after")]).await.unwrap();
    eventually("no session is left in a transaction", async || {
        let idle = database.sql(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
             AND state LIKE 'idle in transaction%'",
        );
        (idle.trim() == "0" && store.pool_utilization() == 0.0).then_some(())
    })
    .await;
}

/// The processes of the server that serve the store, those that meet `condition`.
fn processes(database: &TestDatabase, condition: &str) -> BTreeSet<String> {
    let processes = database.sql(&format!(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() \
         AND application_name = 'simops' AND {condition}",
    ));
    processes.lines().map(String::from).collect()
}

/// The processes that run a statement of the store.
fn running(database: &TestDatabase) -> BTreeSet<String> {
    processes(database, "state = 'active'")
}

async fn given_up_statements_end(database: &TestDatabase, store: PostgresStore) {
    let holder = database.hold("events").await;
    let store = Arc::new(store);
    let reads: Vec<_> = (0..4)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.events(&EventFilter::default()).await })
        })
        .collect();
    eventually("the reads wait for the table", async || {
        (running(database).len() == 4).then_some(())
    })
    .await;
    let before = running(database);
    reads.iter().for_each(|read| read.abort());
    eventually("they are cancelled, while the table is still held", async || {
        (running(database).is_empty() && store.pool_utilization() == 0.0).then_some(())
    })
    .await;
    drop(holder);
    assert!(store.events(&EventFilter { limit: 1, ..EventFilter::default() }).await.is_ok());
    let after = processes(database, "true");
    assert!(before.is_subset(&after), "connections were lost: {before:?}, {after:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_whose_caller_is_gone_is_cancelled_at_the_server() {
    let database = PostgresServer::shared().database();
    let store = PostgresStore::open_with(&database.url(), slow_to_give_up()).await.unwrap();
    given_up_statements_end(&database, store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_a_pooler_too() {
    let database = PostgresServer::shared().database();
    let pooler = PgBouncer::before(PostgresServer::shared());
    let store = PostgresStore::open_with(&pooler.url(&database), slow_to_give_up()).await.unwrap();
    given_up_statements_end(&database, store).await;
}

/// Neither the server nor the store ends a call during the test.
fn slow_to_give_up() -> PostgresOptions {
    PostgresOptions { call_timeout: LIMIT * 2, ..PostgresOptions::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn run_control_hosts_and_health_do_not_wait_for_other_calls() {
    let database = PostgresServer::shared().database();
    let options = PostgresOptions { max_connections: 2, ..slow_to_give_up() };
    let store = Arc::new(PostgresStore::open_with(&database.url(), options).await.unwrap());
    let holder = database.hold("digests").await;
    let reads: Vec<_> = (0..20)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.digest("weekly-brief").await })
        })
        .collect();
    eventually("the pool is full", async || (store.pool_utilization() >= 1.0).then_some(())).await;
    let now = Timestamp::now();
    commit(&store).await;
    store.run("one").await.unwrap();
    store.idempotency_record("key").await.unwrap();
    store.hosts(now).await.unwrap();
    store.probe().await.unwrap();
    store.day_totals(day_of(now)).await.unwrap();
    store.failure_window("one", now).await.unwrap();
    store.counter_epoch().await.unwrap();
    assert!(store.pool_utilization() >= 1.0);
    reads.iter().for_each(|read| read.abort());
    drop(holder);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn given_up_statements_are_cancelled_while_all_connections_are_in_use() {
    let database = PostgresServer::shared().database();
    let options = PostgresOptions { max_connections: 3, ..slow_to_give_up() };
    let store = Arc::new(PostgresStore::open_with(&database.url(), options).await.unwrap());
    let holders = (database.hold("digests").await, database.hold("runs").await);
    let reads: Vec<_> = (0..3)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.digest("weekly-brief").await })
        })
        .collect();
    eventually("the pool is full", async || (store.pool_utilization() >= 1.0).then_some(())).await;
    let controls: Vec<_> = (0..2)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.run("one").await })
        })
        .collect();
    eventually("what is kept is in use too", async || {
        (running(&database).len() == 5).then_some(())
    })
    .await;
    reads.iter().for_each(|read| read.abort());
    eventually("only run control waits", async || {
        (running(&database).len() == 2 && store.pool_utilization() == 0.0).then_some(())
    })
    .await;
    drop(holders);
    for control in controls {
        control.await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadlocked_transaction_is_rolled_back_and_retried() {
    let database = PostgresServer::shared().database();
    let store = Arc::new(PostgresStore::open(&database.url()).await.unwrap());
    database.sql("ALTER SYSTEM SET deadlock_timeout = '20ms'");
    database.sql("SELECT pg_reload_conf()");
    commit(&store).await;
    // Another program takes the locks of a commit in the opposite order, until that deadlocks.
    let url = database.url();
    let deadlocks = || {
        let sql = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
        database.sql(sql).trim().parse::<u64>().unwrap()
    };
    let (end, ended) = tokio::sync::watch::channel(false);
    let rival = tokio::spawn(async move {
        while !*ended.borrow() {
            let statement = "BEGIN; UPDATE revisions SET revision = revision; \
                             SELECT pg_sleep(0.02); UPDATE control SET world_epoch = world_epoch; \
                             COMMIT";
            let mut psql = tokio::process::Command::new("psql");
            psql.args(["-X", "-q", "-c", statement, &url]).kill_on_drop(true);
            let _ = psql.output().await;
        }
    });
    let before = store.load().await.unwrap().generation;
    let mut done = 0;
    eventually("a deadlock", async || {
        commit(&store).await;
        done += 1;
        // Postgres counts it a moment later.
        (done >= 40 && deadlocks() > 0).then_some(())
    })
    .await;
    end.send(true).unwrap();
    rival.await.unwrap();
    assert_eq!(store.load().await.unwrap().generation, before + done);
}
