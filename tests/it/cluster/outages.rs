//! The database fails in every way a network and a server know; what was acknowledged stays.

use std::time::Duration;

use serde_json::json;
use simops_tests::network::{Network, Proxy};
use simops_tests::postgres::{End, PostgresServer};
use simops_tests::provider::{Provider, Reply};
use simops_tests::redis::RedisServer;
use simops_tests::wait::Stopwatch;
use simops_tests::{WorkerProcess, cli, eventually};

use super::load::{Load, check};
use super::{actions, server, start_run, until_hosts};

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
    eventually("turns go on", async || (actions(&server).await > before + 20).then_some(())).await;
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
    // No request hangs: each is answered with 503.
    for _ in 0..3 {
        let asked = Stopwatch::start();
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
    until_hosts(&server, &["far", "near"], "running").await;

    let parted = Stopwatch::start();
    proxy.set(Network::Silent);
    until_hosts(&server, &["far"], "lost").await;
    assert!(parted.elapsed() < Duration::from_secs(18), "{:?}", parted.elapsed());
    let before = actions(&server).await;
    eventually("the near worker continues", async || {
        (actions(&server).await > before + 20).then_some(())
    })
    .await;
    server.client.post("control/pause", &json!({})).await.ok();
    // Who is lost does not count: those who live have confirmed.
    server.until_state("paused").await;
    let moved = actions(&server).await;
    tokio::time::sleep(Duration::from_secs(30).saturating_sub(parted.wall_clock())).await;
    proxy.set(Network::Whole);
    until_hosts(&server, &["far"], "paused").await;
    assert_eq!(actions(&server).await, moved, "something moved after the pause");
    server.client.post("control/resume", &json!({})).await.ok();
    server.until_state("running").await;
    assert!(near.terminate().await && far.terminate().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fail_over_to_a_synchronous_standby_loses_no_acknowledged_write() {
    let dir = tempfile::tempdir().unwrap();
    let mut primary = PostgresServer::own();
    let standby = primary.standby(true);
    // An address that stays, as a managed Postgres has.
    let proxy = Proxy::before(primary.port()).await;
    let url = format!("postgres://postgres@127.0.0.1:{}/postgres", proxy.port());
    let server = server(dir.path(), &url).start().await;
    let worker = WorkerProcess::start(dir.path(), &url, "moved");
    start_run(&server.client, "failed-over").await;
    let load = Load::start(4, std::slice::from_ref(&server.client));
    load.goes_on(60).await;
    primary.stop(End::Immediate);
    // For a while the address leads to the standby before it takes writes.
    proxy.lead_to(standby.port());
    tokio::time::sleep(Duration::from_millis(500)).await;
    standby.promote();
    load.goes_on(60).await;
    let acknowledged = load.stop().await;
    check(&server.client, &acknowledged).await;
    let before = actions(&server).await;
    eventually("turns go on", async || (actions(&server).await > before + 20).then_some(())).await;
    assert!(worker.terminate().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_of_redis_and_postgres_together_leaves_a_correct_ledger() {
    let dir = tempfile::tempdir().unwrap();
    let database = PostgresServer::shared().database();
    let to_postgres = Proxy::before(PostgresServer::shared().port()).await;
    let redis = RedisServer::start(dir.path()).await;
    let to_redis = Proxy::before(redis.port()).await;
    let provider = Provider::start(|_| Reply::action()).await;
    let url = database.url_at(to_postgres.port());
    let redis_url = format!("redis://127.0.0.1:{}", to_redis.port());
    let server = server(dir.path(), &url).env("REDIS_URL", &redis_url).start().await;
    let worker = WorkerProcess::start_with(
        dir.path(),
        "caller",
        &[("DATABASE_URL", &url), ("REDIS_URL", &redis_url), ("GROQ_BASE_URL", &provider.url)],
    );
    start_run(&server.client, "bereft").await;
    let calls = async || {
        let status = server.client.get("status").await;
        status.body["llm_budget"]["calls_total"].as_i64().unwrap_or_default()
    };
    eventually("calls are made", async || (calls().await > 20).then_some(())).await;
    for _ in 0..2 {
        to_postgres.set(Network::Cut);
        to_redis.set(Network::Cut);
        let answer = server.client.get("runs").await;
        assert_eq!(answer.status, 503, "{answer:?}");
        tokio::time::sleep(Duration::from_secs(2)).await;
        to_redis.set(Network::Whole);
        to_postgres.set(Network::Whole);
        let before = eventually("the server is back", async || {
            Some(calls().await).filter(|calls| *calls > 0)
        })
        .await;
        eventually("calls go on", async || (calls().await > before).then_some(())).await;
    }
    server.client.post("control/run/stop", &json!({})).await.ok();
    server.until_state("stopped").await;
    assert!(worker.terminate().await);
    let verified = cli(dir.path(), &["usage", "verify", "--database-url", &database.url()]).await;
    assert!(verified.status.success(), "{verified:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_whose_pool_is_full_answers_503_with_retry_after_and_does_not_pile_up() {
    let dir = tempfile::tempdir().unwrap();
    let database = PostgresServer::shared().database();
    let builder = server(dir.path(), &database.url())
        .env("DATABASE_MAX_CONNECTIONS", "2")
        .env("DATABASE_ACQUIRE_TIMEOUT_SECONDS", "1")
        .env("DATABASE_ANSWER_TIMEOUT_SECONDS", "4");
    let server = builder.start().await;
    let lock = "BEGIN; LOCK TABLE runs; SELECT pg_sleep(3)";
    let holder = tokio::process::Command::new("psql")
        .args(["-X", "-q", "-c", lock, &database.url()])
        .spawn()
        .unwrap();
    eventually("the table is held", async || {
        let held = "SELECT count(*) FROM pg_locks WHERE relation = 'runs'::regclass \
                    AND mode = 'AccessExclusiveLock' AND granted";
        (database.sql(held).trim() == "1").then_some(())
    })
    .await;
    let asked: Vec<_> = (0..40)
        .map(|_| {
            let client = server.client.clone();
            tokio::spawn(async move {
                let begun = Stopwatch::start();
                let response = client.request(reqwest::Method::GET, "runs").send().await.unwrap();
                let retry_after = response.headers().contains_key("retry-after");
                (response.status().as_u16(), retry_after, begun.elapsed())
            })
        })
        .collect();
    let mut refused = 0;
    for answer in asked {
        let (status, retry_after, took) = answer.await.unwrap();
        assert!(took < Duration::from_secs(5), "{took:?}");
        match status {
            200 => {}
            503 => {
                assert!(retry_after);
                refused += 1;
            }
            _ => panic!("{status}"),
        }
    }
    assert!(refused >= 30, "{refused}");
    holder.wait_with_output().await.unwrap();
    eventually("the server answers again", async || {
        (server.client.get("runs").await.status == 200).then_some(())
    })
    .await;
}
