//! Server-sent events.

use std::collections::VecDeque;
use std::time::Duration;

use axum::body::BodyDataStream;
use axum::http::Method;
use futures_util::StreamExt;
use serde_json::{Value, json};
use simops_tests::wait::LIMIT;

use crate::support::TestApp;

struct Events {
    body: BodyDataStream,
    pending: String,
    ready: VecDeque<(String, Value)>,
}

impl Events {
    async fn open(app: &TestApp) -> Self {
        let response = app.call(Method::GET, "stream").open().await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let body = response.into_body().into_data_stream();
        Self { body, pending: String::new(), ready: VecDeque::new() }
    }

    /// The next event; `None` at the end.
    async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            let bytes = self.body.next().await?.unwrap();
            self.pending.push_str(std::str::from_utf8(&bytes).unwrap());
            while let Some((block, rest)) = self.pending.split_once("\n\n") {
                if let Some((name, data)) = block.split_once('\n') {
                    let name = name.strip_prefix("event: ").unwrap().to_owned();
                    let data = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
                    self.ready.push_back((name, data));
                }
                self.pending = rest.to_owned();
            }
        }
    }

    /// The next event of that name that is as wanted.
    async fn until(&mut self, wanted: &str, is: impl Fn(&Value) -> bool) -> Value {
        let found = async {
            loop {
                let (name, data) = self.next().await.expect("another event");
                if name == wanted && is(&data) {
                    return data;
                }
            }
        };
        tokio::time::timeout(LIMIT, found).await.expect(wanted)
    }
}

#[tokio::test]
async fn a_stream_begins_with_the_status_and_continues_with_changes() {
    let app = TestApp::new();
    app.post("control/degrade", json!({})).await.ok();
    let mut events = Events::open(&app).await;
    let (name, status) = events.next().await.unwrap();
    assert_eq!((name.as_str(), &status["run_state"]), ("status", &json!("idle")));
    assert_eq!(status["actor"], json!({ "id": "admin", "ip": "127.0.0.1" }));
    assert!(status["server_time_utc"].is_string());
    assert_eq!(events.next().await.unwrap().0, "metrics");

    app.post("control/run/start", json!({ "mode": "test", "run_id": "r1" })).await.ok();
    events.until("status", |status| status["viewer_ops"]["run_id"] == "r1").await;
    let audit = events.until("audit", |_| true).await;
    let ids: Vec<_> =
        audit["items"].as_array().unwrap().iter().map(|row| row["id"].as_i64().unwrap()).collect();
    assert!(ids.is_sorted_by(|a, b| a > b) && ids.last() == Some(&2), "{ids:?}");
    let received = events.until("events", |_| true).await;
    assert_eq!(received["items"].as_array().unwrap().len(), 1);
    assert_eq!(received["items"][0]["event_type"], "run_started");
    events.until("metrics", |metrics| metrics["run_id"] == "r1").await;
}

#[tokio::test]
async fn the_stream_shows_what_a_host_confirms() {
    let app = TestApp::new().with_host().await;
    let mut events = Events::open(&app).await;
    app.post("control/run/start", json!({ "mode": "test" })).await.ok();
    events.until("status", |status| status["run_state"] == "running").await;
    app.post("control/pause", json!({})).await.ok();
    events.until("status", |status| status["run_state"] == "paused").await;
}

#[tokio::test]
async fn a_slow_reader_gets_everything_again() {
    let app = TestApp::new();
    let mut slow = Events::open(&app).await;
    let mut quick = Events::open(&app).await;
    for n in 0..40 {
        app.patch(json!({ "LLM_ACTION_MAX_TOKENS": 100 + n })).await.ok();
        quick.until("audit", |audit| audit["items"][0]["new_value"] == 100 + n).await;
    }
    let mut received = Vec::new();
    while received.iter().filter(|id| **id == 1).count() < 2 && !received.contains(&40) {
        let audit = slow.until("audit", |_| true).await;
        let rows = audit["items"].as_array().unwrap().iter();
        received.extend(rows.map(|row| row["id"].as_i64().unwrap()));
    }
    for id in 1..=40 {
        assert!(received.contains(&id), "row {id} is missing: {received:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn silence_is_broken_by_signs_of_life() {
    let app = TestApp::new();
    let mut events = Events::open(&app).await;
    events.next().await.unwrap();
    events.next().await.unwrap();
    let begun = tokio::time::Instant::now();
    let bytes = events.body.next().await.unwrap().unwrap();
    assert_eq!(&bytes[..1], b":");
    assert!(begun.elapsed() <= Duration::from_secs(5));
}

#[tokio::test]
async fn streams_are_counted_limited_and_ended() {
    let app = TestApp::new();
    let mut open = Vec::new();
    for _ in 0..simops_server::MAX_STREAMS {
        open.push(Events::open(&app).await);
    }
    assert_eq!(app.app.streams().open(), simops_server::MAX_STREAMS);
    let refused = app.get("stream").await;
    refused.problem(503);
    assert_eq!(refused.header("retry-after"), "5");
    let mut last = open.pop().unwrap();
    open.clear();
    assert_eq!(app.app.streams().open(), 1);
    app.app.streams().close();
    let ends = async { while last.next().await.is_some() {} };
    tokio::time::timeout(LIMIT, ends).await.expect("the stream ends");
    app.get("stream").await.problem(503);
}
