//! Audit, events, runs and metrics.

use serde_json::json;

use crate::support::TestApp;

#[tokio::test]
async fn listings_are_paged_newest_first() {
    let app = TestApp::new();
    for n in 0..5 {
        let body = json!({ "mode": "test", "run_id": format!("r{n}"), "reason": "why" });
        app.post("control/run/start", body).await.ok();
        app.post("control/run/stop", json!({})).await.ok();
    }
    let page = app.get("runs?limit=2").await.ok();
    assert_eq!(page["items"][0]["run_id"], "r4");
    let cursor = page["next_cursor"].as_str().unwrap();
    let next = app.get(&format!("runs?limit=500&cursor={cursor}")).await.ok();
    assert_eq!(next["items"].as_array().unwrap().len(), 3);
    assert!(next["next_cursor"].is_null());

    let events = app.get("events?run_id=r3&type=run_started").await.ok();
    assert_eq!(events["items"].as_array().unwrap().len(), 1);
    let id = &events["items"][0]["id"];
    assert_eq!(app.get(&format!("events/{id}")).await.ok(), events["items"][0]);

    let audit = app.get("audit?limit=1&offset=1").await.ok();
    assert_eq!((&audit["limit"], &audit["offset"]), (&json!(1), &json!(1)));
    let count = audit["count"].as_i64().unwrap();
    assert_eq!(audit["items"][0]["id"], count - 1);
}

#[tokio::test]
async fn the_audit_trail_is_verified_against_a_remembered_head() {
    let app = TestApp::new();
    app.post("control/run/start", json!({ "mode": "test" })).await.ok();
    let verified = app.get("audit/verify").await.ok();
    assert_eq!((&verified["ok"], &verified["detail"]), (&json!(true), &json!(null)));
    let (id, hash) = (&verified["head"]["id"], verified["head"]["hash"].as_str().unwrap());
    app.post("control/run/stop", json!({})).await.ok();
    let path = format!("audit/verify?head_id={id}&head_hash={hash}");
    assert_eq!(app.get(&path).await.ok()["ok"], true);
    let forged = app.get(&format!("audit/verify?head_id={id}&head_hash=00")).await.ok();
    assert_eq!((&forged["ok"], &forged["rows"]), (&json!(false), &json!(null)));
    assert!(forged["detail"].as_str().unwrap().contains("rewritten"));
}

#[tokio::test]
async fn metrics_are_those_of_a_run_or_zeros() {
    let app = TestApp::new();
    let none = app.get("run/metrics").await.ok();
    assert!(none["run_id"].is_null() && none["run_metadata"].is_null());
    assert_eq!(none["llm"]["calls"], 0);
    app.post("control/run/start", json!({ "mode": "test", "run_id": "r1" })).await.ok();
    app.post("control/run/stop", json!({ "clear_run_id": true })).await.ok();
    assert!(app.get("run/metrics").await.ok()["run_id"].is_null());
    let of_run = app.get("run/metrics?run_id=r1").await.ok();
    assert_eq!(of_run["run_id"], "r1");
    assert_eq!(of_run["simulation_active"], false);
}
