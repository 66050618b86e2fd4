//! `GET /api/admin/status` beside a bare axum JSON answer, at 32 connections, in one run.
//!
//! `cargo bench -p simops-server --bench status`. Servers and clients share the machine, so the
//! figures are lower than those of a load generator elsewhere; the ratio is what counts.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::routing::get;
use axum::{Json, Router};
use simops::SystemClock;
use simops::control::Environment;
use simops::ops::{Ops, OpsOptions};
use simops_server::{AccessOptions, IngestOptions, app, serve};
use simops_sqlite::SqliteStore;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const CONNECTIONS: usize = 32;
const WARM_UP: Duration = Duration::from_secs(1);
// Short rounds in turn, so that whatever else the machine does hits both alike.
const ROUND: Duration = Duration::from_millis(500);
const ROUNDS: usize = 15;
const WANTED: f64 = 0.70;

#[tokio::main]
async fn main() {
    let (bare, simops) = (start_bare().await, start_simops().await);
    let asked = [(bare, "/"), (bare, "/status"), (simops, "/api/admin/status")];
    for (address, path) in asked {
        measure(address, path, WARM_UP).await;
    }
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let mut round = [0.0; 3];
        for (figure, (address, path)) in round.iter_mut().zip(asked) {
            *figure = measure(address, path, ROUND).await;
        }
        rounds.push(round);
    }
    let [hello, same, status] = [0, 1, 2].map(|n| median(rounds.iter().map(|round| round[n])));
    let ratio = median(rounds.iter().map(|round| round[2] / round[0]));
    println!("bare axum, {{\"message\":\"hello\"}}   {hello:>9.0} requests/s");
    println!("bare axum, a status as JSON      {same:>9.0} requests/s");
    println!("simops, GET status               {status:>9.0} requests/s");
    println!("simops / bare hello              {ratio:>9.2} (wanted: at least {WANTED:.2})");
    println!("medians of {ROUNDS} rounds in turn, {CONNECTIONS} connections");
    assert!(ratio >= WANTED, "GET status is slower than promised");
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Axum as it comes: a short answer, and one as long as a status.
async fn start_bare() -> SocketAddr {
    #[derive(serde::Serialize)]
    struct Hello {
        message: &'static str,
    }
    let (listener, address) = listen().await;
    let status = ops().await.status().await.unwrap();
    let router = Router::new()
        .route("/", get(async || Json(Hello { message: "hello" })))
        .route("/status", get(async move || Json(status.clone())));
    tokio::spawn(axum::serve(listener, router).into_future());
    address
}

async fn ops() -> Arc<Ops> {
    let store = Arc::new(SqliteStore::open("sqlite::memory:").await.unwrap());
    let options = OpsOptions::of(Environment::Development);
    Arc::new(Ops::new(store, Arc::new(SystemClock), options))
}

async fn start_simops() -> SocketAddr {
    let (listener, address) = listen().await;
    let app =
        app(ops().await, AccessOptions::with_token("token"), IngestOptions::default()).unwrap();
    tokio::spawn(serve(listener, app, std::future::pending()));
    address
}

/// Requests per second.
async fn measure(address: SocketAddr, path: &'static str, time: Duration) -> f64 {
    let begun = Instant::now();
    let clients = (0..CONNECTIONS).map(|_| tokio::spawn(client(address, path, begun + time)));
    let mut answered = 0_u32;
    for client in clients.collect::<Vec<_>>() {
        answered += client.await.unwrap();
    }
    f64::from(answered) / begun.elapsed().as_secs_f64()
}

/// One connection, kept alive: asks, reads the whole answer, asks again.
async fn client(address: SocketAddr, path: &str, until: Instant) -> u32 {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer token\r\n\r\n");
    let mut buffer = vec![0; 64 * 1024];
    let mut answered = 0;
    while Instant::now() < until {
        stream.write_all(request.as_bytes()).await.unwrap();
        let (mut filled, mut whole) = (0, usize::MAX);
        while filled < whole {
            let read = stream.read(&mut buffer[filled..]).await.unwrap();
            assert!(read > 0, "the server closed the connection");
            filled += read;
            if whole == usize::MAX {
                whole = length(&buffer[..filled]).unwrap_or(usize::MAX);
            }
        }
        answered += 1;
    }
    answered
}

/// The length of the whole answer, once its head is there.
fn length(answer: &[u8]) -> Option<usize> {
    let head = answer.windows(4).position(|end| end == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&answer[..head]).unwrap();
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    let body = text.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    Some(head + body.parse::<usize>().unwrap())
}

fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<_> = figures.collect();
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
