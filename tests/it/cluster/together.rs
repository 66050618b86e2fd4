//! What one process changes, all others see and do.

use std::time::Duration;

use serde_json::json;
use simops_tests::postgres::PostgresServer;
use simops_tests::wait::{LIMIT, Stopwatch};
use simops_tests::{Server, WorkerProcess, eventually};

use super::{actions, host, server, start_run, until_hosts};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_and_two_workers_act_as_one() {
    let dir = tempfile::tempdir().unwrap();
    let database = PostgresServer::shared().database();
    let url = database.url();
    let (to_a, to_b) = (server(dir.path(), &url), server(dir.path(), &url));
    // Both migrate the empty database at once.
    let (a, b) = tokio::join!(to_a.start(), to_b.start());
    let workers = ["one", "two"].map(|id| WorkerProcess::start(dir.path(), &url, id));

    start_run(&a.client, "shared").await;
    let status = until_hosts(&b, &["one", "two"], "running").await;
    assert_eq!(
        (&status["run_state"], &status["run_metadata"]["run_id"]),
        (&json!("running"), &json!("shared"))
    );
    eventually("turns are taken", async || (actions(&b).await > 20).then_some(())).await;

    // The stream of one server shows a pause on the other within a second. Where the disk delays one of
    // them, it does not delay all.
    let mut fastest = Duration::MAX;
    for _ in 0..5 {
        fastest = fastest.min(pause_shows_after(&a, &b).await);
        if fastest < Duration::from_secs(1) {
            break;
        }
        a.client.post("control/resume", &json!({})).await.ok();
        b.until_state("running").await;
    }
    assert!(fastest < Duration::from_secs(1), "{fastest:?}");
    let paused = b.until_state("paused").await;
    assert_eq!((host(&paused, "one"), host(&paused, "two")), (Some("paused"), Some("paused")));

    // Nothing moves after the pause, whoever looks.
    let before = actions(&a).await;
    assert_eq!(before, actions(&b).await);
    b.client.post("control/resume", &json!({})).await.ok();
    a.until_state("running").await;
    eventually("turns go on", async || (actions(&a).await > before).then_some(())).await;
    b.client.post("control/run/stop", &json!({})).await.ok();
    a.until_state("stopped").await;
    for worker in workers {
        assert!(worker.terminate().await);
    }
    let left = eventually("hosts have left", async || {
        let status = a.client.get("status").await.ok();
        (status["hosts"].as_array().unwrap().is_empty()).then_some(status)
    });
    assert_eq!(left.await["run_state"], "stopped");
    assert!(a.terminate().await && b.terminate().await);
}

/// How long after the request the stream of `other` shows a pause on `one`.
async fn pause_shows_after(one: &Server, other: &Server) -> Duration {
    let request = other.client.request(reqwest::Method::GET, "stream");
    let mut stream = request.send().await.unwrap();
    let mut received = String::new();
    let asked = Stopwatch::start();
    one.client.post("control/pause", &json!({"reason": "look"})).await.ok();
    let shown = async {
        while !received.contains("\"simulation_paused\":true") {
            received.push_str(&String::from_utf8_lossy(&stream.chunk().await.unwrap().unwrap()));
        }
    };
    tokio::time::timeout(LIMIT, shown).await.expect("the pause is shown");
    asked.elapsed()
}
