//! A stop condition that many processes see at once ends a run once.

use serde_json::{Value, json};
use simops_tests::postgres::PostgresServer;
use simops_tests::provider::{Provider, Reply};
use simops_tests::{Server, WorkerProcess, eventually};

use super::{host, server, start_run};

async fn stops(server: &Server, run_id: &str) -> Vec<Value> {
    let path = format!("events?type=simulation_stopped_guardrail&run_id={run_id}");
    server.client.get(&path).await.ok()["items"].as_array().unwrap().clone()
}

async fn until_stopped(server: &Server, run_id: &str) -> Value {
    eventually("a guardrail stops the run", async || stops(server, run_id).await.pop()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_workers_that_see_an_outage_stop_the_run_once() {
    let dir = tempfile::tempdir().unwrap();
    let database = PostgresServer::shared().database();
    let url = database.url();
    let provider =
        Provider::start(|_| Reply::Status(500, String::new(), "out of order".to_owned())).await;
    let builder = server(dir.path(), &url);
    let (a, b) = tokio::join!(builder.start(), builder.start());
    a.client.patch(&json!({"STOP_PROVIDER_FAILURE_THRESHOLD": 5})).await.ok();
    let env = [
        ("DATABASE_URL", url.as_str()),
        ("GROQ_BASE_URL", provider.url.as_str()),
        ("GROQ_API_KEY", "sk-hush"),
    ];
    let ids = ["one", "two", "three"];
    let workers = ids.map(|id| WorkerProcess::start_with(dir.path(), id, &env));
    eventually("all workers are there", async || {
        let status = a.client.get("status").await.ok();
        ids.iter().all(|id| host(&status, id).is_some()).then_some(())
    })
    .await;
    for round in 0..3 {
        let run_id = format!("outage-{round}");
        // What failed before is of another run.
        start_run(if round % 2 == 0 { &a.client } else { &b.client }, &run_id).await;
        let event = until_stopped(&b, &run_id).await;
        assert_eq!(event["metadata"]["reason"], "provider_failures_repeated", "{event}");
        a.until_state("stopped").await;
        let row = a.client.get(&format!("runs/{run_id}")).await.ok();
        assert_eq!(row["end_reason"], "provider_failures_repeated", "{row}");
        let status = b.until_state("stopped").await;
        for host in status["hosts"].as_array().unwrap() {
            let confirmed = (&host["state"], &host["generation"], &host["in_flight_calls"]);
            assert_eq!(confirmed, (&json!("idle"), &status["generation"], &json!(0)), "{status}");
        }
        assert_eq!(stops(&a, &run_id).await.len(), 1);
    }
    let audit = a.client.get("audit?limit=500").await.ok();
    let by_guardrail = |key: &str| {
        let rows = audit["items"].as_array().unwrap().iter();
        rows.filter(|row| row["key"] == key && row["changed_by"] == "system:guardrail").count()
    };
    assert_eq!(by_guardrail("SIMULATION_ACTIVE"), 3, "one row a stop: {audit}");
    assert_eq!(by_guardrail("SIMULATION_PAUSED"), 3, "one row a stop: {audit}");
    for worker in workers {
        assert!(worker.terminate().await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_whose_connections_hang_stops_the_run_for_pool_pressure() {
    let dir = tempfile::tempdir().unwrap();
    let database = PostgresServer::shared().database();
    let url = database.url();
    let provider = Provider::start(|_| Reply::action()).await;
    let server = server(dir.path(), &url).start().await;
    let updates =
        json!({"STOP_DB_POOL_UTILIZATION_THRESHOLD": 0.5, "STOP_DB_POOL_CONSECUTIVE_CHECKS": 3});
    server.client.patch(&updates).await.ok();
    let env = [
        ("DATABASE_URL", url.as_str()),
        ("DATABASE_MAX_CONNECTIONS", "2"),
        ("DATABASE_ANSWER_TIMEOUT_SECONDS", "6"),
        ("GROQ_BASE_URL", provider.url.as_str()),
        ("GROQ_API_KEY", "sk-hush"),
    ];
    let worker = WorkerProcess::start_with(dir.path(), "small", &env);
    start_run(&server.client, "drowning").await;
    eventually("calls are made", async || (!provider.seen().is_empty()).then_some(())).await;
    assert!(stops(&server, "drowning").await.is_empty());

    // Whoever wants to count a call hangs, with one of the two connections.
    let held = database.hold("leases").await;
    let event = until_stopped(&server, "drowning").await;
    assert_eq!(event["metadata"]["reason"], "db_pool_pressure", "{event}");
    let conditions = event["metadata"]["details"]["conditions"].as_array().unwrap();
    let pool = conditions.iter().find(|found| found["condition"] == "db_pool_pressure").unwrap();
    assert!(pool["observed"].as_f64() >= Some(0.5), "{pool}");
    assert!(pool["second_observed"].as_f64() >= Some(3.0), "{pool}");
    drop(held);
    server.until_state("stopped").await;
    assert_eq!(stops(&server, "drowning").await.len(), 1);
    assert!(worker.terminate().await);
}
