//! Reports that follow the end of a run, and the checks of a server in production.

use serde_json::{Value, json};
use simops_tests::postgres::PostgresServer;
use simops_tests::{Server, ServerBuilder, cli, eventually};

const TOKEN: &str = "3f0c9d1e7a5b2c4868fa01e7d9b3c5a2f4e6081b";

async fn until_final(server: &Server, run_id: &str) -> Value {
    eventually("the report", async || {
        let report = server.client.get(&format!("runs/{run_id}/report")).await.ok();
        (report["final"] == true).then_some(report)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_ends_is_reported_also_when_the_power_fails_right_after() {
    let dir = tempfile::tempdir().unwrap();
    let builder = ServerBuilder::new(dir.path());
    let server = builder.start().await;
    let body = json!({ "mode": "test", "run_id": "r1", "reset_world": true });
    server.client.post("control/run/start", &body).await.ok();
    server.until_state("running").await;
    let open = server.client.get("runs/r1/report").await.ok();
    assert_eq!(open["final"], false);
    server.client.post("control/run/stop", &json!({ "reason": "enough" })).await.ok();
    server.kill().await;
    let server = builder.start().await;
    let report = until_final(&server, "r1").await;
    assert_eq!(report["run"]["end_reason"], "enough");
    assert!(report["markdown"].as_str().unwrap().contains("# Run `r1`"));
    // A reset ends the run under it, and that end has its report.
    let body = json!({ "mode": "test", "run_id": "r2" });
    server.client.post("control/run/start", &body).await.ok();
    server.client.post("control/run/reset-dev", &json!({})).await.ok();
    assert_eq!(until_final(&server, "r2").await["run"]["ended_by"], "world_reset");
    assert_eq!(server.client.get("runs/r1/report").await.ok(), report);
    let compared = server.client.get("run/compare?a=r1&b=r2").await.ok();
    assert_eq!((&compared["a"], &compared["final"]), (&json!("r1"), &json!(true)));
    assert_eq!(server.client.get("runs/none/report").await.status, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_in_production_passes_every_check() {
    let dir = tempfile::tempdir().unwrap();
    let builder = ServerBuilder::new(dir.path()).without("ADMIN_API_TOKEN");
    let builder = builder.env("ADMIN_API_TOKEN", TOKEN).env("ENVIRONMENT", "production");
    let server = builder.start().await;
    std::fs::write(dir.path().join("token"), TOKEN).unwrap();
    let args = ["check", "production", "--url", &server.base, "--token-file=token", "-o"];
    let output = cli(dir.path(), &[&args[..], &["json"]].concat()).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let checked: Value = serde_json::from_slice(&output.stdout).unwrap();
    let refused = checked["checks"].as_array().unwrap().iter();
    let refused = refused.filter(|check| check["check"].as_str().unwrap().ends_with(" is refused"));
    assert!(refused.count() >= 13, "{checked}");
    let limited = |checked: &Value| -> Value {
        let checks = checked["checks"].as_array().unwrap().iter();
        checks.clone().find(|check| check["check"] == "addresses are limited").unwrap()["outcome"]
            .clone()
    };
    assert_eq!(limited(&checked), "warn");
    let table = cli(dir.path(), &[&args[..], &["table"]].concat()).await;
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(table.contains("POST /api/admin/control/run/start is refused"), "{table}");
    server.terminate().await;

    let server = builder.env("ADMIN_IP_ALLOWLIST", "127.0.0.1").start().await;
    let args = ["check", "production", "--url", &server.base, "--token-file=token"];
    let output = cli(dir.path(), &args).await;
    let checked: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((limited(&checked), &checked["ok"]), (json!("pass"), &json!(true)), "{checked}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_server_fails_the_checks_and_nothing_on_it_changes() {
    let dir = tempfile::tempdir().unwrap();
    let builder = ServerBuilder::new(dir.path()).without("ADMIN_API_TOKEN");
    let server = builder.env("ADMIN_API_TOKEN", "changeme").start().await;
    std::fs::write(dir.path().join("token"), "changeme").unwrap();
    let here = ["--url", &server.base, "--token-file", "token"];
    let started = cli(dir.path(), &[&here[..], &["run", "start", "--mode", "test"]].concat()).await;
    assert!(started.status.success());
    let output = cli(dir.path(), &[&["check", "production"], &here[..]].concat()).await;
    assert_eq!(output.status.code(), Some(1));
    let checked: Value = serde_json::from_slice(&output.stdout).unwrap();
    let failed: Vec<_> = checked["checks"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|check| check["outcome"] == "fail")
        .map(|check| check["check"].as_str().unwrap())
        .collect();
    for name in ["token is strong", "environment is production", "admin_write_enabled=false"] {
        assert!(failed.contains(&name), "{failed:?}");
    }
    assert!(failed.contains(&"POST /api/admin/control/run/stop is refused"), "{failed:?}");
    let audit = cli(dir.path(), &[&here[..], &["audit", "list"]].concat()).await;
    let audit: Value = serde_json::from_slice(&audit.stdout).unwrap();
    let audit = audit["items"].as_array().unwrap();
    assert!(audit.iter().all(|row| row["changed_by"] != "check"), "{audit:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_baseline_is_taken_of_a_standby_that_takes_no_write_and_without_redis() {
    let dir = tempfile::tempdir().unwrap();
    let postgres = PostgresServer::own();
    let database = postgres.database();
    let server = ServerBuilder::new(dir.path()).env("DATABASE_URL", &database.url()).start().await;
    let body = json!({ "mode": "test", "run_id": "r1" });
    server.client.post("control/run/start", &body).await.ok();
    eventually("actions", async || {
        let metrics = server.client.get("run/metrics").await.ok();
        (metrics["activity"]["deterministic_actions"].as_i64()? > 20).then_some(())
    })
    .await;
    server.client.post("control/run/stop", &json!({})).await.ok();
    server.until_state("stopped").await;
    let standby = postgres.standby(false);
    server.terminate().await;

    let url = standby.url(&database.name);
    let args = ["baseline", "--windows=2", "--database-url", &url];
    let dead = ["--redis-url", "redis://127.0.0.1:1"];
    let output = cli(dir.path(), &[&args[..], &dead].concat()).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let taken: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(taken["metrics"]["rows"][1]["total_actions"].as_i64() > Some(20), "{taken}");
    let kept = dir.path().join("output/baseline/baseline_latest.json");
    let kept: Value = serde_json::from_slice(&std::fs::read(kept).unwrap()).unwrap();
    assert_eq!(kept["generated_at_utc"], taken["generated_at_utc"]);
    // Nothing else may be changed there; the error says why.
    let output = cli(dir.path(), &["run", "degrade", "--database-url", &url]).await;
    assert_eq!(output.status.code(), Some(1));
    let why = String::from_utf8_lossy(&output.stderr);
    assert!(why.contains("read-only"), "{why}");
}
