//! Strangers at the server's address: whatever they hold and send, operators keep control.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use reqwest::Method;
use serde_json::json;
use simops_tests::hostile::{Attack, Kind};
use simops_tests::process::TOKEN;
use simops_tests::{Client, Server, ServerBuilder, cli, eventually};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

const VISITS: &str = "/api/analytics/kpi/events";

/// An operator who connects again for each command, from an address of the attack.
async fn controls(dir: &Path, server: &Server) {
    std::fs::write(dir.join("token"), TOKEN).unwrap();
    for _ in 0..10 {
        let pause = ["run", "pause", "--url", &server.base, "--token-file", "token"];
        let output = cli(dir, &pause).await;
        assert!(output.status.success(), "{output:?}");
    }
}

async fn attacked_from(addresses: u8) {
    const HOSTILE: usize = 2_500;
    let dir = tempfile::tempdir().unwrap();
    let server = ServerBuilder::new(dir.path()).env("SIMOPS_HOST", "none").start().await;
    let attack = Attack::start(server.base.strip_prefix("http://").unwrap(), HOSTILE, addresses);
    eventually("every hostile connection was opened", async || {
        (attack.opened() >= HOSTILE).then_some(())
    })
    .await;
    controls(dir.path(), &server).await;
    let memory = server.peak_mib();
    assert!(memory < 256, "{memory} MiB");
    let answer = server.client.get("status").await.ok();
    assert_eq!(answer["viewer_ops"]["simulation_paused"], true);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_keeps_control_while_the_same_address_holds_thousands_of_connections() {
    attacked_from(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_keeps_control_while_many_addresses_hold_thousands_of_connections() {
    attacked_from(100).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_sent_bodies_of_a_few_addresses_do_not_keep_visitors_out() {
    let dir = tempfile::tempdir().unwrap();
    let builder = ServerBuilder::new(dir.path()).env("SIMOPS_HOST", "none");
    let server = builder.env("KPI_EVENT_RATE_LIMIT", "0").start().await;
    let landed = |visitor: usize| json!({ "event_name": "landing_view", "visitor_id": format!("visitor-{visitor}") });
    let address = server.base.strip_prefix("http://").unwrap();
    let _attack = Attack::of(&[Kind::SlowBody], address, 600, 3);
    eventually("an address of the attack has no place left", async || {
        let from_there = server.client.bare(Method::POST, VISITS).json(&landed(0)).send().await;
        from_there.is_ok_and(|answer| answer.status() == 503).then_some(())
    })
    .await;
    let before = server.client.get("kpi/rollups?days=1").await.ok()["items"][0]["landing_views"]
        .as_u64()
        .unwrap();
    let elsewhere = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 9));
    let visitor = reqwest::Client::builder().local_address(elsewhere).build().unwrap();
    for number in 1..=30 {
        let url = format!("{}{VISITS}", server.base);
        let answer = visitor.post(url).json(&landed(number)).send().await.unwrap();
        assert_eq!(answer.status(), 200);
    }
    let day = server.client.get("kpi/rollups?days=1").await.ok()["items"][0].clone();
    assert_eq!(day["landing_views"], before + 30);
}

/// Sends bytes, and reads until the server closes the connection.
async fn send(address: &str, request: &str) {
    let Ok(mut socket) = TcpStream::connect(address).await else { return };
    // The server may close it at any time.
    if socket.write_all(request.as_bytes()).await.is_ok() {
        let _ = socket.read_to_end(&mut Vec::new()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_strangers_leaves_the_log_short_and_operators_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let server = ServerBuilder::new(dir.path()).env("SIMOPS_HOST", "none").start().await;
    let address = server.base.strip_prefix("http://").unwrap().to_owned();
    let long = format!("{}%1b[31m%00%0aforged", "x".repeat(60_000));
    let head = "host: a\r\nconnection: close\r\ncontent-type: application/json\r\n";
    let attack = Attack::start(&address, 1_200, 1);
    let mut flood = JoinSet::new();
    for worker in 0..8 {
        let (address, long) = (address.clone(), long.clone());
        flood.spawn(async move {
            for number in 0..160 {
                let wrong = format!("x-admin-token: {worker}-{number}\r\n");
                let request = match number % 8 {
                    0 => format!("GET /{long} HTTP/1.1\r\n{head}\r\n"),
                    1 => format!("GET /api/admin/{long} HTTP/1.1\r\n{head}\r\n"),
                    2 => format!("GET /api/admin/status HTTP/1.1\r\n{head}{wrong}\r\n"),
                    3 => format!("POST /api/admin/control/pause HTTP/1.1\r\n{head}{wrong}\r\n"),
                    4 => format!("POST {VISITS} HTTP/1.1\r\n{head}content-length: 1\r\n\r\n{{"),
                    5 => format!("DELETE /healthz HTTP/1.1\r\n{head}host: {long}\r\n\r\n"),
                    6 => format!("{long}\u{1b}[31m\nforged\r\n\r\n"),
                    _ => format!("GET /{long}{long} HTTP/1.1\r\n{head}\r\n"),
                };
                send(&address, &request).await;
            }
        });
    }
    while let Some(done) = flood.join_next().await {
        done.unwrap();
    }
    drop(attack);
    eventually("an operator's pause after the flood", async || {
        let pause = server.client.request(Method::POST, "control/pause").send().await;
        pause.is_ok_and(|answer| answer.status() == 200).then_some(())
    })
    .await;
    let log = server.log.clone();
    assert!(server.terminate().await);
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.len() < 200_000, "{} bytes", log.len());
    for status in [400, 401, 404, 429] {
        let summary = |line: &str| {
            line.contains("requests_refused") && line.contains(&format!("status={status}"))
        };
        assert!(log.lines().any(summary), "{status}: {log}");
    }
    let paused = |line: &str| line.contains("/control/pause") && line.contains("status=200");
    assert!(log.lines().any(|line| paused(line) && line.contains("tester")), "{log}");
    assert!(!log.contains('\u{1b}') && !log.contains("\nforged"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guesses_from_an_operators_address_do_not_lock_the_operator_out_after_a_crash() {
    let dir = tempfile::tempdir().unwrap();
    let builder = ServerBuilder::new(dir.path()).env("SIMOPS_HOST", "none");
    let server = builder.start().await;
    server.client.get("status").await.ok();
    let database = rusqlite::Connection::open(dir.path().join("simops.db")).unwrap();
    eventually("the address is stored", async || {
        let count = "SELECT count(*) FROM known_addresses";
        (database.query_row(count, [], |row| row.get::<_, i64>(0)) == Ok(1)).then_some(())
    })
    .await;
    server.kill().await;

    let server = builder.start().await;
    for number in 0..11 {
        let guess = Client::new(&server.base, &format!("wrong-{number}"));
        let status = guess.get("status").await.status;
        assert_eq!(status, if number < 10 { 401 } else { 429 });
    }
    server.client.post("control/pause", &json!({})).await.ok();
    // The guesser stays locked out.
    assert_eq!(Client::new(&server.base, "another").get("status").await.status, 429);
}
