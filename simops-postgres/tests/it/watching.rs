//! How a store hears of the commits of others.

use std::time::Duration;

use simops::store::ControlStore;
use simops_postgres::{PostgresOptions, PostgresStore};
use simops_tests::pgbouncer::PgBouncer;
use simops_tests::postgres::PostgresServer;

use crate::support::{SOON, commit};

/// Never looks by itself.
fn blind() -> PostgresOptions {
    let never = Duration::from_secs(3600);
    PostgresOptions {
        look_every: never,
        look_every_unnotified: never,
        ..PostgresOptions::default()
    }
}

/// Commits on one store until the other is told.
async fn is_told(of: &PostgresStore, told: &PostgresStore) {
    let mut watch = told.watch();
    // The first may come before anybody listens.
    let commits = async {
        loop {
            watch.mark_unchanged();
            commit(of).await;
            if tokio::time::timeout(Duration::from_secs(1), watch.changed()).await.is_ok() {
                return;
            }
        }
    };
    tokio::time::timeout(SOON, commits).await.expect("nobody told of a commit");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_is_told_by_notification_alone() {
    let database = PostgresServer::shared().database();
    let one = PostgresStore::open(&database.url()).await.unwrap();
    let other = PostgresStore::open_with(&database.url(), blind()).await.unwrap();
    is_told(&one, &other).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_a_pooler_notifications_come_by_the_direct_address() {
    let database = PostgresServer::shared().database();
    let pooler = PgBouncer::before(PostgresServer::shared());
    let one = PostgresStore::open(&pooler.url(&database)).await.unwrap();
    let options = PostgresOptions { direct_url: Some(database.url()), ..blind() };
    let other = PostgresStore::open_with(&pooler.url(&database), options).await.unwrap();
    is_told(&one, &other).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_whose_connection_is_lost_listens_again_and_misses_nothing() {
    let database = PostgresServer::shared().database();
    let one = PostgresStore::open(&database.url()).await.unwrap();
    let other = PostgresStore::open_with(&database.url(), blind()).await.unwrap();
    is_told(&one, &other).await;
    let mut watch = other.watch();
    watch.mark_unchanged();
    database.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
         WHERE datname = current_database() AND pid <> pg_backend_pid()",
    );
    commit(&one).await;
    tokio::time::timeout(SOON, watch.changed()).await.expect("a missed commit").unwrap();
}
