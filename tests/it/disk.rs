//! The disk of the database fills up: visitors' events are refused before it is full, and run control
//! continues when something else fills it.

use jiff::Timestamp;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use simops_tests::disk::SmallDisk;
use simops_tests::{Client, ServerBuilder, cli, eventually};
use tokio::task::JoinSet;

const VISITS: &str = "/api/analytics/kpi/events";

/// Sends batches until the server refuses them for lack of space; the reason.
async fn flood(client: Client, sender: usize) -> String {
    for number in 0..100_000 {
        let event = |place: usize| {
            json!({
                "event_name": "landing_view",
                "visitor_id": format!("visitor-{sender}-{number}-{place}"),
                "path": "/".repeat(500),
            })
        };
        let batch: Vec<_> = (0..1_000).map(event).collect();
        let answer = client.bare(Method::POST, VISITS).json(&batch).send().await.unwrap();
        let (status, wait) = (answer.status(), answer.headers().get("retry-after").cloned());
        let body: Value = answer.json().await.unwrap();
        let detail = body["detail"].as_str().unwrap_or_default();
        if status == StatusCode::SERVICE_UNAVAILABLE && detail.contains("nearly full") {
            assert_eq!(wait.unwrap(), "30");
            return detail.to_owned();
        }
        assert!(!detail.contains("the disk is full"), "{detail}");
    }
    panic!("the disk does not get full");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn visitors_events_leave_space_for_run_control_and_a_full_disk_stops_it_neither() {
    let Some(disk) = SmallDisk::mount(24) else { return };
    let server = ServerBuilder::new(disk.path()).without_ingest_limits().start().await;
    let client = &server.client;
    client.post("control/run/start", &json!({ "mode": "test", "run_id": "one" })).await.ok();
    let mut floods = JoinSet::new();
    for sender in 0..4 {
        floods.spawn(flood(client.clone(), sender));
    }
    for reason in floods.join_all().await {
        assert!(reason.contains("nothing was recorded"), "{reason}");
    }
    client.post("control/pause", &json!({})).await.ok();
    client.post("control/resume", &json!({})).await.ok();
    server.until_ready().await;

    let _filler = disk.keep_full();
    eventually("it says that its disk is full", async || {
        let ready = client.send(client.bare(Method::GET, "/readyz")).await.unwrap();
        (ready.status == 503 && ready.body["detail"] == "the disk is full").then_some(())
    })
    .await;
    let metrics = client.bare(Method::GET, "/metrics").send().await.unwrap().text().await.unwrap();
    for line in ["simops_store_writable 0", "simops_database_disk_bytes 25165824"] {
        assert!(metrics.contains(line), "{metrics}");
    }
    let doctor = cli(disk.path(), &["doctor", "-o", "json"]).await;
    let doctor = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(doctor.contains("the disk is full") && doctor.contains("of 24 MiB free"), "{doctor}");

    for _ in 0..20 {
        client.post("control/resume", &json!({})).await.ok();
        client.post("control/pause", &json!({})).await.ok();
    }
    client.post("control/run/stop", &json!({})).await.ok();
    assert_eq!(client.get("status").await.ok()["viewer_ops"]["simulation_paused"], true);
    let now = Timestamp::now().to_string();
    let pruned = cli(disk.path(), &["prune", "--older-than", &now, "-o", "json"]).await;
    assert!(pruned.status.success(), "{pruned:?}");
    let pruned: Value = serde_json::from_slice(&pruned.stdout).unwrap();
    assert!(pruned["events"]["deleted"].as_u64().unwrap() > 0, "{pruned}");
    client.post("control/run/start", &json!({ "mode": "test", "run_id": "two" })).await.ok();
}
