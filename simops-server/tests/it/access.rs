//! Who may do what, in the contract's order.

use std::sync::Arc;

use axum::body::Body;
use axum::http::Method;
use serde_json::json;
use simops::control::WriteGate;
use simops_server::{AccessOptions, Networks};
use simops_tests::eventually;

use crate::support::{Setup, TOKEN, TestApp};

const STRANGER: &str = "203.0.113.9";

/// Sends ten different wrong tokens.
async fn fail_ten_times(app: &TestApp, peer: &str) {
    for number in 0..10 {
        let call = app.bare(Method::GET, "/api/admin/status").from(peer);
        call.token(&format!("wrong-{number}")).send().await.problem(401);
    }
}

/// A body that fails the test when it is looked at.
fn untouchable() -> Body {
    Body::from_stream(futures_util::stream::poll_fn(
        |_| -> std::task::Poll<Option<Result<Vec<u8>, std::io::Error>>> {
            panic!("the body was looked at")
        },
    ))
}

#[tokio::test]
async fn each_check_comes_before_the_next() {
    // Everything is wrong at once; each step puts one more thing right.
    let mut setup = Setup::production("");
    setup.ops.write_gate = Some(WriteGate::Closed);
    setup.access =
        AccessOptions { enabled: false, token: None, ..AccessOptions::with_token(TOKEN) };
    setup.access.allowlist = Networks::parse("192.0.2.0/24").unwrap();
    let access = setup.access.clone();
    let build = |change: &dyn Fn(&mut Setup)| {
        let mut setup = Setup::production("");
        setup.ops.write_gate = Some(WriteGate::Closed);
        setup.access = access.clone();
        change(&mut setup);
        setup.build()
    };
    let reset = async |app: &TestApp, peer: &str, token: &str| {
        let call = app.bare(Method::POST, "/api/admin/control/run/reset-dev").from(peer);
        let call = call.header("content-type", "application/json").body(untouchable());
        call.token(token).send().await
    };

    let app = build(&|_| {});
    reset(&app, STRANGER, "wrong").await.problem(404);

    let app = build(&|setup| setup.access.enabled = true);
    let answer = reset(&app, STRANGER, "wrong").await;
    assert!(answer.problem(503).contains("ADMIN_API_TOKEN"));

    let with_token = |setup: &mut Setup| {
        setup.access.enabled = true;
        setup.access.token = AccessOptions::with_token(TOKEN).token;
    };
    let app = build(&with_token);
    assert_eq!(reset(&app, STRANGER, TOKEN).await.problem(403), "Admin IP not allowed");

    fail_ten_times(&app, "192.0.2.7").await;
    let locked = reset(&app, "192.0.2.7", TOKEN).await;
    locked.problem(429);
    assert!((1..=60).contains(&locked.header("retry-after").parse::<u64>().unwrap()));

    let answer = reset(&app, "192.0.2.8", "wrong").await;
    assert_eq!(answer.problem(401), "Invalid admin credentials");
    assert!(answer.header("www-authenticate").starts_with("Bearer"));

    let answer = reset(&app, "192.0.2.8", TOKEN).await;
    let closed = "Admin write controls are disabled in this environment";
    assert_eq!(answer.problem(403), closed);

    let app = build(&|setup| {
        with_token(setup);
        setup.ops.write_gate = Some(WriteGate::Open);
        setup.access.allowlist = Networks::default();
    });
    let required = "Admin write IP allowlist is required in production";
    assert_eq!(reset(&app, STRANGER, TOKEN).await.problem(403), required);

    let app = build(&|setup| {
        with_token(setup);
        setup.ops.write_gate = Some(WriteGate::Open);
    });
    let blocked = "World reset is blocked in production";
    assert_eq!(reset(&app, "192.0.2.8", TOKEN).await.problem(403), blocked);
    let body = json!({ "mode": "test", "reset_world": true });
    let call = app.call(Method::POST, "control/run/start").from("192.0.2.8").json(&body);
    assert_eq!(call.send().await.problem(403), blocked);
    assert_eq!(app.store.load().await.unwrap().generation, 0);
}

#[tokio::test]
async fn the_checks_cover_every_path_and_method_below_the_api() {
    let app = TestApp::new();
    for path in ["/api/admin", "/api/admin/", "/api/admin/nope", "/api/admin/status"] {
        for method in [Method::GET, Method::HEAD, Method::OPTIONS, Method::DELETE, Method::PUT] {
            let status = app.bare(method.clone(), path).send().await.status;
            assert_eq!(status, 401, "{method} {path}");
        }
    }
    app.get("nope").await.problem(404);
    app.call(Method::DELETE, "nope").send().await.problem(404);

    let mut setup = Setup::development();
    setup.ops.write_gate = Some(WriteGate::Closed);
    let app = setup.build();
    for path in ["nope", "status", "config"] {
        app.call(Method::PUT, path).send().await.problem(403);
    }
    app.get("config").await.ok();
}

#[tokio::test]
async fn either_header_carries_the_token() {
    let app = TestApp::new();
    let status = |name: &'static str, value: String| {
        let call = app.bare(Method::GET, "/api/admin/status").header(name, &value);
        async move { call.send().await.status.as_u16() }
    };
    assert_eq!(status("authorization", format!("Bearer {TOKEN}")).await, 200);
    assert_eq!(status("authorization", format!("bearer {TOKEN}")).await, 200);
    assert_eq!(status("x-admin-token", TOKEN.to_owned()).await, 200);
    assert_eq!(status("authorization", format!("Basic {TOKEN}")).await, 401);
    assert_eq!(status("x-admin-token", format!("{TOKEN}x")).await, 401);
}

#[tokio::test]
async fn guessing_locks_out_one_address_and_no_other() {
    let app = TestApp::new();
    fail_ten_times(&app, STRANGER).await;
    let call = app.call(Method::GET, "status").from(STRANGER);
    call.send().await.problem(429);
    app.call(Method::GET, "status").from("203.0.113.10").send().await.ok();
    // Without a token there is no guess, however often.
    for _ in 0..30 {
        app.bare(Method::GET, "/api/admin/status").from("203.0.113.11").send().await.problem(401);
    }
    app.call(Method::GET, "status").from("203.0.113.11").send().await.ok();
}

#[tokio::test]
async fn a_page_with_an_old_token_causes_no_lock_out() {
    let app = TestApp::new();
    for _ in 0..100 {
        let call = app.bare(Method::GET, "/api/admin/status").from(STRANGER).token("of yesterday");
        call.send().await.problem(401);
    }
    app.call(Method::GET, "status").from(STRANGER).send().await.ok();
}

#[tokio::test]
async fn an_operator_keeps_control_from_an_address_that_guesses() {
    let app = TestApp::new();
    app.call(Method::GET, "status").from(STRANGER).send().await.ok();
    fail_ten_times(&app, STRANGER).await;
    for _ in 0..3 {
        let guess = app.bare(Method::GET, "/api/admin/status").from(STRANGER).token("another");
        guess.send().await.problem(429);
        let pause = app.call(Method::POST, "control/pause").from(STRANGER);
        pause.json(&json!({})).send().await.ok();
    }
}

/// The status of a request with the right token from an address that guesses.
async fn right_among_guesses(app: &TestApp, peer: &str, token: &str) -> u16 {
    fail_ten_times(app, peer).await;
    let call = app.bare(Method::GET, "/api/admin/status").from(peer);
    call.token(token).send().await.status.as_u16()
}

#[tokio::test]
async fn an_operator_keeps_control_when_the_server_was_restarted_meanwhile() {
    const OTHER: &str = "b1f60c7de2495a83b1f60c7d";
    let first = TestApp::new();
    first.call(Method::GET, "status").from("2001:db8::1").send().await.ok();
    let again = |token: &str| {
        let mut setup = Setup::development();
        setup.access.token = AccessOptions::with_token(token).token;
        setup.store = Arc::clone(&first.store);
        setup.build()
    };
    // It is stored after the response.
    eventually("the right token passes in another process", async || {
        let status = right_among_guesses(&again(TOKEN), "2001:db8::2", TOKEN).await;
        (status == 200).then_some(())
    })
    .await;
    let second = again(TOKEN);
    assert_eq!(right_among_guesses(&second, "2001:db8:0:1::1", TOKEN).await, 429);
    assert_eq!(right_among_guesses(&again(OTHER), "2001:db8::1", OTHER).await, 429);
}

#[tokio::test]
async fn the_client_behind_a_trusted_proxy_is_the_one_that_counts() {
    let mut setup = Setup::development();
    setup.access.trusted_proxies = Networks::parse("10.0.0.0/8").unwrap();
    setup.access.allowlist = Networks::parse("192.0.2.0/24").unwrap();
    let app = setup.build();
    let seen = async |peer: &str, forwarded: &str| {
        let call = app.call(Method::GET, "status").from(peer);
        let answer = call.header("x-forwarded-for", forwarded).send().await;
        answer.json["actor"]["ip"].as_str().map(str::to_owned)
    };
    assert_eq!(seen("10.0.0.1", "192.0.2.5").await.as_deref(), Some("192.0.2.5"));
    assert_eq!(seen("::ffff:10.0.0.1", "6.6.6.6, 192.0.2.5:99").await.unwrap(), "192.0.2.5");
    assert_eq!(seen("10.0.0.1", "192.0.2.5, 203.0.113.9").await, None);
    assert_eq!(seen(STRANGER, "192.0.2.5").await, None);
}

#[tokio::test]
async fn the_actor_is_named_by_a_header() {
    let app = TestApp::new();
    let named = async |value: &[u8]| {
        app.call(Method::GET, "status").raw_header("x-admin-user", value).send().await
    };
    let id = async |value: &[u8]| named(value).await.ok()["actor"]["id"].clone();
    assert_eq!(app.get("status").await.json["actor"], json!({ "id": "admin", "ip": "127.0.0.1" }));
    assert_eq!(id(b"  Ada  ").await, "Ada");
    assert_eq!(id("Zoë 🚀 \"x\"".as_bytes()).await, "Zoë 🚀 \"x\"");
    assert_eq!(id(b"Zo\xeb").await, "Zoë");
    assert_eq!(id(b"   ").await, "admin");
    assert_eq!(id("é".repeat(200).as_bytes()).await, "é".repeat(120));
    named(b"a\tb").await.names("X-Admin-User");
    named(b"a\xc2\x85b").await.names("X-Admin-User");
}
