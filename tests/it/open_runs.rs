//! Several open runs: the reference world acts in its own, each run is controlled alone, and all at once.

use jiff::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};
use simops::store::UsageStore;
use simops::usage::{NanoUsd, UsageRow};
use simops_sqlite::SqliteStore;
use simops_tests::browser::Browser;
use simops_tests::{Answer, Server, ServerBuilder, cli, eventually};
use uuid::Uuid;

/// A server with the runs `world` of the reference world, and `a` and `b` of foreign hosts.
async fn with_three_runs(builder: &ServerBuilder) -> Server {
    let server = builder.start().await;
    for (run_id, host) in [("world", Value::Null), ("a", json!("gateway")), ("b", json!("gateway"))]
    {
        let labels = json!({ "seed": run_id });
        let body = json!({ "mode": "test", "run_id": run_id, "host": host, "group_id": "g",
                           "labels": labels });
        server.client.post("control/run/start", &body).await.ok();
    }
    server
}

/// The state of every open run, as the status shows it.
async fn states(server: &Server) -> Vec<(String, String)> {
    let status = server.client.get("status").await.ok();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let runs = status["open_runs"].as_array().unwrap().iter();
    runs.map(|run| (text(&run["run_id"]), text(&run["run_state"]))).collect()
}

async fn until_states(server: &Server, wanted: &[(&str, &str)]) {
    let wanted: Vec<_> =
        wanted.iter().map(|(run, state)| ((*run).to_owned(), (*state).to_owned())).collect();
    eventually("the states", async || (states(server).await == wanted).then_some(())).await;
}

async fn change_limits(server: &Server, body: &Value) -> Answer {
    let request = server.client.request(Method::PATCH, "control/run/limits").json(body);
    server.client.send(request).await.unwrap()
}

/// The number of actions in a run.
async fn actions(server: &Server, run_id: &str) -> i64 {
    let metrics = server.client.get(&format!("run/metrics?run_id={run_id}")).await.ok();
    metrics["activity"]["deterministic_actions"].as_i64().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_open_run_is_controlled_alone_and_the_world_acts_in_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let builder = ServerBuilder::new(dir.path());
    let server = with_three_runs(&builder).await;
    until_states(&server, &[("world", "running"), ("a", "starting"), ("b", "starting")]).await;
    let before = eventually("actions", async || {
        Some(actions(&server, "world").await).filter(|actions| *actions > 0)
    })
    .await;

    // The world has a run; a foreign host needs none.
    let start = json!({ "mode": "test", "run_id": "second" });
    let refused = server.client.post("control/run/start", &start).await;
    assert_eq!(refused.status, 409);
    assert!(refused.body["detail"].as_str().unwrap().contains("run world "), "{refused:?}");
    let start = json!({ "mode": "test", "run_id": "second", "host": "comons" });
    let refused = server.client.post("control/run/start", &start).await;
    assert_eq!(refused.status, 400);
    let detail = refused.body["detail"].as_str().unwrap();
    assert!(detail.contains("commons") && detail.contains("gateway"), "{detail}");

    // Pausing one leaves the others alone; without a name the current run is meant.
    server.client.post("control/pause", &json!({ "run_id": "a", "reason": "look" })).await.ok();
    until_states(&server, &[("world", "running"), ("a", "paused"), ("b", "starting")]).await;
    eventually("more actions", async || (actions(&server, "world").await > before).then_some(()))
        .await;
    server.client.post("control/pause", &json!({})).await.ok();
    until_states(&server, &[("world", "paused"), ("a", "paused"), ("b", "starting")]).await;
    let paused = server.client.get("run/metrics?run_id=a").await.ok();
    assert_eq!(
        (&paused["simulation_active"], &paused["simulation_paused"]),
        (&json!(true), &json!(true))
    );
    server.client.post("control/resume", &json!({ "run_id": "a" })).await.ok();
    until_states(&server, &[("world", "paused"), ("a", "starting"), ("b", "starting")]).await;
    assert_eq!(actions(&server, "a").await, 0, "the world acted in a run of another host");
    let unknown = server.client.post("control/pause", &json!({ "run_id": "no-such-run" })).await;
    assert_eq!(unknown.status, 404, "{unknown:?}");
    let audit = server.client.get("audit?limit=20").await.ok();
    let of_a = |row: &&Value| row["run_id"] == "a" && row["key"] == "SIMULATION_PAUSED";
    let rows: Vec<_> = audit["items"].as_array().unwrap().iter().filter(of_a).collect();
    assert_eq!(rows.len(), 3, "started, paused, resumed: {rows:?}");
    assert_eq!(rows[1]["reason"], "look");

    // A dry run says what would start, and starts nothing.
    let dry = json!({ "mode": "test", "run_id": "dry", "host": "gateway", "dry_run": true });
    let would = server.client.post("control/run/start", &dry).await.ok();
    assert_eq!((&would["run_id"], &would["simulation_active"]), (&json!("dry"), &json!(false)));
    assert_eq!(server.client.get("runs/dry").await.status, 404);
    let dry = json!({ "mode": "test", "run_id": "a", "host": "gateway", "dry_run": true });
    assert_eq!(server.client.post("control/run/start", &dry).await.status, 409);

    // A restart changes nothing. Then all at once.
    assert!(server.terminate().await);
    let server = builder.start().await;
    until_states(&server, &[("world", "paused"), ("a", "starting"), ("b", "starting")]).await;
    let all = cli(dir.path(), &["run", "pause", "--all"]).await;
    assert!(all.status.success(), "{all:?}");
    let all: Value = serde_json::from_slice(&all.stdout).unwrap();
    let changed: Vec<_> =
        all["runs"].as_array().unwrap().iter().map(|run| &run["changed"]).collect();
    assert_eq!(changed, [false, true, true]);
    until_states(&server, &[("world", "paused"), ("a", "paused"), ("b", "paused")]).await;
    let stopped = cli(dir.path(), &["run", "stop", "--run-id", "b", "--reason", "seen"]).await;
    assert!(stopped.status.success(), "{stopped:?}");
    until_states(&server, &[("world", "paused"), ("a", "paused")]).await;
    // The response to a stop of the current run names those that go on; so does that to a later pause.
    server.client.post("control/resume", &json!({ "run_id": "a" })).await.ok();
    let stopped = server.client.post("control/run/stop", &json!({ "reason": "over" })).await.ok();
    assert_eq!((&stopped["run_id"], &stopped["others_running"]), (&json!("world"), &json!(["a"])));
    let paused = server.client.post("control/pause", &json!({})).await.ok();
    assert_eq!(paused["others_running"], json!(["a"]));
    let stopped = server.client.post("control/stop-all", &json!({ "reason": "over" })).await.ok();
    assert_eq!(stopped["runs"].as_array().unwrap().len(), 1);
    until_states(&server, &[]).await;
    let runs = server.client.get("runs?group_id=g").await.ok();
    let reasons: Vec<_> =
        runs["items"].as_array().unwrap().iter().map(|run| &run["end_reason"]).collect();
    assert_eq!(reasons, ["seen", "over", "over"]);
    assert_eq!(server.client.get("audit/verify").await.ok()["ok"], true);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn open_runs_are_shown_and_controlled_in_the_console() {
    let dir = tempfile::tempdir().unwrap();
    let server = with_three_runs(&ServerBuilder::new(dir.path())).await;
    let browser = Browser::open(1440, 1000).await;
    browser.connect(&server.base, "ada").await;
    browser.until_text("panel-open-runs", "seed=a").await;
    browser.until_text("panel-open-runs", "gateway").await;
    browser.until_text("run-line", "run world").await;
    browser.click("pause-a").await;
    browser.until_text("confirm", "Pause this run?").await;
    browser.type_into("confirm-reason", "to look at it").await;
    browser.click("confirm-ok").await;
    until_states(&server, &[("world", "running"), ("a", "paused"), ("b", "starting")]).await;
    browser.until_text("panel-open-runs", "paused").await;
    browser.confirm("resume-a").await;
    browser.confirm("stop-b").await;
    until_states(&server, &[("world", "running"), ("a", "starting")]).await;
    let run = server.client.get("runs/a").await.ok();
    assert_eq!(run["host"], "gateway");

    // Another run of the world must wait, one of a foreign host need not.
    browser.until_text("panel-controls", "Run world has not ended").await;
    browser.until_enabled("start-test", false).await;
    browser.type_into("field-host", "gateway").await;
    browser.type_into("run-id", "c").await;
    browser.click("reset-world").await;
    browser.until_enabled("start-test", true).await;
    browser.confirm("start-test").await;
    until_states(&server, &[("world", "running"), ("a", "starting"), ("c", "starting")]).await;
    browser.confirm("pause-all").await;
    until_states(&server, &[("world", "paused"), ("a", "paused"), ("c", "paused")]).await;
    browser.confirm("stop-all").await;
    browser.until_text("panel-open-runs", "No run is open").await;
    until_states(&server, &[]).await;
    let faults = browser.inaccessible().await;
    assert!(faults.is_empty(), "{faults:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_at_its_limit_is_paused_and_goes_on_when_it_is_raised() {
    let dir = tempfile::tempdir().unwrap();
    let server = ServerBuilder::new(dir.path()).env("SIMOPS_WORLD_SPEED", "100").start().await;
    let limits = json!({ "max_actions": 5 });
    let start = json!({ "mode": "test", "run_id": "world", "limits": limits });
    server.client.post("control/run/start", &start).await.ok();
    until_states(&server, &[("world", "paused")]).await;
    let run = server.client.get("runs/world").await.ok();
    assert_eq!(run["limit_reached"], "max_actions");
    assert_eq!(run["limits"], json!({ "max_actions": 5, "at_limit": "pause" }));
    let events = server.client.get("events?type=run_limit_reached").await.ok();
    let metadata = &events["items"][0]["metadata"];
    assert_eq!((&metadata["limit"], &metadata["value"]), (&json!("max_actions"), &json!(5)));
    assert_eq!(metadata["reason"], "max_actions_reached");
    assert!(metadata["used"].as_i64() >= Some(5), "{metadata}");
    let used = actions(&server, "world").await;

    // Below an unchanged limit it does not go on; raised in the same step, it does.
    let refused = server.client.post("control/resume", &json!({})).await;
    assert_eq!(refused.status, 409);
    let detail = refused.body["detail"].as_str().unwrap();
    assert!(
        detail.contains("max_actions of 5") && detail.contains("control/run/limits"),
        "{detail}"
    );
    let raise = ["run", "limits", "--max-actions", "100000", "--resume", "--reason", "go on"];
    let raised = cli(dir.path(), &raise).await;
    assert!(raised.status.success(), "{raised:?}");
    until_states(&server, &[("world", "running")]).await;
    eventually("more actions", async || (actions(&server, "world").await > used).then_some(()))
        .await;

    // What has been reached already needs force. Then the run ends, and its world is free.
    let lower = json!({ "limits": { "max_actions": 1, "at_limit": "stop" } });
    let refused = change_limits(&server, &lower).await;
    assert_eq!(refused.status, 409, "{refused:?}");
    let wrong = json!({ "limits": { "max_acts": 1 } });
    let refused = change_limits(&server, &wrong).await;
    assert_eq!(refused.status, 422);
    assert_eq!(refused.body["errors"][0]["field"], "limits.max_acts");
    let mut forced = lower.clone();
    forced["force"] = json!(true);
    change_limits(&server, &forced).await.ok();
    until_states(&server, &[]).await;
    let run = server.client.get("runs/world").await.ok();
    assert_eq!(
        (&run["ended_by"], &run["end_reason"]),
        (&json!("guardrail"), &json!("max_actions_reached"))
    );
    assert_eq!(server.client.get("audit/verify").await.ok()["ok"], true);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_limits_of_a_run_of_a_foreign_host_are_enforced_too() {
    let dir = tempfile::tempdir().unwrap();
    let server = ServerBuilder::new(dir.path()).env("SIMOPS_HOST", "none").start().await;
    for run_id in ["first", "second"] {
        let limits = json!({ "max_tokens": 150, "at_limit": "stop" });
        let start = json!({ "mode": "test", "run_id": run_id, "limits": limits });
        server.client.post("control/run/start", &start).await.ok();
    }
    // Another process counts their calls.
    let url = format!("sqlite://{}", dir.path().join("simops.db").display());
    let store = SqliteStore::open(&url).await.unwrap();
    let call = |run_id: &str| {
        let now = Timestamp::now();
        UsageRow {
            id: Uuid::now_v7(),
            day: simops::clock::day_of(now),
            run_id: Some(run_id.to_owned()),
            agent_id: None,
            checkpoint: None,
            provider: "groq".to_owned(),
            model_requested: "m".to_owned(),
            model_resolved: None,
            input_tokens: 90,
            cached_input_tokens: 0,
            output_tokens: 10,
            reasoning_tokens: 0,
            cost: NanoUsd(1_000),
            priced: true,
            success: true,
            sent: true,
            over_reservation: false,
            fallback_used: false,
            latency_ms: 5,
            error_type: None,
            created_at: now,
        }
    };
    store.record_usage(&[call("first"), call("second"), call("second")]).await.unwrap();
    until_states(&server, &[("first", "starting")]).await;
    let status = server.client.get("status").await.ok();
    let first = &status["open_runs"][0];
    assert_eq!((&first["spent"]["tokens"], &first["spent"]["calls"]), (&json!(100), &json!(1)));
    assert_eq!(server.client.get("runs/second").await.ok()["end_reason"], "max_tokens_reached");
}
