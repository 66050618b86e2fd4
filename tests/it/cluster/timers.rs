//! Timers run on one replica at a time, and move when it crashes or loses its connection.

use std::time::Duration;

use simops_tests::network::{Network, Proxy};
use simops_tests::postgres::{PostgresServer, TestDatabase};
use simops_tests::wait::{Stopwatch, eventually};

use super::server;

/// How long the timers may be without a live holder of their lease.
const MOVES_WITHIN: Duration = Duration::from_secs(15);

/// The holder of the lease of a timer, and its fencing token.
fn lease(database: &TestDatabase) -> Option<(String, i64)> {
    let row = database.sql("SELECT holder, fence FROM duties WHERE duty = 'deliveries'");
    let (holder, fence) = row.trim().split_once('|')?;
    (!holder.is_empty()).then(|| Some((holder.to_owned(), fence.parse().ok()?)))?
}

async fn until_after(database: &TestDatabase, fence: i64) -> (String, i64) {
    eventually("the lease has another holder", async || {
        lease(database).filter(|(_, now)| *now > fence)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn timers_move_within_15_seconds_from_a_replica_that_dies_or_is_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    let database = PostgresServer::shared().database();
    let first = server(dir.path(), &database.url()).start().await;
    let (one, fence) = until_after(&database, 0).await;
    let proxy = Proxy::before(PostgresServer::shared().port()).await;
    let far = server(dir.path(), &database.url_at(proxy.port())).start().await;

    let died = Stopwatch::start();
    first.kill().await;
    let (two, fence) = until_after(&database, fence).await;
    assert!(died.elapsed() < MOVES_WITHIN, "{:?}", died.elapsed());
    assert_ne!(one, two);

    let near = server(dir.path(), &database.url()).start().await;
    let parted = Stopwatch::start();
    proxy.set(Network::Silent);
    let (three, fence) = until_after(&database, fence).await;
    assert!(parted.elapsed() < MOVES_WITHIN, "{:?}", parted.elapsed());
    assert_ne!(two, three);

    // Who comes back does not take up again what it had.
    proxy.set(Network::Whole);
    eventually("the far server answers", async || {
        (far.client.get("status").await.status == 200).then_some(())
    })
    .await;
    assert_eq!(lease(&database), Some((three, fence)));
    assert!(near.terminate().await && far.terminate().await);
}
