//! What goes wrong around the server: one clear line, or 503 until the cause is gone.

use std::path::Path;
use std::process::Output;
use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use simops_tests::wait::{LIMIT, Stopwatch};
use simops_tests::{ServerBuilder, eventually};

async fn fails_with_one_line(builder: &ServerBuilder, parts: &[&str]) {
    let output: Output =
        tokio::time::timeout(LIMIT, builder.command().output()).await.expect("it exits").unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let output = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.trim().lines().count(), 1, "{output}");
    for part in parts {
        assert!(output.contains(part), "{output:?} lacks {part:?}");
    }
}

fn server(dir: &Path) -> ServerBuilder {
    ServerBuilder::new(dir)
}

#[tokio::test]
async fn a_port_in_use_gives_an_error_of_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    fails_with_one_line(&server(dir.path()).env("SIMOPS_LISTEN", &address), &[&address]).await;
}

#[tokio::test]
async fn a_database_that_cannot_be_used_gives_an_error_of_one_line() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("simops.db"), "this is no database, but long enough".repeat(50))
        .unwrap();
    fails_with_one_line(&server(dir.path()), &["simops.db"]).await;

    let missing = server(dir.path()).env("DATABASE_URL", "sqlite:///nowhere/at/all/simops.db");
    fails_with_one_line(&missing, &["/nowhere/at/all/simops.db"]).await;

    let dir = tempfile::tempdir().unwrap();
    server(dir.path()).start().await.kill().await;
    let db = rusqlite::Connection::open(dir.path().join("simops.db")).unwrap();
    db.pragma_update(None, "user_version", 9_999).unwrap();
    db.execute("UPDATE schema_writers SET min_writer = 9999", []).unwrap();
    drop(db);
    fails_with_one_line(&server(dir.path()), &["newer", "9999"]).await;
}

#[tokio::test]
async fn an_invalid_value_stops_the_start_with_name_value_and_what_is_allowed() {
    let dir = tempfile::tempdir().unwrap();
    for (name, value, allowed) in [
        ("ENVIRONMENT", "staging", "production"),
        ("SIMOPS_LISTEN", "nowhere", "SIMOPS_LISTEN"),
        ("ADMIN_IP_ALLOWLIST", "10.0.0.0/99", "ADMIN_IP_ALLOWLIST"),
        ("TRUSTED_PROXIES", "proxy.local", "TRUSTED_PROXIES"),
        ("ADMIN_WRITE_ENABLED", "perhaps", "true"),
        ("SIMOPS_WORLD_SPEED", "-3", "SIMOPS_WORLD_SPEED"),
        ("AGENT_LOOP_DELAY_SECONDS", "59", "900"),
        ("LLM_DAILY_BUDGET_USD_HARD", "0.1", "LLM_DAILY_BUDGET_USD_SOFT"),
        ("LLM_UNPRICED_POLICY", "perhaps", "fallback or refuse"),
        ("SIMOPS_PRICES", "/no/such/book.json", "price book"),
        ("GROQ_BASE_URL", "ftp://models", "http"),
    ] {
        fails_with_one_line(&server(dir.path()).env(name, value), &[name, value, allowed]).await;
    }
    // Any part of it may be a password.
    let url = "mysql://ada:lovelace@localhost/x";
    let builder = server(dir.path()).env("DATABASE_URL", url);
    fails_with_one_line(&builder, &["DATABASE_URL", "not shown", "sqlite://"]).await;
    let output = builder.command().output().await.unwrap();
    let printed = String::from_utf8_lossy(&output.stderr);
    assert!(!printed.contains("lovelace") && !printed.contains(url), "{printed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_locked_database_answers_503_until_it_is_free_again() {
    let dir = tempfile::tempdir().unwrap();
    let server = server(dir.path()).start().await;
    let other = rusqlite::Connection::open(dir.path().join("simops.db")).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let stopwatch = Stopwatch::start();
    let request = server.client.request(Method::POST, "control/pause");
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 503);
    assert!(response.headers().contains_key("retry-after"));
    assert!(stopwatch.elapsed() < Duration::from_secs(10), "{stopwatch:?}");
    other.execute_batch("ROLLBACK").unwrap();
    eventually("writes work again", async || {
        let answer = server.client.post("control/pause", &json!({})).await;
        (answer.status == 200).then_some(())
    })
    .await;
    assert!(server.terminate().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn termination_ends_open_streams_and_a_running_world_within_ten_seconds() {
    let dir = tempfile::tempdir().unwrap();
    let server = server(dir.path()).start().await;
    server.client.post("control/run/start", &json!({"mode": "test"})).await.ok();
    server.until_state("running").await;
    let stream = server.client.request(Method::GET, "stream").send().await.unwrap();
    assert_eq!(stream.status(), 200);
    let database = dir.path().join("simops.db");
    assert!(server.terminate().await);
    drop(stream);
    let db = rusqlite::Connection::open(database).unwrap();
    let hosts: i64 = db.query_row("SELECT count(*) FROM hosts", [], |row| row.get(0)).unwrap();
    assert_eq!(hosts, 0, "the host did not say that it left");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_is_still_sending_sees_why_its_body_is_refused() {
    use std::io::{Read, Write};
    let dir = tempfile::tempdir().unwrap();
    let server = server(dir.path()).start().await;
    let address = server.base.trim_start_matches("http://").to_owned();
    let answer = tokio::task::spawn_blocking(move || {
        let mut stream = std::net::TcpStream::connect(&address).unwrap();
        let body = vec![b' '; 8 * 1024 * 1024];
        let token = simops_tests::process::TOKEN;
        let head = format!(
            "POST /api/admin/control/pause HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
             Authorization: Bearer {token}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&body).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    })
    .await
    .unwrap();
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(answer.contains("application/problem+json"), "{answer}");
}
