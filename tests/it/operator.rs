//! What an operator sees of the real server: a run started, acting, held, stopped, reset.

use std::time::Duration;

use serde_json::{Value, json};
use simops_tests::wait::Stopwatch;
use simops_tests::{Client, Server, ServerBuilder, WorkerProcess, cli, eventually};

async fn event_types(server: &Server) -> Vec<String> {
    let events = server.client.get("events?limit=500").await.ok();
    let items = events["items"].as_array().unwrap();
    items.iter().map(|event| event["event_type"].as_str().unwrap().to_owned()).collect()
}

async fn newest_event(server: &Server) -> i64 {
    let events = server.client.get("events?limit=1").await.ok();
    events["items"][0]["id"].as_i64().unwrap()
}

/// A generated token: the only long word of letters and digits that a server prints.
fn token_in(printed: &str) -> Option<&str> {
    printed.split(|c: char| !c.is_ascii_alphanumeric()).find(|word| word.len() >= 32)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newcomer_starts_a_run_sees_a_society_act_and_stops_it() {
    let dir = tempfile::tempdir().unwrap();
    let server = ServerBuilder::new(dir.path()).without("ADMIN_API_TOKEN").start().await;
    let refused = server.client.get("status").await;
    assert_eq!(refused.status, 401, "{refused:?}");
    // Without a token one is generated and printed.
    let printed = eventually("a token", async || {
        Some(server.printed()).filter(|printed| token_in(printed).is_some())
    })
    .await;
    let client = Client::new(&server.base, token_in(&printed).unwrap_or_default());
    assert_eq!(client.get("status").await.ok()["run_state"], "idle");
    assert!(server.terminate().await);

    let dir = tempfile::tempdir().unwrap();
    let server = ServerBuilder::new(dir.path()).env("SIMOPS_WORLD_SPEED", "10").start().await;
    let body = json!({"mode": "test", "reset_world": true, "reason": "first look"});
    let started = server.client.post("control/run/start", &body).await.ok();
    assert_eq!(started["simulation_active"], true);
    assert_eq!(started["reset_world"], true);
    server.until_state("running").await;
    // At the default pace a person sees a society within 20 s.
    let wanted = ["proposal_created", "vote_cast", "forum_post"];
    let stopwatch = Stopwatch::start();
    eventually("proposals, votes and forum posts", async || {
        let seen = event_types(&server).await;
        wanted.iter().all(|kind| seen.iter().any(|type_| type_ == kind)).then_some(())
    })
    .await;
    assert!(stopwatch.elapsed() < Duration::from_secs(20), "{stopwatch:?}");
    let metrics = server.client.get("run/metrics").await.ok();
    assert_eq!(metrics["run_id"], started["run_id"]);
    for (group, field) in [
        ("activity", "deterministic_actions"),
        ("activity", "forum_messages"),
        ("activity", "vote_actions"),
        ("governance", "proposals_created"),
        ("governance", "votes_cast"),
    ] {
        assert!(metrics[group][field].as_i64().unwrap() > 0, "{group}.{field}: {metrics}");
    }
    assert_eq!(metrics["activity"]["checkpoint_actions"], 0);
    let stopped = server.client.post("control/run/stop", &json!({})).await.ok();
    assert_eq!(stopped["simulation_paused"], true);
    server.until_state("stopped").await;
    assert!(server.terminate().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_pause_is_acknowledged_nothing_happens_any_more() {
    let dir = tempfile::tempdir().unwrap();
    let server = ServerBuilder::new(dir.path()).start().await;
    server.client.post("control/run/start", &json!({"mode": "test"})).await.ok();
    server.until_state("running").await;
    for _ in 0..5 {
        let begun = newest_event(&server).await;
        eventually("turns", async || (newest_event(&server).await > begun + 3).then_some(())).await;
        server.client.post("control/pause", &json!({})).await.ok();
        // The store refuses work of an older generation: not one event follows the pause.
        let paused = newest_event(&server).await;
        server.until_state("paused").await;
        assert_eq!(newest_event(&server).await, paused);
        server.client.post("control/resume", &json!({})).await.ok();
        server.until_state("running").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_process_follows_the_server_over_the_database() {
    let dir = tempfile::tempdir().unwrap();
    let server = ServerBuilder::new(dir.path()).arg("--host").arg("none").start().await;
    let reset = server.client.post("control/run/reset-dev", &json!({})).await;
    assert_eq!(reset.status, 409, "a reset without a host: {reset:?}");

    let worker = WorkerProcess::start_with(dir.path(), "one", &[]);
    eventually("the worker reports", async || {
        let status = server.client.get("status").await.ok();
        (!status["hosts"].as_array().unwrap().is_empty()).then_some(())
    })
    .await;
    let body = json!({"mode": "test", "reset_world": true});
    server.client.post("control/run/start", &body).await.ok();
    server.until_state("running").await;
    eventually("the worker's agents act", async || {
        let seen = event_types(&server).await;
        (seen.iter().filter(|type_| *type_ == "vote_cast").count() > 2).then_some(())
    })
    .await;
    server.client.post("control/run/stop", &json!({})).await.ok();
    server.until_state("stopped").await;

    assert!(worker.terminate().await);
    eventually("the host that left is not shown", async || {
        let status = server.client.get("status").await.ok();
        (status["hosts"] == json!([])).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_says_the_same_on_the_database_and_on_the_server() {
    let dir = tempfile::tempdir().unwrap();
    let server = ServerBuilder::new(dir.path()).start().await;
    server.client.post("control/run/start", &json!({"mode": "test", "run_id": "both"})).await.ok();
    std::fs::write(dir.path().join("token"), simops_tests::process::TOKEN).unwrap();
    let url = ["--url", &server.base, "--token-file", "token"];
    for command in [
        vec!["run", "show", "both"],
        vec!["config", "get"],
        vec!["audit", "list"],
        vec!["audit", "verify"],
    ] {
        let direct = cli(dir.path(), &command).await;
        assert!(direct.status.success(), "{command:?}: {direct:?}");
        let remote = cli(dir.path(), &[&command[..], &url[..]].concat()).await;
        assert!(remote.status.success(), "{command:?}: {remote:?}");
        let parse = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap();
        assert_eq!(parse(&direct.stdout), parse(&remote.stdout), "{command:?}");
    }
    let refused = ["config", "set", "AGENT_LOOP_DELAY_SECONDS=9"];
    let direct = cli(dir.path(), &refused).await;
    let remote = cli(dir.path(), &[&refused[..], &url[..]].concat()).await;
    assert_eq!((direct.status.code(), remote.status.code()), (Some(2), Some(2)), "wrong usage");
    std::fs::write(dir.path().join("token"), "wrong").unwrap();
    let refused = cli(dir.path(), &[&["run", "status"], &url[..]].concat()).await;
    assert_eq!(refused.status.code(), Some(1));
    let output = String::from_utf8_lossy(&refused.stderr);
    assert!(output.contains("Invalid admin credentials"), "{output}");
    assert!(!output.contains("wrong"), "the token was echoed: {output}");
}
