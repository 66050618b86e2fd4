//! The store is unavailable, and recovers.

use std::sync::Arc;

use serde_json::json;
use simops::testing::{Fault, FaultyStore, MemoryStore};
use simops_tests::eventually;

use crate::support::{Setup, TestApp};

fn app() -> (TestApp, Arc<FaultyStore>) {
    let store = Arc::new(FaultyStore::new(Arc::new(MemoryStore::new())));
    (Setup { store: Arc::clone(&store) as _, ..Setup::development() }.build(), store)
}

#[tokio::test]
async fn while_the_store_is_unavailable_everything_that_needs_it_is_503() {
    let (app, store) = app();
    app.get("status").await.ok();
    store.fail(0..u64::MAX, Fault::Before);
    // A status that is still fresh may be shown, but not for long.
    eventually("the status is refused", async || {
        (app.get("status").await.status == 503).then_some(())
    })
    .await;
    for path in ["status", "config", "audit", "events", "runs", "run/metrics", "stream"] {
        let answer = app.get(path).await;
        answer.problem(503);
        assert_eq!(answer.header("retry-after"), "1", "{path}");
    }
    app.post("control/pause", json!({})).await.problem(503);
    let ready = app.bare(axum::http::Method::GET, "/readyz").send().await;
    ready.problem(503);
    assert_eq!(ready.header("retry-after"), "1");
    app.bare(axum::http::Method::GET, "/healthz").send().await.ok();
    let metrics = app.bare(axum::http::Method::GET, "/metrics").send().await.text;
    assert!(metrics.contains("simops_store_up 0"), "{metrics}");

    store.recover();
    app.get("status").await.ok();
    // A failed check answers for a second.
    eventually("it is ready", async || {
        (app.bare(axum::http::Method::GET, "/readyz").send().await.status == 200).then_some(())
    })
    .await;
    app.post("control/pause", json!({})).await.ok();
}

#[tokio::test]
async fn a_write_of_unknown_outcome_is_repeated_under_its_key() {
    let (app, store) = app();
    let start = async || {
        let call = app.call(axum::http::Method::POST, "control/run/start");
        let call = call.json(&json!({ "mode": "test" })).header("idempotency-key", "once");
        call.send().await
    };
    // Whichever call fails, before or after it is done, the repetition starts one run.
    for call in 0..6 {
        store.fail(store.calls() + call..store.calls() + call + 1, Fault::After);
        if start().await.status == 503 {
            store.recover();
            start().await.ok();
        }
    }
    store.recover();
    assert_eq!(app.get("runs").await.ok()["items"].as_array().unwrap().len(), 1);
}
