//! `kpi rebuild` and `usage rebuild` of the real binary: interrupted, killed, and while others write.

use std::process::{Output, Stdio};

use reqwest::Method;
use serde_json::{Value, json};
use simops_tests::postgres::PostgresServer;
use simops_tests::process::command;
use simops_tests::{ServerBuilder, cli, eventually};
use tempfile::TempDir;
use tokio::process::Child;

fn text(output: &[u8]) -> String {
    String::from_utf8_lossy(output).into_owned()
}

fn start(dir: &TempDir, args: &[&str]) -> Child {
    let mut command = command("simops-cli", dir.path());
    command.args(args).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

async fn ok(dir: &TempDir, args: &[&str]) -> Value {
    let output = cli(dir.path(), args).await;
    assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Ctrl-C while a rebuild waits for another program: it says what is left, and the next one completes it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_rebuild_says_what_it_leaves() {
    let dir = tempfile::tempdir().unwrap();
    let database = PostgresServer::shared().database();
    let url = database.url();
    let at = |args: &[&'static str]| -> Vec<String> {
        args.iter()
            .map(|arg| (*arg).to_owned())
            .chain(["--database-url".into(), url.clone()])
            .collect()
    };
    let run = |args: Vec<String>| {
        let dir = &dir;
        async move { ok(dir, &args.iter().map(String::as_str).collect::<Vec<_>>()).await }
    };
    run(at(&["kpi", "seed", "--days=9"])).await;
    database.sql("UPDATE kpi_days SET sums[1] = sums[1] + 5");
    for (table, command) in [("kpi_steps", "rebuild"), ("kpi_steps", "verify"), ("usage", "")] {
        let args = match command {
            "" => at(&["usage", "rebuild"]),
            "verify" => at(&["kpi", "verify"]),
            _ => at(&["kpi", "rebuild"]),
        };
        let held = database.hold(table).await;
        let child = start(&dir, &args.iter().map(String::as_str).collect::<Vec<_>>());
        let waits = format!(
            "SELECT count(*) FROM pg_locks WHERE relation = '{table}'::regclass AND NOT granted"
        );
        eventually("the command waits", async || {
            (database.sql(&waits).trim() != "0").then_some(())
        })
        .await;
        let pid = child.id().unwrap().to_string();
        assert!(
            std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success()
        );
        let Output { status, stderr, .. } = child.wait_with_output().await.unwrap();
        let message = text(&stderr);
        assert_eq!(status.code(), Some(1), "{message}");
        let left = if command == "verify" {
            "nothing was changed"
        } else {
            "run it again to make the rest"
        };
        assert!(message.contains("interrupted") && message.contains(left), "{message}");
        drop(held);
    }
    let rebuilt = run(at(&["kpi", "rebuild"])).await;
    assert_eq!(rebuilt["repaired"].as_array().unwrap().len(), 9, "{rebuilt}");
    assert_eq!(run(at(&["kpi", "verify"])).await["ok"], true);
    assert_eq!(run(at(&["usage", "verify"])).await["ok"], true);
}

/// A power cut in the middle of a rebuild leaves what was right.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_rebuild_leaves_everything_right() {
    let dir = tempfile::tempdir().unwrap();
    let server = ServerBuilder::new(dir.path()).start().await;
    server.terminate().await;
    let seeded = ok(&dir, &["kpi", "seed", "--days=20"]).await;
    for round in 0..12_u64 {
        let mut child = start(&dir, &["kpi", "rebuild"]);
        tokio::time::sleep(std::time::Duration::from_millis(8 * round)).await;
        child.start_kill().unwrap();
        child.wait().await.unwrap();
        let verified = ok(&dir, &["kpi", "verify"]).await;
        assert_eq!(verified["events"], seeded["accepted"], "{verified}");
    }
    // Every event is still known.
    let again = ok(&dir, &["kpi", "seed", "--days=20"]).await;
    assert_eq!(again["accepted"], 0, "{again}");
    ok(&dir, &["kpi", "rebuild"]).await;
    assert_eq!(ok(&dir, &["kpi", "seed", "--days=20"]).await["accepted"], 0);
}

/// While rebuilds run, a server on the same database takes events, and all of them count.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_are_taken_while_a_rebuild_runs() {
    let dir = tempfile::tempdir().unwrap();
    let database = PostgresServer::shared().database();
    for url in [format!("sqlite://{}", dir.path().join("simops.db").display()), database.url()] {
        let server = ServerBuilder::new(dir.path())
            .env("DATABASE_URL", &url)
            .env("KPI_EVENT_RATE_LIMIT", "0")
            .start()
            .await;
        let at = ["--database-url", url.as_str()];
        let seeded = ok(&dir, &[&["kpi", "seed", "--days=20"], &at[..]].concat()).await;
        let mut sent = 0;
        for _ in 0..3 {
            let child = start(&dir, &[&["kpi", "rebuild"], &at[..]].concat());
            let mut ended = tokio::spawn(child.wait_with_output());
            let output = loop {
                let event = json!({
                    "event_name": "landing_view",
                    "visitor_id": format!("visitor-{sent}"),
                });
                let request = server.client.bare(Method::POST, "/api/analytics/kpi/events");
                let answer = server.client.send(request.json(&event)).await.unwrap();
                assert_eq!(answer.status, 200, "{answer:?}");
                sent += 1;
                if ended.is_finished() {
                    break (&mut ended).await.unwrap().unwrap();
                }
            };
            assert!(output.status.success(), "{}", text(&output.stderr));
            let rebuilt: Value = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!(rebuilt["repaired"], json!([]));
        }
        let verified = ok(&dir, &[&["kpi", "verify"], &at[..]].concat()).await;
        assert_eq!(verified["events"], seeded["accepted"].as_u64().unwrap() + sent);
        server.terminate().await;
    }
}
