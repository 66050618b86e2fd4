//! Commands for operators of a cluster.

use serde_json::Value;
use simops_tests::cli;
use simops_tests::pgbouncer::PgBouncer;
use simops_tests::port::free_port;
use simops_tests::postgres::PostgresServer;

/// The checks of `doctor` on a database, as (name, status), and all that it prints.
async fn doctor(url: &str) -> (Option<i32>, Vec<(String, String)>, String) {
    let dir = tempfile::tempdir().unwrap();
    let output = cli(dir.path(), &["doctor", "--database-url", url]).await;
    let [stdout, stderr] = [&output.stdout, &output.stderr].map(|out| String::from_utf8_lossy(out));
    let printed = format!("{stdout}{stderr}");
    let report: Value = serde_json::from_str(&stdout).expect(&printed);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let checks = report["checks"].as_array().unwrap().iter();
    let checks = checks.map(|check| (text(&check["check"]), text(&check["status"]))).collect();
    (output.status.code(), checks, printed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doctor_finds_what_is_wrong_with_a_database_and_says_what_to_do() {
    let server = PostgresServer::shared();
    let database = server.database();
    let (code, checks, output) = doctor(&database.url()).await;
    assert_eq!((code, &checks[0]), (Some(1), &("database".to_owned(), "failed".to_owned())));
    assert!(output.contains("the database is empty"), "{output}");

    let dir = tempfile::tempdir().unwrap();
    let started = super::server(dir.path(), &database.url()).start().await;
    assert!(started.terminate().await);
    let (code, checks, output) = doctor(&database.url()).await;
    // The servers of tests do without fsync, and nothing else is wrong with them.
    let failed: Vec<_> = checks.iter().filter(|(_, status)| status != "ok").collect();
    assert_eq!(failed, [&("durability".to_owned(), "failed".to_owned())], "{output}");
    assert_eq!(code, Some(1));
    assert!(output.contains("turn both on"), "{output}");

    let pooler = PgBouncer::before(server);
    let (_, checks, output) = doctor(&pooler.url(&database)).await;
    assert!(checks.contains(&("pooler".to_owned(), "warning".to_owned())), "{output}");
    assert!(output.contains("DATABASE_DIRECT_URL"), "{output}");

    let nowhere = format!("postgres://simops:secret@127.0.0.1:{}/simops", free_port());
    let (code, checks, output) = doctor(&nowhere).await;
    assert_eq!((code, &checks[0]), (Some(1), &("database".to_owned(), "failed".to_owned())));
    assert!(!output.contains("secret"), "{output}");
}
