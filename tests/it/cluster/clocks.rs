//! Processes whose clocks disagree.

use jiff::Timestamp;
use serde_json::json;
use simops_tests::clock::clock;
use simops_tests::postgres::PostgresServer;
use simops_tests::{Server, WorkerProcess, eventually};

use super::{actions, server, start_run, until_hosts};

/// How far a server's clock is ahead of ours, in seconds.
async fn ahead(server: &Server) -> f64 {
    let status = server.client.get("status").await.ok();
    let theirs: Timestamp = status["server_time_utc"].as_str().unwrap().parse().unwrap();
    theirs.duration_since(Timestamp::now()).as_secs_f64()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_and_workers_whose_clocks_are_seconds_apart_act_as_one() {
    let dir = tempfile::tempdir().unwrap();
    let database = PostgresServer::shared().database();
    let url = database.url();
    let right = server(dir.path(), &url).start().await;
    let fast = clock("+5s")
        .iter()
        .fold(server(dir.path(), &url), |builder, (name, value)| builder.env(name, value));
    let fast = fast.start().await;
    assert!(ahead(&fast).await > 4.0 && ahead(&right).await < 1.0, "{}", ahead(&fast).await);
    let holder = || database.sql("SELECT holder, fence FROM duties WHERE duty = 'closeout'");
    let had = eventually("a lease has a holder", async || {
        Some(holder()).filter(|held| !held.trim().is_empty())
    })
    .await;

    let slow = clock("-5s");
    let slow = slow.iter().map(|(name, value)| (*name, value.as_str()));
    let slow: Vec<_> = slow.chain([("DATABASE_URL", url.as_str())]).collect();
    let slow = WorkerProcess::start_with(dir.path(), "slow", &slow);
    let punctual = WorkerProcess::start(dir.path(), &url, "punctual");
    for round in 0..4 {
        // Each in turn starts what the other stops.
        let (one, other) = if round % 2 == 0 { (&right, &fast) } else { (&fast, &right) };
        start_run(&one.client, &format!("run-{round}")).await;
        other.until_state("running").await;
        let taken = actions(other).await;
        eventually("turns are taken", async || (actions(other).await > taken + 10).then_some(()))
            .await;
        for server in [&right, &fast] {
            until_hosts(server, &["slow", "punctual"], "running").await;
        }
        other.client.post("control/run/stop", &json!({})).await.ok();
        one.until_state("stopped").await;
        let row = one.client.get(&format!("runs/run-{round}")).await.ok();
        assert!(row["ended_at"].is_string(), "{row}");
    }

    // One of two that start at once wins, whatever their clocks say.
    let bodies = ["a", "b"].map(|id| json!({"mode": "test", "run_id": id}));
    let (first, second) = tokio::join!(
        right.client.post("control/run/start", &bodies[0]),
        fast.client.post("control/run/start", &bodies[1]),
    );
    let mut answers = [first.status, second.status];
    answers.sort_unstable();
    assert_eq!(answers, [200, 409]);

    let verified =
        simops_tests::cli(dir.path(), &["audit", "verify", "--database-url", &url]).await;
    assert!(verified.status.success(), "{verified:?}");
    let audit = right.client.get("audit?limit=500").await.ok();
    let ids: Vec<_> =
        audit["items"].as_array().unwrap().iter().map(|row| row["id"].as_i64()).collect();
    assert!(ids.is_sorted_by(|newer, older| newer > older), "{ids:?}");
    assert_eq!(holder(), had, "a clock that is ahead takes no lease from a live holder");
    assert!(slow.terminate().await && punctual.terminate().await);
    assert!(right.terminate().await && fast.terminate().await);
}
