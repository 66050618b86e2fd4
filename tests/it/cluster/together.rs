//! What one process changes, all others see and do.

use std::time::{Duration, Instant};

use serde_json::json;
use simops_tests::postgres::PostgresServer;
use simops_tests::{WorkerProcess, eventually};

use super::{actions, host, server, start_run};

const SOON: Duration = Duration::from_secs(20);

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
    let status = b.until_state("running").await;
    assert_eq!(status["run_metadata"]["run_id"], "shared");
    assert_eq!((host(&status, "one"), host(&status, "two")), (Some("running"), Some("running")));
    eventually("turns are taken", SOON, async || (actions(&b).await > 20).then_some(())).await;

    // A listener of one server hears what is done on the other.
    let request = b.client.request(reqwest::Method::GET, "stream");
    let mut stream = request.send().await.unwrap();
    let mut heard = String::new();
    let asked = Instant::now();
    a.client.post("control/pause", &json!({"reason": "look"})).await.ok();
    let told = async {
        while !heard.contains("\"simulation_paused\":true") {
            heard.push_str(&String::from_utf8_lossy(&stream.chunk().await.unwrap().unwrap()));
        }
    };
    tokio::time::timeout(SOON, told).await.expect("the pause is heard");
    assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
    let paused = b.until_state("paused").await;
    assert_eq!((host(&paused, "one"), host(&paused, "two")), (Some("paused"), Some("paused")));

    // Nothing moves after the pause, whoever looks.
    let before = actions(&a).await;
    assert_eq!(before, actions(&b).await);
    b.client.post("control/resume", &json!({})).await.ok();
    a.until_state("running").await;
    eventually("turns go on", SOON, async || (actions(&a).await > before).then_some(())).await;
    b.client.post("control/run/stop", &json!({})).await.ok();
    a.until_state("stopped").await;
    for worker in workers {
        assert!(worker.terminate().await);
    }
    let left = eventually("hosts have left", SOON, async || {
        let status = a.client.get("status").await.ok();
        (status["hosts"].as_array().unwrap().is_empty()).then_some(status)
    });
    assert_eq!(left.await["run_state"], "stopped");
    assert!(a.terminate().await && b.terminate().await);
}
