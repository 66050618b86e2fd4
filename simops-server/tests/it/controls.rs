//! The run controls, with a tiny world that follows them.

use std::sync::Arc;

use axum::body::Body;
use axum::http::Method;
use serde_json::{Value, json};

use crate::support::TestApp;

#[tokio::test]
async fn a_run_is_started_paused_resumed_and_stopped() {
    let app = TestApp::new().with_host().await;
    let body = json!({ "mode": "test", "run_id": "r1", "condition_name": "c", "season_number": 2 });
    let answer = app.post("control/run/start", body).await.ok();
    let expected = json!({
        "ok": true, "mode": "test", "run_id": "r1", "condition_name": "c", "season_number": 2,
        "simulation_active": true, "simulation_paused": false, "reset_world": false,
        "reset_result": null,
    });
    assert_eq!(answer, expected);
    let status = app.until_state("running").await;
    assert_eq!(status["viewer_ops"]["run_id"], "r1");
    assert_eq!(status["run_metadata"]["started_by"], "admin");

    let answer = app.post("control/pause", json!({ "reason": "lunch" })).await.ok();
    assert_eq!(answer, json!({ "ok": true, "simulation_paused": true }));
    app.until_state("paused").await;
    app.post("control/resume", json!({})).await.ok();
    app.until_state("running").await;

    let answer = app.post("control/run/stop", json!({ "reason": "done" })).await.ok();
    assert_eq!(answer, json!({ "ok": true, "simulation_paused": true, "run_id": "r1" }));
    let status = app.until_state("stopped").await;
    assert_eq!(status["run_metadata"]["end_reason"], "done");
    let first = status["run_metadata"]["ended_at"].clone();
    app.post("control/run/stop", json!({ "reason": "again" })).await.ok();
    assert_eq!(app.get("runs/r1").await.ok()["ended_at"], first);
    app.post("control/resume", json!({})).await.problem(409);
    app.post("control/run/start", json!({ "mode": "test", "run_id": "r1" })).await.problem(409);
}

#[tokio::test]
async fn a_write_is_in_the_next_status() {
    let app = TestApp::new();
    for round in 0..50 {
        let (path, paused) =
            if round % 2 == 0 { ("control/run/start", false) } else { ("control/run/stop", true) };
        app.post(path, json!({ "mode": "test" })).await.ok();
        let status = app.get("status").await.ok();
        assert_eq!(status["viewer_ops"]["simulation_paused"], paused, "round {round}");
        assert_eq!(status["viewer_ops"]["simulation_active"], !paused, "round {round}");
    }
}

#[tokio::test]
async fn a_world_is_reset_by_its_host_or_not_at_all() {
    let app = TestApp::new();
    app.post("control/run/reset-dev", json!({})).await.problem(409);
    let body = json!({ "mode": "test", "reset_world": true });
    app.post("control/run/start", body.clone()).await.problem(409);
    assert_eq!(app.get("audit").await.ok()["count"], 0);

    let app = app.with_host().await;
    let answer = app.post("control/run/reset-dev", json!({})).await.ok();
    assert_eq!(answer["ok"], true);
    assert_eq!(answer["reset_result"]["world"], json!({ "agents": 1 }));
    let answer = app.post("control/run/start", body).await.ok();
    assert_eq!(answer["reset_world"], true);
    assert!(answer["reset_result"]["epoch"].as_i64() > Some(1));
    let real = json!({ "mode": "real", "reset_world": true });
    app.post("control/run/start", real).await.problem(400);
}

#[tokio::test]
async fn the_route_of_calls_and_the_mode_are_changed() {
    let app = TestApp::new();
    let on = app.post("control/degrade", json!({})).await.ok();
    assert_eq!(on, json!({ "ok": true, "force_cheapest_route": true }));
    let off = app.post("control/degrade/clear", json!({})).await.ok();
    assert_eq!(off, json!({ "ok": true, "force_cheapest_route": false }));
    let mode = app.post("control/run-mode", json!({ "mode": "real" })).await.ok();
    assert_eq!(mode, json!({ "ok": true, "run_mode": "real" }));
}

#[tokio::test]
async fn of_64_concurrent_starts_in_a_world_one_wins_and_the_rest_name_it() {
    let app = TestApp::new().with_host().await;
    let starts = (0..64).map(|n| {
        app.post("control/run/start", json!({ "mode": "test", "run_id": format!("r{n}") }))
    });
    let answers = futures_util::future::join_all(starts).await;
    let (won, lost): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    assert_eq!((won.len(), lost.len()), (1, 63));
    let winner = won[0].json["run_id"].as_str().unwrap();
    for answer in lost {
        assert!(answer.problem(409).contains(winner), "{}", answer.text);
    }
    assert_eq!(app.get("runs").await.ok()["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_repeated_write_gets_the_first_answer() {
    let app = TestApp::new().with_host().await;
    let with_key = async |key: &str, path: &str, body: Value| {
        let call = app.call(Method::POST, path).json(&body);
        call.header("idempotency-key", key).send().await
    };
    let body = json!({ "mode": "test" });
    let first = with_key("key-1", "control/run/start", body.clone()).await.ok();
    let again = with_key("key-1", "control/run/start", body.clone()).await.ok();
    assert_eq!(first, again);
    with_key("key-1", "control/run/start", json!({ "mode": "real" }))
        .await
        .names("Idempotency-Key");
    with_key("key-1", "control/pause", body.clone()).await.names("Idempotency-Key");

    // A refusal is an answer, too, even when it would be granted now.
    let refused = with_key("key-2", "control/run/start", body.clone()).await;
    refused.problem(409);
    app.post("control/run/stop", json!({})).await.ok();
    let again = with_key("key-2", "control/run/start", body.clone()).await;
    assert_eq!((again.status, again.json), (refused.status, refused.json));
    assert_eq!(app.get("runs").await.ok()["items"].as_array().unwrap().len(), 1);

    for key in ["", "a b", &"x".repeat(256), "é"] {
        with_key(key, "control/pause", json!({})).await.names("Idempotency-Key");
    }
    with_key(&"x".repeat(255), "control/pause", json!({})).await.ok();
}

#[tokio::test]
async fn slow_bodies_of_other_requests_do_not_keep_out_a_pause() {
    let app = Arc::new(TestApp::new());
    app.post("control/run/start", json!({ "mode": "test" })).await.ok();
    let stalled: Vec<_> = (0..16)
        .map(|_| {
            let app = Arc::clone(&app);
            let never = futures_util::stream::pending::<Result<Vec<u8>, std::io::Error>>();
            tokio::spawn(async move {
                let call = app.call(Method::POST, "baseline");
                call.header("content-type", "application/json")
                    .body(Body::from_stream(never))
                    .open()
                    .await
            })
        })
        .collect();
    let body = json!({ "reason": "now" });
    simops_tests::eventually("the places of the address are taken", async || {
        (app.post("control/resume", body.clone()).await.status == 503).then_some(())
    })
    .await;
    for control in ["control/pause", "control/degrade", "control/run/stop"] {
        app.post(control, body.clone()).await.ok();
        app.call(Method::POST, control).send().await.ok();
    }
    let without_body = app.call(Method::POST, "control/degrade/clear").send().await;
    assert_eq!(without_body.status, 200, "an empty body needs no place");
    stalled.iter().for_each(tokio::task::JoinHandle::abort);
}
