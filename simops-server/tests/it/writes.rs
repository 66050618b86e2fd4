//! Every operation of the API that is no read, under every gate and on a marked database.

use axum::body::Body;
use axum::http::Method;
use serde_json::{Value, json};
use simops::control::WriteGate;
use simops::testing::mark_production;
use simops_server::Networks;

use crate::support::{Answer, Setup, TestApp};

/// The operations of the admin API that are no reads, parameters filled in, from its description.
async fn operations(app: &TestApp) -> Vec<(Method, String)> {
    let description = app.bare(Method::GET, "/api/openapi.json").send().await.ok();
    let mut found = Vec::new();
    for (path, item) in description["paths"].as_object().unwrap() {
        let Some(path) = path.strip_prefix("/api/admin/") else { continue };
        let path = path.replace("{id}", "0198c1f2-0000-7000-8000-000000000000");
        let path = path.replace("{slug}", "weekly-brief").replace("{run_id}", "r1");
        for method in item.as_object().unwrap().keys() {
            if let "post" | "put" | "patch" | "delete" = method.as_str() {
                found.push((method.to_uppercase().parse().unwrap(), path.clone()));
            }
        }
    }
    assert!(found.len() > 10, "{found:?}");
    found
}

/// A body that fails the test when it is read.
fn unread() -> Body {
    Body::from_stream(futures_util::stream::poll_fn(
        |_| -> std::task::Poll<Option<Result<Vec<u8>, std::io::Error>>> {
            panic!("the body was read")
        },
    ))
}

async fn send(app: &TestApp, method: Method, path: &str) -> Answer {
    let call = app.call(method, path).from("192.0.2.8");
    call.header("content-type", "application/json").body(unread()).send().await
}

/// Marks the database, as another process in production does.
async fn mark(app: &TestApp) {
    mark_production(app.store.clone()).await.unwrap();
}

async fn state(app: &TestApp) -> (u64, Value) {
    let audit = app.call(Method::GET, "audit").from("192.0.2.8").send().await.ok();
    (app.store.load().await.unwrap().generation, audit["count"].clone())
}

const CLOSED: &str = "Admin write controls are disabled in this environment";

#[tokio::test]
async fn no_operation_passes_a_closed_gate_or_has_its_body_read() {
    let mut setup = Setup::development();
    setup.ops.write_gate = Some(WriteGate::Closed);
    let closed = setup.build();
    let marked = TestApp::new();
    mark(&marked).await;
    for app in [&closed, &marked] {
        let before = state(app).await;
        for (method, path) in operations(app).await {
            let answer = send(app, method.clone(), &path).await;
            assert_eq!(answer.problem(403), CLOSED, "{method} {path}");
        }
        assert_eq!(state(app).await, before);
        let status = app.get("status").await.ok();
        assert_eq!(status["admin_write_enabled"], false);
        assert_eq!(status["admin_write_gate"], "closed");
        assert_eq!(app.get("config").await.ok()["admin_write_gate"], "closed");
    }
    assert_eq!(marked.get("status").await.ok()["environment"], "production");
    assert_eq!(closed.get("status").await.ok()["environment"], "development");
}

#[tokio::test]
async fn stop_only_lets_pause_stop_and_degrade_pass() {
    let mut setup = Setup::development();
    setup.ops.write_gate = Some(WriteGate::StopOnly);
    let app = setup.build();
    let passing = [
        "control/pause",
        "control/pause-all",
        "control/run/stop",
        "control/stop-all",
        "control/degrade",
    ];
    for (method, path) in operations(&app).await {
        if passing.contains(&path.as_str()) {
            app.post(&path, json!({})).await.ok();
        } else {
            let answer = send(&app, method.clone(), &path).await;
            assert!(answer.problem(403).starts_with(CLOSED), "{method} {path}");
        }
    }
    send(&app, Method::POST, "nope").await.problem(403);
    let status = app.get("status").await.ok();
    assert_eq!(status["admin_write_enabled"], false);
    assert_eq!(status["admin_write_gate"], "stop_only");
    assert_eq!(status["viewer_ops"]["force_cheapest_route"], true);
}

#[tokio::test]
async fn an_open_gate_on_a_marked_database_needs_the_allowlist_and_resets_nothing() {
    let build = |allowlist: &str| {
        let mut setup = Setup::development();
        setup.ops.write_gate = Some(WriteGate::Open);
        setup.access.allowlist = Networks::parse(allowlist).unwrap();
        setup.build()
    };
    let app = build("");
    app.post("control/pause", json!({})).await.ok();
    mark(&app).await;
    for (method, path) in operations(&app).await {
        let answer = send(&app, method, &path).await;
        assert_eq!(answer.problem(403), "Admin write IP allowlist is required in production");
    }

    let app = build("192.0.2.0/24");
    mark(&app).await;
    let answer = send(&app, Method::POST, "control/run/reset-dev").await;
    assert_eq!(answer.problem(403), "World reset is blocked in production");
    let body = json!({ "mode": "test", "reset_world": true });
    let call = app.call(Method::POST, "control/run/start").from("192.0.2.8").json(&body);
    assert_eq!(call.send().await.problem(403), "World reset is blocked in production");
    let call = app.call(Method::POST, "control/pause").from("192.0.2.8").json(&json!({}));
    call.send().await.ok();
}
