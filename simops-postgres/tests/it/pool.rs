//! An exhausted connection pool.

use std::sync::Arc;
use std::time::Duration;

use simops::ErrorKind;
use simops::store::{ControlStore, EventFilter, EventStore};
use simops_postgres::{PostgresOptions, PostgresStore};
use simops_tests::postgres::PostgresServer;
use simops_tests::wait::{Stopwatch, eventually};

use crate::support::{commit, event};

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
