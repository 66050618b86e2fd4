//! What operators need besides the API: health, figures, request ids.

use axum::http::Method;
use serde_json::json;
use simops_server::{MetricsAccess, Token};

use crate::support::{Setup, TOKEN, TestApp};

#[tokio::test]
async fn health_and_figures_are_public() {
    let app = TestApp::new();
    for path in ["/healthz", "/readyz"] {
        let answer = app.bare(Method::GET, path).send().await.ok();
        assert_eq!(answer, json!({ "ok": true }));
    }
    app.get("status").await.ok();
    app.get("runs/some-run-id").await.problem(404);
    app.bare(Method::GET, "/some/path").send().await.problem(404);
    app.bare(Method::from_bytes(b"BREW").unwrap(), "/metrics").send().await.problem(405);
    app.post("control/run/start", json!({ "mode": "test", "run_id": "secret-run" })).await.ok();

    let answer = app.bare(Method::GET, "/metrics").send().await;
    assert!(answer.header("content-type").starts_with("text/plain; version=0.0.4"));
    for line in [
        "simops_http_requests_total{method=\"GET\",route=\"/api/admin/status\",status=\"200\"} 1",
        "simops_http_requests_total{method=\"GET\",route=\"/api/admin/runs/{run_id}\",status=\"404\"} 1",
        "simops_http_requests_total{method=\"GET\",route=\"unmatched\",status=\"404\"} 1",
        "simops_http_requests_total{method=\"other\",route=\"/metrics\",status=\"405\"} 1",
        "simops_http_request_duration_seconds_count{method=\"GET\",route=\"/api/admin/status\"} 1",
        "simops_run_state{state=\"starting\"} 1",
        "simops_run_state{state=\"idle\"} 0",
        "simops_simulation_active 1",
        "simops_generation 1",
        "simops_hosts{state=\"live\"} 0",
        "simops_streams 0",
        "simops_day_calls 0",
        "simops_store_up 1",
    ] {
        assert!(answer.text.lines().any(|found| found == line), "{line}\n{}", answer.text);
    }
    assert!(answer.text.contains("process_start_time_seconds 1"));
    assert!(!answer.text.contains("secret-run"));
}

#[tokio::test]
async fn a_plain_request_id_is_kept_and_another_replaced() {
    let app = TestApp::new();
    let id = async |given: &[u8]| {
        let call = app.bare(Method::GET, "/healthz").raw_header("x-request-id", given);
        call.send().await.header("x-request-id").to_owned()
    };
    assert_eq!(id(b"trace:4bf9-2f3e.77").await, "trace:4bf9-2f3e.77");
    for odd in [&b"a b"[..], b"<script>", b"\xff", b"", &[b'x'; 129]] {
        let made = id(odd).await;
        assert!(!made.is_empty() && made.as_bytes() != odd, "{made}");
    }
    assert_ne!(id(b"").await, id(b"").await);
}

#[tokio::test]
async fn no_answer_holds_the_token() {
    let app = TestApp::new();
    let paths = ["status", "config", "audit", "events", "runs", "run/metrics", "nope"];
    for path in paths {
        let answer = app.get(path).await;
        assert!(!answer.text.contains(TOKEN) && !format!("{:?}", answer.headers).contains(TOKEN));
    }
    for path in ["/metrics", "/api/openapi.json", "/ops"] {
        assert!(!app.bare(Method::GET, path).send().await.text.contains(TOKEN), "{path}");
    }
    let wrong = "a-wrong-token-to-be-kept-out-of-sight";
    let refused = app.bare(Method::GET, "/api/admin/status").token(wrong).send().await;
    assert!(!refused.text.contains(wrong));
}

#[tokio::test]
async fn metrics_are_for_those_who_may_read_them() {
    let mut setup = Setup::development();
    setup.access.metrics = MetricsAccess::Token;
    setup.access.metrics_token = Some(Token::new("of prometheus"));
    let app = setup.build();
    let metrics = || app.bare(Method::GET, "/metrics");
    assert_eq!(metrics().send().await.problem(401), "Invalid admin credentials");
    metrics().token("guessed").send().await.problem(401);
    for token in ["of prometheus", TOKEN] {
        let answer = metrics().token(token).send().await;
        assert_eq!(answer.status, 200);
        assert!(answer.text.contains("simops_store_up 1"), "{}", answer.text);
    }
    // The token of the metrics opens nothing else.
    app.bare(Method::GET, "/api/admin/status").token("of prometheus").send().await.problem(401);
}

#[tokio::test]
async fn metrics_of_an_address_of_their_own_are_nowhere_else() {
    let mut setup = Setup::development();
    setup.access.metrics = MetricsAccess::Address(([127, 0, 0, 1], 0).into());
    let app = setup.build();
    app.bare(Method::GET, "/metrics").send().await.problem(404);
    let alone = TestApp { app: app.app.metrics_only(), ..app };
    assert_eq!(alone.bare(Method::GET, "/metrics").send().await.status, 200);
    assert_eq!(alone.bare(Method::GET, "/healthz").send().await.status, 200);
    for path in ["/ops", "/api/admin/status", "/api/openapi.json", "/"] {
        for token in [TOKEN, "guessed"] {
            alone.bare(Method::GET, path).token(token).send().await.problem(404);
        }
    }
}
