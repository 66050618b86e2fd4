//! Visitors' events at the public door, and the rollups behind the other one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use axum::http::Method;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use simops::testing::{Fault, FaultyStore, MemoryStore};
use simops_server::{IngestLimits, Token};

use crate::support::{Answer, Setup, TestApp};

const EVENTS: &str = "/api/analytics/kpi/events";

fn event(name: &str, visitor: &str) -> Value {
    json!({ "event_name": name, "visitor_id": visitor })
}

async fn send(app: &TestApp, body: &Value) -> Answer {
    app.bare(Method::POST, EVENTS).json(body).send().await
}

async fn today(app: &TestApp) -> Value {
    app.get("kpi/rollups?days=1").await.ok()["items"][0].clone()
}

#[tokio::test]
async fn an_event_is_in_the_rollup_once_it_is_answered() {
    let app = TestApp::new();
    let one = json!({
        "event_name": " Landing_View ", "visitor_id": "visitor-1", "session_id": null,
        "surface": "landing", "event_id": 17, "metadata": { "a": 1 }, "unknown": [],
        "occurred_at": Timestamp::now().to_string(), "event_uid": "e-1",
    });
    let answer = send(&app, &one).await.ok();
    assert_eq!(answer, json!({ "ok": true, "accepted": 1, "duplicates": 0 }));
    let again =
        json!([one, event("landing_run_click", "visitor-1"), event("landing_view", "v-222222")]);
    let answer = send(&app, &again).await.ok();
    assert_eq!(answer, json!({ "ok": true, "accepted": 2, "duplicates": 1 }));
    let day = today(&app).await;
    assert_eq!(day["landing_views"], 2);
    assert_eq!(day["landing_view_visitors"], 2);
    assert_eq!(day["landing_run_clicks"], 1);
    assert_eq!(day["landing_to_run_ctr"], 0.5);
    assert_eq!(day["partial"], true);
    assert_eq!(day["run_to_replay_start_rate"], Value::Null);
    let interval = &day["intervals"]["landing_to_run_ctr"];
    assert!(interval["low"].as_f64().unwrap() < 0.5 && interval["high"].as_f64().unwrap() > 0.5);
}

#[tokio::test]
async fn a_beacon_of_plain_text_is_taken() {
    let app = TestApp::new();
    let body = event("shared_link_open", "visitor-1").to_string();
    for content_type in ["text/plain;charset=UTF-8", "application/json"] {
        let call = app.bare(Method::POST, EVENTS).header("content-type", content_type);
        call.body(body.clone()).send().await.ok();
    }
    app.bare(Method::POST, EVENTS).body(body.clone()).send().await.ok();
    let call = app.bare(Method::POST, EVENTS).header("content-type", "text/html");
    call.body(body).send().await.problem(415);
    assert_eq!(today(&app).await["shared_link_opens"], 3);
}

#[tokio::test]
async fn what_cannot_be_counted_is_named_and_nothing_is_recorded() {
    let app = TestApp::new();
    let with = |field: &str, value: Value| {
        let mut event = event("landing_view", "visitor-1");
        event[field] = value;
        event
    };
    let long = "x".repeat(129);
    let old = (Timestamp::now() - SignedDuration::from_hours(24 * 92)).to_string();
    let soon = (Timestamp::now() + SignedDuration::from_hours(1)).to_string();
    for (field, value) in [
        ("event_name", json!("landing")),
        ("event_name", json!(7)),
        ("visitor_id", json!("short")),
        ("visitor_id", json!(null)),
        ("visitor_id", json!(long)),
        ("visitor_id", json!(12_345_678)),
        ("visitor_id", json!("visitor\u{0}1")),
        ("session_id", json!({})),
        ("event_uid", json!(7)),
        ("metadata", json!([])),
        ("occurred_at", json!("yesterday")),
        ("occurred_at", json!(old)),
        ("occurred_at", json!(soon)),
    ] {
        send(&app, &with(field, value.clone())).await.names(field);
        let batch = json!([event("landing_view", "visitor-2"), with(field, value)]);
        send(&app, &batch).await.names(&format!("[1].{field}"));
    }
    let listed = r#"[["landing_view", "visitor-1"]]"#;
    for body in ["", "7", listed, "null", "[7]", "{", "[{}", "[] []", "\"x\""] {
        let call = app.bare(Method::POST, EVENTS).header("content-type", "text/plain");
        call.body(body).send().await.problem(422);
    }
    let many: Vec<_> = (0..1_001).map(|_| event("landing_view", "visitor-1")).collect();
    send(&app, &json!(many)).await.names("body");
    assert_eq!(today(&app).await["landing_views"], 0);
    send(&app, &json!(many[..1_000])).await.ok();
    assert_eq!(today(&app).await["landing_views"], 1_000);
}

#[tokio::test]
async fn what_can_be_counted_is_counted() {
    let app = TestApp::new();
    let long = "x".repeat(5_000);
    let keys: serde_json::Map<_, _> = (0..21).map(|n| (format!("k{n}"), json!(n))).collect();
    let odd = [
        ("surface", json!("a\nb\u{0}c")),
        ("path", json!(long)),
        ("metadata", json!(keys)),
        ("metadata", json!({ "a": long })),
        ("metadata", json!({ "a": ["\u{7}"], "\u{1b}": {} })),
        ("event_uid", json!(long)),
    ];
    let odd = odd.map(|(field, value)| {
        let mut event = event("landing_view", "visitor-1");
        event[field] = value;
        event
    });
    assert_eq!(send(&app, &json!(odd)).await.ok()["accepted"], odd.len());
    // A page that cuts a text within an emoji, and one that is not in UTF-8.
    for target in [br#""\ud83d""#.as_slice(), b"\"caf\xe9\"", br#""\ude00 \ud83d\ude00""#] {
        let mut body =
            br#"{"event_name":"landing_view","visitor_id":"visitor-1","target":"#.to_vec();
        body.extend_from_slice(target);
        body.push(b'}');
        let call = app.bare(Method::POST, EVENTS).header("content-type", "text/plain");
        call.body(body).send().await.ok();
    }
    assert_eq!(today(&app).await["landing_views"], odd.len() + 3);
}

#[tokio::test]
async fn late_events_correct_the_day_they_belong_to() {
    let app = TestApp::new();
    let ago = |days: i64| (Timestamp::now() - SignedDuration::from_hours(24 * days)).to_string();
    for days in [3, 1, 2, 9, 90] {
        let mut event = event("run_detail_view", "visitor-1");
        event["occurred_at"] = json!(ago(days));
        send(&app, &event).await.ok();
    }
    let answer = app.get("kpi/rollups?days=90").await.ok();
    let items = answer["items"].as_array().unwrap();
    assert_eq!(items.len(), 90);
    assert_eq!(items[3]["d1_retention_rate"], 1.0);
    assert_eq!(items[9]["d7_retention_rate"], 1.0);
    assert_eq!(items[1]["d1_retention_rate"], Value::Null, "who comes back today is not known yet");
    assert_eq!(items[2]["d1_retention_rate"], 1.0, "yesterday is over");
    assert_eq!(answer["summary"]["latest_day_key"], items[1]["day_key"]);
    for days in ["0", "91", "x"] {
        app.get(&format!("kpi/rollups?days={days}")).await.names("days");
    }
}

#[tokio::test]
async fn a_closed_door_answers_403() {
    let mut setup = Setup::development();
    setup.ingest.enabled = false;
    let app = setup.build();
    assert!(
        send(&app, &event("landing_view", "visitor-1")).await.problem(403).contains("disabled")
    );
    send(&app, &json!("nonsense")).await.problem(403);
}

#[tokio::test]
async fn an_address_that_comes_too_often_waits() {
    let mut setup = Setup::development();
    setup.ingest.limits.requests = 5;
    let app = setup.build();
    let body = event("landing_view", "visitor-1");
    let number = AtomicU8::new(0);
    let from = async |address: &str| {
        // A header that anybody can write changes nothing.
        let forged = format!("198.51.100.{}", number.fetch_add(1, Ordering::SeqCst));
        let call = app.bare(Method::POST, EVENTS).from(address);
        call.header("x-forwarded-for", &forged).json(&body).send().await
    };
    for _ in 0..5 {
        from("203.0.113.9").await.ok();
    }
    let refused = from("203.0.113.9").await;
    refused.problem(429);
    assert!(refused.header("retry-after").parse::<u64>().unwrap() >= 1);
    from("203.0.113.10").await.ok();
    assert_eq!(today(&app).await["landing_views"], 6);
}

#[tokio::test]
async fn forged_visitors_are_deleted_over_http() {
    let app = TestApp::new();
    for visitor in ["visitor-1", "forged-1", "forged-2"] {
        send(&app, &event("landing_view", visitor)).await.ok();
    }
    let day = today(&app).await["day_key"].clone();
    let mut body = json!({ "day": day, "visitors": ["forged-1"], "prefixes": ["forged-"] });
    body["dry_run"] = json!(true);
    let counted = app.post("kpi/visits/delete", body.clone()).await.ok();
    assert_eq!(counted, json!({ "ok": true, "dry_run": true, "found": 2, "deleted": 0 }));
    body["dry_run"] = json!(false);
    assert_eq!(app.post("kpi/visits/delete", body.clone()).await.ok()["deleted"], 2);
    assert_eq!(today(&app).await["landing_views"], 1);
    assert_eq!(app.post("kpi/visits/delete", body).await.ok()["deleted"], 0);
    for (field, value) in [("day", json!("today")), ("visitors", json!([" "]))] {
        let mut body = json!({ "day": day, "visitors": ["forged-1"] });
        body[field] = value;
        app.post("kpi/visits/delete", body).await.names(field);
    }
    app.post("kpi/visits/delete", json!({ "day": day })).await.names("visitors");
    let misspelled = json!({ "day": day, "visitors": ["visitor-1"], "dryrun": true });
    app.post("kpi/visits/delete", misspelled).await.problem(422);
}

#[tokio::test]
async fn events_and_bytes_are_limited_per_address_and_in_total() {
    let unlimited =
        IngestLimits { requests: 0, events: 0, bytes: 0, total_events: 0, total_bytes: 0 };
    let batch: Vec<_> = (0..50).map(|_| event("landing_view", "visitor-1")).collect();
    let batch = json!(batch);
    let bytes = batch.to_string().len() as u64;
    let cases = [
        (IngestLimits { events: 100, ..unlimited.clone() }, "events from this address", true),
        (IngestLimits { bytes: 2 * bytes, ..unlimited.clone() }, "bytes from this address", true),
        (IngestLimits { total_events: 100, ..unlimited.clone() }, "all addresses", false),
        (IngestLimits { total_bytes: 2 * bytes, ..unlimited }, "all addresses", false),
    ];
    for (limits, detail, is_own) in cases {
        let mut setup = Setup::development();
        setup.ingest.limits = limits;
        let app = setup.build();
        let from = async |address: &str| {
            app.bare(Method::POST, EVENTS).from(address).json(&batch).send().await
        };
        // Two addresses of one /64.
        from("2001:db8::1").await.ok();
        from("2001:db8::2").await.ok();
        let refused = from("2001:db8::3").await;
        assert!(refused.problem(429).contains(detail), "{detail}");
        let wait = refused.header("retry-after").parse::<u64>().unwrap();
        assert!((1..=60).contains(&wait), "{wait}");
        let other = from("2001:db8:0:1::1").await;
        if is_own {
            other.ok();
        } else {
            assert!(other.problem(429).contains(detail), "{detail}");
        }
        assert_eq!(today(&app).await["landing_views"], if is_own { 150 } else { 100 });
    }
}

#[tokio::test]
async fn a_batch_larger_than_a_limit_is_taken_once_nothing_else_was() {
    let mut setup = Setup::development();
    setup.ingest.limits.events = 10;
    setup.ingest.limits.bytes = 100;
    let app = setup.build();
    let batch: Vec<_> = (0..50).map(|_| event("landing_view", "visitor-1")).collect();
    send(&app, &json!(batch)).await.ok();
    // What it took too much is waited for.
    let wait = send(&app, &json!(batch[..1])).await.header("retry-after").parse::<u64>().unwrap();
    assert!(wait > 240, "{wait}");
}

#[tokio::test]
async fn pages_of_listed_origins_may_send_and_read_the_answer() {
    let mut setup = Setup::development();
    setup.ingest.origins = vec!["https://www.example.org".to_owned()];
    let app = setup.build();
    let preflight = async |origin: &str| {
        let call = app.bare(Method::OPTIONS, EVENTS).header("origin", origin);
        call.header("access-control-request-method", "POST").send().await
    };
    let allowed = preflight("https://www.example.org").await;
    assert_eq!(allowed.status, 204);
    assert_eq!(allowed.header("access-control-allow-origin"), "https://www.example.org");
    // Beacons are credentialed requests.
    assert_eq!(allowed.header("access-control-allow-credentials"), "true");
    assert_eq!(allowed.header("access-control-allow-headers"), "content-type, x-write-key");
    assert_eq!(preflight("https://evil.example").await.header("access-control-allow-origin"), "");
    let call = app.bare(Method::POST, EVENTS).header("origin", "https://www.example.org");
    let answer = call.json(&json!({})).send().await;
    answer.problem(422);
    assert_eq!(answer.header("access-control-allow-origin"), "https://www.example.org");
    assert_eq!(answer.header("access-control-allow-credentials"), "true");
    assert_eq!(answer.header("vary"), "Origin");
}

#[tokio::test]
async fn pages_of_other_origins_are_refused() {
    let mut setup = Setup::development();
    setup.ingest.origins = vec!["https://www.example.org".to_owned()];
    let app = setup.build();
    let landed = event("landing_view", "visitor-1").to_string();
    let send = async |origin: &str, content_type: &str| {
        let call = app.bare(Method::POST, EVENTS).header("host", "ops.example:8080");
        let call = call.header("origin", origin).header("content-type", content_type);
        call.body(landed.clone()).send().await
    };
    for stranger in [
        "https://evil.example",
        "null",
        "",
        "https://www.example.org.evil.example",
        "https://www.example.org:444",
        "http://ops.example",
        "http://ops.example:8080.evil.example",
    ] {
        for content_type in ["text/plain", "application/json"] {
            assert!(
                send(stranger, content_type).await.problem(403).contains("origin"),
                "{stranger}"
            );
        }
    }
    for own in ["http://ops.example:8080", "https://OPS.example:8080", "https://www.example.org"] {
        send(own, "text/plain").await.ok();
    }
    assert_eq!(today(&app).await["landing_views"], 3);
}

#[tokio::test]
async fn with_a_write_key_only_events_that_carry_it_are_taken() {
    let mut setup = Setup::development();
    setup.ingest.write_key = Some(Token::new("key of the site"));
    let app = setup.build();
    let landed = event("landing_view", "visitor-1");
    let send = async |path: &str, key: Option<&str>| {
        let call = app.bare(Method::POST, path).json(&landed);
        let call = match key {
            Some(key) => call.header("x-write-key", key),
            None => call,
        };
        call.send().await
    };
    for (path, key) in [
        (EVENTS.to_owned(), None),
        (EVENTS.to_owned(), Some("another key")),
        (format!("{EVENTS}?key=another"), None),
        (format!("{EVENTS}?key="), None),
    ] {
        assert_eq!(send(&path, key).await.problem(401), "Invalid write key");
    }
    send(EVENTS, Some("key of the site")).await.ok();
    send(&format!("{EVENTS}?key=key+of%20the+site"), None).await.ok();
    assert_eq!(today(&app).await["landing_views"], 2);
}

#[tokio::test]
async fn an_unavailable_store_is_reported_before_anything_is_lost() {
    let store = Arc::new(FaultyStore::new(Arc::new(MemoryStore::new())));
    let mut setup = Setup::development();
    setup.store = store.clone();
    let app = setup.build();
    store.fail(0..u64::MAX, Fault::Before);
    let refused = send(&app, &event("landing_view", "visitor-1")).await;
    refused.problem(503);
    assert_eq!(refused.header("retry-after"), "1");
    store.recover();
    send(&app, &event("landing_view", "visitor-1")).await.ok();
}
