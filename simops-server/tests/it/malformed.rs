//! Whatever is wrong with a request, the answer is a problem that says so.

use std::time::Duration;

use axum::body::Body;
use axum::http::Method;
use futures_util::StreamExt;
use serde_json::json;

use crate::support::{Call, TestApp};

fn start<'a>(app: &'a TestApp, body: impl Into<Body>) -> Call<'a> {
    let call = app.call(Method::POST, "control/run/start");
    call.header("content-type", "application/json").body(body)
}

#[tokio::test]
async fn unknown_paths_and_wrong_methods_are_problems_everywhere() {
    let app = TestApp::new();
    for path in ["/nope", "/api", "/api/nope", "/ops/nope", "/healthz/", "//", "/ops/assets/a/b"] {
        app.bare(Method::GET, path).send().await.problem(404);
    }
    for path in ["/ops", "/healthz", "/metrics", "/api/openapi.json", "/"] {
        let answer = app.bare(Method::POST, path).send().await;
        answer.problem(405);
        assert_eq!(answer.header("allow"), "GET,HEAD", "{path}");
    }
    let answer = app.call(Method::GET, "control/pause").send().await;
    answer.problem(405);
    assert_eq!(answer.header("allow"), "POST");
    let answer = app.call(Method::DELETE, "config").send().await;
    answer.problem(405);
    assert_eq!(answer.header("allow"), "GET,HEAD,PATCH");
}

#[tokio::test]
async fn bodies_that_are_no_json_object_are_named() {
    let app = TestApp::new();
    let deep = "[".repeat(10_000);
    let bodies = [
        "{",
        "{\"mode\":}",
        "nonsense",
        "{\"season_number\":1e999}",
        "{\"mode\":\"\\ud800\"}",
        "{}{}",
        "\u{feff}{}",
        deep.as_str(),
        "[]",
        "null",
        "1",
        "\"text\"",
    ];
    for body in bodies {
        start(&app, body.to_owned()).send().await.names("body");
    }
    start(&app, b"{\"mode\":\"\xff\"}".to_vec()).send().await.names("body");
}

#[tokio::test]
async fn fields_of_the_wrong_type_are_named() {
    let app = TestApp::new();
    let cases = [
        (json!({ "mode": 1 }), "mode"),
        (json!({ "mode": "fast" }), "mode"),
        (json!({}), "mode"),
        (json!({ "mode": null }), "mode"),
        (json!({ "mode": "test", "season_number": 1.5 }), "season_number"),
        (json!({ "mode": "test", "season_number": "1" }), "season_number"),
        (json!({ "mode": "test", "season_number": u64::MAX }), "season_number"),
        (json!({ "mode": "test", "run_id": "a b" }), "run_id"),
        (json!({ "mode": "test", "run_id": "a\u{0}" }), "run_id"),
        (json!({ "mode": "test", "run_id": ["a"] }), "run_id"),
        (json!({ "mode": "test", "reset_world": "yes" }), "reset_world"),
        (json!({ "mode": "test", "reason": "a\u{7}b" }), "reason"),
        (json!({ "mode": "test", "reason": {} }), "reason"),
    ];
    for (body, field) in cases {
        app.post("control/run/start", body).await.names(field);
    }
    app.post("control/pause", json!({ "reason": "x\u{202e}y" })).await.names("reason");
    app.post("control/pause", json!({ "reason": " a\r\nb\tc\n" })).await.ok();
    assert_eq!(app.get("audit?limit=1").await.ok()["items"][0]["reason"], "a\nb\tc");
    app.post("control/run-mode", json!({})).await.names("mode");
    app.call(Method::PATCH, "config").json(&json!({})).send().await.names("updates");
    app.call(Method::PATCH, "config").json(&json!({ "updates": [] })).send().await.names("updates");
}

#[tokio::test]
async fn a_body_may_be_left_out_where_every_field_may() {
    let app = TestApp::new();
    for path in ["control/pause", "control/degrade", "control/run/stop"] {
        app.call(Method::POST, path).send().await.ok();
        app.call(Method::POST, path).header("content-type", "text/plain").send().await.ok();
        let json = app.call(Method::POST, path).header("content-type", "application/json");
        json.body("  ").send().await.ok();
        app.post(path, json!({ "reason": null, "unknown": { "is": "ignored" } })).await.ok();
    }
}

#[tokio::test]
async fn only_json_is_read() {
    let app = TestApp::new();
    let types = ["text/plain", "application/x-www-form-urlencoded", "json", "application/jsonp"];
    for content_type in types {
        let call = app.call(Method::POST, "control/pause").header("content-type", content_type);
        call.body("{}").send().await.problem(415);
    }
    app.call(Method::POST, "control/pause").body("{}").send().await.problem(415);
    for content_type in
        ["application/json; charset=utf-8", "Application/JSON", "application/a+json"]
    {
        let call = app.call(Method::POST, "control/pause").header("content-type", content_type);
        call.body("{}").send().await.ok();
    }
}

#[tokio::test]
async fn a_body_over_a_mebibyte_is_refused_however_it_comes() {
    let app = TestApp::new();
    let body = |bytes: usize| format!("{{\"reason\":\"x\"{}}}", " ".repeat(bytes - 14));
    let call = |body: Body| {
        let call = app.call(Method::POST, "control/pause");
        call.header("content-type", "application/json").body(body)
    };
    call(body(1024 * 1024).into()).send().await.ok();
    call(body(1024 * 1024 + 1).into()).send().await.problem(413);
    let pieces = (0..40).map(|_| Ok::<_, std::io::Error>(vec![b' '; 64 * 1024]));
    let chunked = Body::from_stream(futures_util::stream::iter(pieces));
    call(chunked).send().await.problem(413);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let app = TestApp::new();
    let never = futures_util::stream::pending::<Result<Vec<u8>, std::io::Error>>();
    let call = start(&app, Body::from_stream(never));
    let answer = tokio::time::timeout(Duration::from_secs(13), call.send()).await.unwrap();
    answer.problem(408);

    let broken = futures_util::stream::iter([Err::<Vec<u8>, _>(std::io::Error::other("cut"))]);
    start(&app, Body::from_stream(broken)).send().await.problem(400);
}

#[tokio::test(start_paused = true)]
async fn a_body_may_be_slow_but_not_too_slow() {
    let app = TestApp::new();
    let body = |bytes_per_second: usize| {
        let text = format!("{{\"reason\":\"slow\"{}}}", " ".repeat(10_000));
        let pieces: Vec<_> = text.as_bytes().chunks(bytes_per_second).map(<[u8]>::to_vec).collect();
        let pieces = futures_util::stream::iter(pieces).then(async |piece| {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Ok::<_, std::io::Error>(piece)
        });
        Body::from_stream(pieces)
    };
    let call = |body| {
        let call = app.call(Method::POST, "control/pause");
        call.header("content-type", "application/json").body(body)
    };
    call(body(500)).send().await.ok();
    call(body(100)).send().await.problem(408);
}

#[tokio::test]
async fn query_parameters_out_of_form_are_named() {
    let app = TestApp::new();
    let cases = [
        ("audit?limit=0", "limit"),
        ("audit?limit=501", "limit"),
        ("audit?limit=many", "limit"),
        ("audit?limit=", "limit"),
        ("audit?limit=99999999999999999999", "limit"),
        ("audit?offset=-1", "offset"),
        ("audit?limit=5&limit=6", "limit"),
        ("audit/verify?head_id=1", "head_hash"),
        ("audit/verify?head_id=0", "head_id"),
        ("audit/verify?head_hash=ab", "head_id"),
        ("audit/verify?head_id=-1&head_hash=ab", "head_id"),
        ("run/metrics?hours_fallback=337", "hours_fallback"),
        ("runs?cursor=x", "cursor"),
        ("runs?limit=1.5", "limit"),
        ("runs?label=seed", "label"),
        ("runs?label=a%20b:1", "label"),
        ("runs?label=seed:1&label=:2", "label"),
        ("runs?label=seed:", "label"),
        ("runs?figures=1", "figures"),
        ("runs?format=xml", "format"),
        ("events?cursor=-1", "cursor"),
        ("events?limit=0", "limit"),
        ("events?type=a%00b", "type"),
    ];
    for (path, field) in cases {
        app.get(path).await.names(field);
    }
    app.get("events?unknown=1&%ff=%ff").await.ok();
    app.get("run/metrics?run_id=").await.ok();
}

#[tokio::test]
async fn what_does_not_exist_is_not_found() {
    let app = TestApp::new();
    for path in
        ["runs/none", "runs/%ff", "runs/a%00b", "events/1", "events/x", "run/metrics?run_id=none"]
    {
        app.get(path).await.problem(404);
    }
    app.get("events/99999999999999999999").await.problem(404);
}
