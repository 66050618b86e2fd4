//! `GET /api/admin/status`, on SQLite and on Postgres, compared with a bare axum JSON response, at 32
//! connections, in one run.
//!
//! `cargo bench -p simops-server --bench status`. Servers and clients share the machine, so the
//! figures are lower than those of a load generator elsewhere; the ratio is what counts.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::routing::get;
use axum::{Json, Router};
use memchr::memmem;
use simops::SystemClock;
use simops::control::Environment;
use simops::ops::{Ops, OpsOptions};
use simops::store::RunStore;
use simops_postgres::PostgresStore;
use simops_server::{AccessOptions, Application, IngestOptions, serve};
use simops_sqlite::SqliteStore;
use simops_tests::postgres::PostgresServer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const CONNECTIONS: usize = 32;
const WARM_UP: Duration = Duration::from_secs(1);
// Short rounds in turn, so that whatever else the machine does hits both alike.
const ROUND: Duration = Duration::from_millis(500);
const ROUNDS: usize = 15;
const WANTED_ON_SQLITE: f64 = 0.70;
const WANTED_ON_POSTGRES: f64 = 0.60;

#[tokio::main]
async fn main() {
    let postgres = PostgresServer::durable();
    let sqlite: Arc<dyn RunStore> = Arc::new(SqliteStore::open("sqlite::memory:").await.unwrap());
    let database = postgres.database();
    let on_postgres = PostgresStore::open(&database.url()).await.unwrap();
    let bare = start_bare(&sqlite).await;
    let (sqlite, on_postgres) =
        (start_simops(sqlite).await, start_simops(Arc::new(on_postgres)).await);
    let path = "/api/admin/status";
    let asked = [(bare, "/"), (bare, "/status"), (sqlite, path), (on_postgres, path)];
    for (address, path) in asked {
        measure(address, path, WARM_UP).await;
    }
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let mut round = [0.0; 4];
        for (figure, (address, path)) in round.iter_mut().zip(asked) {
            *figure = measure(address, path, ROUND).await;
        }
        rounds.push(round);
    }
    let rate = |n: usize| median(rounds.iter().map(|round| round[n]));
    let ratio = |n: usize| median(rounds.iter().map(|round| round[n] / round[0]));
    println!("bare axum, {{\"message\":\"hello\"}}   {:>9.0} requests/s", rate(0));
    println!("bare axum, a status as JSON      {:>9.0} requests/s", rate(1));
    for (n, name, wanted) in [(2, "SQLite", WANTED_ON_SQLITE), (3, "Postgres", WANTED_ON_POSTGRES)]
    {
        println!("GET status on {name:<18} {:>9.0} requests/s", rate(n));
        println!(
            "  / bare hello                   {:>9.2} (wanted: at least {wanted:.2})",
            ratio(n)
        );
    }
    println!("medians of {ROUNDS} rounds in turn, {CONNECTIONS} connections");
    let as_promised = ratio(2) >= WANTED_ON_SQLITE && ratio(3) >= WANTED_ON_POSTGRES;
    assert!(as_promised, "GET status is slower than promised");
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Axum as it comes: a short answer, and one as long as a status.
async fn start_bare(store: &Arc<dyn RunStore>) -> SocketAddr {
    #[derive(serde::Serialize)]
    struct Hello {
        message: &'static str,
    }
    let (listener, address) = listen().await;
    let status = ops(Arc::clone(store)).status().await.unwrap();
    let router = Router::new()
        .route("/", get(async || Json(Hello { message: "hello" })))
        .route("/status", get(async move || Json(status.clone())));
    tokio::spawn(axum::serve(listener, router).into_future());
    address
}

fn ops(store: Arc<dyn RunStore>) -> Arc<Ops> {
    let options = OpsOptions::of(Environment::Development);
    Arc::new(Ops::new(store, Arc::new(SystemClock), options))
}

async fn start_simops(store: Arc<dyn RunStore>) -> SocketAddr {
    let (listener, address) = listen().await;
    let access = AccessOptions::with_token("token");
    let app = Application::new(ops(store), access, IngestOptions::default());
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

/// The length of the whole answer, once its head is there. The client must cost little: it shares the
/// processors with the servers.
fn length(answer: &[u8]) -> Option<usize> {
    const LENGTH: &[u8] = b"content-length: ";
    let head = memmem::find(answer, b"\r\n\r\n")? + 4;
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(answer));
    let digits = &answer[memmem::find(&answer[..head], LENGTH).unwrap() + LENGTH.len()..head];
    let digits = digits.iter().take_while(|digit| digit.is_ascii_digit());
    Some(head + digits.fold(0, |length, digit| 10 * length + usize::from(digit - b'0')))
}

fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<_> = figures.collect();
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
