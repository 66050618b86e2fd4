//! Baselines over the API.

use axum::http::Method;
use serde_json::{Value, json};

use crate::support::TestApp;

#[tokio::test]
async fn a_baseline_is_answered_and_lies_in_the_output_folder() {
    let app = TestApp::new();
    let body = json!({ "windows": 3, "window_minutes": 1 });
    let answer = app.post("baseline", body).await.ok();
    assert_eq!(answer["metrics"]["rows"].as_array().unwrap().len(), 3);
    let path = answer["metrics_path"].as_str().unwrap();
    let written: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert_eq!(written, answer["metrics"]);
    assert!(path.starts_with(app.output.path().to_str().unwrap()), "{path}");
    // Without a body it has the usual windows.
    let usual = app.call(Method::POST, "baseline").send().await.ok();
    assert_eq!(
        (&usual["metrics"]["windows"], &usual["metrics"]["window_minutes"]),
        (&json!(12), &json!(5))
    );
}

#[tokio::test]
async fn a_repeated_baseline_is_taken_once() {
    let app = TestApp::new();
    let take = async |windows: i64| {
        let call = app.call(Method::POST, "baseline").header("idempotency-key", "k1");
        call.json(&json!({ "windows": windows })).send().await
    };
    let first = take(2).await.ok();
    assert_eq!(take(2).await.ok(), first);
    take(3).await.problem(422);
    let copies = std::fs::read_dir(app.output.path().join("baseline")).unwrap();
    assert_eq!(copies.count(), 3, "the latest, one copy, and the metrics");
}

#[tokio::test]
async fn windows_out_of_bounds_are_named() {
    let app = TestApp::new();
    for (body, field) in [
        (json!({ "windows": 0 }), "windows"),
        (json!({ "windows": 1_001 }), "windows"),
        (json!({ "window_minutes": -5 }), "window_minutes"),
        (json!({ "window_minutes": 1_441 }), "window_minutes"),
        (json!({ "windows": "many" }), "windows"),
    ] {
        app.post("baseline", body).await.names(field);
    }
}

#[tokio::test]
async fn a_baseline_of_some_runs_says_which() {
    let app = TestApp::new();
    for (run_id, seed) in [("r1", "1"), ("r2", "2")] {
        let body = json!({
            "mode": "test", "host": "gateway", "run_id": run_id, "group_id": "pilot",
            "labels": { "seed": seed },
        });
        app.post("control/run/start", body).await.ok();
    }
    let of_group = app.post("baseline", json!({ "windows": 2, "group_id": "pilot" })).await.ok();
    assert_eq!((&of_group["runs"]["selected"], &of_group["runs"]["open"]), (&json!(2), &json!(2)));
    assert_eq!(of_group["runs"]["llm"]["estimated_cost_usd"], 0.0);
    // The starts of both runs, and of one.
    assert_eq!(of_group["metrics"]["latest_window"]["total_events"], 2);
    let body = json!({ "windows": 2, "group_id": "pilot", "labels": { "seed": "2" } });
    let of_label = app.post("baseline", body).await.ok();
    assert_eq!(of_label["runs"]["labels"], json!({ "seed": "2" }));
    assert_eq!(of_label["metrics"]["latest_window"]["total_events"], 1);
    let of_all = app.post("baseline", json!({})).await.ok();
    assert_eq!(of_all.get("runs"), None, "the shape without a selection is as before");

    for (body, message) in [
        (json!({ "run_id": "r9" }), "there is no run \"r9\""),
        (json!({ "group_id": "none" }), "there is no run of group \"none\""),
        (json!({ "labels": { "seed": "9" } }), "there is no run with label \"seed:9\""),
    ] {
        let answer = app.post("baseline", body).await;
        let problem = answer.problem(404);
        assert!(problem.contains(message), "{problem}");
    }
    for (body, field) in [
        (json!({ "labels": { "a b": "1" } }), "labels.a b"),
        (json!({ "labels": { "seed": "" } }), "labels.seed"),
        (json!({ "labels": { "seed": 3 } }), "labels.seed"),
        (json!({ "labels": "seed" }), "labels"),
        (json!({ "group_id": 3 }), "group_id"),
    ] {
        app.post("baseline", body).await.names(field);
    }
}
