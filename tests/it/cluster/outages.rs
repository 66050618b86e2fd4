//! The database fails in every way a network and a server know; what was acknowledged stays.

use std::time::{Duration, Instant};

use serde_json::json;
use simops_tests::network::{Network, Proxy};
use simops_tests::postgres::{End, PostgresServer};
use simops_tests::{WorkerProcess, cli, eventually};

use super::load::{Load, check};
use super::{actions, host, server, start_run};

const SOON: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_of_postgres_under_load_loses_nothing_and_all_go_on_by_themselves() {
    let dir = tempfile::tempdir().unwrap();
    let mut postgres = PostgresServer::own();
    let url = postgres.url("postgres");
    let server = server(dir.path(), &url).start().await;
    let workers = ["one", "two"].map(|id| WorkerProcess::start(dir.path(), &url, id));
    start_run(&server.client, "restarted").await;
    let load = Load::start(4, std::slice::from_ref(&server.client));
    for end in [End::Fast, End::Immediate, End::Immediate] {
        load.goes_on(40).await;
        postgres.stop(end);
        postgres.begin();
    }
    load.goes_on(40).await;
    let acknowledged = load.stop().await;
    check(&server.client, &acknowledged).await;
    let before = actions(&server).await;
    eventually("turns go on", SOON, async || (actions(&server).await > before + 20).then_some(()))
        .await;
    server.client.post("control/run/stop", &json!({})).await.ok();
    server.until_state("stopped").await;
    let verified = cli(dir.path(), &["usage", "verify", "--database-url", &url]).await;
    assert!(verified.status.success(), "{verified:?}");
    for worker in workers {
        assert!(worker.terminate().await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_dropped_mid_commit_are_resolved_by_the_key_and_not_guessed() {
    let dir = tempfile::tempdir().unwrap();
    let database = PostgresServer::shared().database();
    let proxy = Proxy::before(PostgresServer::shared().port()).await;
    let server = server(dir.path(), &database.url_at(proxy.port())).start().await;
    let load = Load::start(6, std::slice::from_ref(&server.client));
    for round in 0..40 {
        // At another moment of the transactions each time.
        load.goes_on(1 + round % 7).await;
        proxy.reset_connections();
    }
    load.goes_on(20).await;
    let acknowledged = load.stop().await;
    check(&server.client, &acknowledged).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_and_a_silent_network_cost_time_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let database = PostgresServer::shared().database();
    let proxy = Proxy::before(PostgresServer::shared().port()).await;
    let url = database.url_at(proxy.port());
    let builder = server(dir.path(), &url).env("DATABASE_ANSWER_TIMEOUT_SECONDS", "2");
    let server = builder.start().await;
    let load = Load::start(3, std::slice::from_ref(&server.client));
    proxy.set(Network::Delayed(Duration::from_millis(20)));
    load.goes_on(5).await;
    proxy.set(Network::Throttled(200_000));
    load.goes_on(5).await;
    proxy.set(Network::Silent);
    // Nobody hangs: who asks is told that the database is away.
    for _ in 0..3 {
        let asked = Instant::now();
        let answer = server.client.get("runs").await;
        assert_eq!(answer.status, 503, "{answer:?}");
        assert!(asked.elapsed() < Duration::from_secs(6), "{:?}", asked.elapsed());
    }
    proxy.set(Network::Whole);
    load.goes_on(20).await;
    let acknowledged = load.stop().await;
    check(&server.client, &acknowledged).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_cut_off_for_30_seconds_is_shown_as_lost_and_catches_up_before_it_does_anything() {
    let dir = tempfile::tempdir().unwrap();
    let database = PostgresServer::shared().database();
    let proxy = Proxy::before(PostgresServer::shared().port()).await;
    let server = server(dir.path(), &database.url()).start().await;
    let near = WorkerProcess::start(dir.path(), &database.url(), "near");
    let far = WorkerProcess::start(dir.path(), &database.url_at(proxy.port()), "far");
    start_run(&server.client, "parted").await;
    eventually("both take turns", SOON, async || {
        let status = server.client.get("status").await.ok();
        (host(&status, "far") == Some("running") && host(&status, "near") == Some("running"))
            .then_some(())
    })
    .await;

    let parted = Instant::now();
    proxy.set(Network::Silent);
    eventually("the far worker is shown as lost", SOON, async || {
        let status = server.client.get("status").await.ok();
        (host(&status, "far") == Some("lost")).then_some(())
    })
    .await;
    assert!(parted.elapsed() < Duration::from_secs(18), "{:?}", parted.elapsed());
    let before = actions(&server).await;
    eventually("the near worker goes on", SOON, async || {
        (actions(&server).await > before + 20).then_some(())
    })
    .await;
    server.client.post("control/pause", &json!({})).await.ok();
    // Who is lost does not count: those who live have confirmed.
    server.until_state("paused").await;
    let moved = actions(&server).await;
    tokio::time::sleep(Duration::from_secs(30).saturating_sub(parted.elapsed())).await;
    proxy.set(Network::Whole);
    eventually("the far worker has caught up", SOON, async || {
        let status = server.client.get("status").await.ok();
        (host(&status, "far") == Some("paused")).then_some(())
    })
    .await;
    assert_eq!(actions(&server).await, moved, "something moved after the pause");
    server.client.post("control/resume", &json!({})).await.ok();
    server.until_state("running").await;
    assert!(near.terminate().await && far.terminate().await);
}
