//! All processes are replaced, one after the other, while operators write.

use serde_json::json;
use simops_tests::port::free_port;
use simops_tests::postgres::PostgresServer;
use simops_tests::{WorkerProcess, eventually};

use super::load::{Load, check};
use super::{actions, server, start_run};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_under_load_fails_no_acknowledged_write_and_the_run_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let database = PostgresServer::shared().database();
    let url = database.url();
    // Addresses that stay, as behind a balancer.
    let ports = [free_port(), free_port()];
    let builders = ports
        .map(|port| server(dir.path(), &url).env("SIMOPS_LISTEN", &format!("127.0.0.1:{port}")));
    let mut servers = Vec::new();
    for builder in &builders {
        servers.push(builder.start().await);
    }
    let mut workers: Vec<_> =
        ["a", "b"].iter().map(|id| WorkerProcess::start(dir.path(), &url, id)).collect();
    start_run(&servers[0].client, "rolling").await;
    let clients: Vec<_> = servers.iter().map(|server| server.client.clone()).collect();
    let load = Load::start(4, &clients);
    for place in 0..2 {
        load.goes_on(30).await;
        assert!(servers.remove(place).terminate().await, "the server ends well");
        load.goes_on(30).await;
        servers.insert(place, builders[place].start().await);
        load.goes_on(30).await;
        assert!(workers.remove(place).terminate().await, "the worker ends well");
        let id = ["c", "d"][place];
        workers.insert(place, WorkerProcess::start(dir.path(), &url, id));
    }
    let acknowledged = load.stop().await;
    check(&servers[1].client, &acknowledged).await;
    let before = actions(&servers[0]).await;
    eventually("turns go on", async || (actions(&servers[0]).await > before + 20).then_some(()))
        .await;
    let status = servers[1].until_state("running").await;
    assert_eq!(status["run_metadata"]["run_id"], "rolling");
    servers[1].client.post("control/run/stop", &json!({})).await.ok();
    servers[0].until_state("stopped").await;
}
