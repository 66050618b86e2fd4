//! How a store learns of commits by other processes.

use std::time::Duration;

use simops::store::ControlStore;
use simops_postgres::{PostgresOptions, PostgresStore};
use simops_tests::pgbouncer::PgBouncer;
use simops_tests::postgres::PostgresServer;

use crate::support::{LIMIT, commit};

/// Options of a store that never polls.
fn without_polling() -> PostgresOptions {
    let never = Duration::from_secs(3600);
    PostgresOptions {
        poll_interval: never,
        poll_interval_unnotified: never,
        ..PostgresOptions::default()
    }
}

/// Commits on one store until the other is notified.
async fn is_notified(of: &PostgresStore, other: &PostgresStore) {
    let mut watch = other.watch();
    // The first may come before the other store listens.
    let commits = async {
        loop {
            watch.mark_unchanged();
            commit(of).await;
            if tokio::time::timeout(Duration::from_secs(1), watch.changed()).await.is_ok() {
                return;
            }
        }
    };
    tokio::time::timeout(LIMIT, commits).await.expect("no notification of a commit");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_is_seen_by_notification_alone() {
    let database = PostgresServer::shared().database();
    let one = PostgresStore::open(&database.url()).await.unwrap();
    let other = PostgresStore::open_with(&database.url(), without_polling()).await.unwrap();
    is_notified(&one, &other).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_a_pooler_notifications_come_by_the_direct_address() {
    let database = PostgresServer::shared().database();
    let pooler = PgBouncer::before(PostgresServer::shared());
    let one = PostgresStore::open(&pooler.url(&database)).await.unwrap();
    let options = PostgresOptions { direct_url: Some(database.url()), ..without_polling() };
    let other = PostgresStore::open_with(&pooler.url(&database), options).await.unwrap();
    is_notified(&one, &other).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_whose_connection_is_lost_listens_again_and_misses_nothing() {
    let database = PostgresServer::shared().database();
    let one = PostgresStore::open(&database.url()).await.unwrap();
    let other = PostgresStore::open_with(&database.url(), without_polling()).await.unwrap();
    is_notified(&one, &other).await;
    let mut watch = other.watch();
    watch.mark_unchanged();
    database.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
         WHERE datname = current_database() AND pid <> pg_backend_pid()",
    );
    commit(&one).await;
    tokio::time::timeout(LIMIT, watch.changed()).await.expect("a missed commit").unwrap();
}
