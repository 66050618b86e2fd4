//! A real listener: connections, their time limits, and the end.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use clap::Parser;
use simops_server::config::{Args, Config};
use simops_server::start;
use simops_tests::wait::Stopwatch;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::support::TOKEN;

/// What a server prints.
#[derive(Clone, Default)]
struct Out(Arc<Mutex<String>>);

impl std::io::Write for Out {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().push_str(std::str::from_utf8(bytes).unwrap());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

struct Server {
    address: String,
    printed: String,
    end: oneshot::Sender<()>,
    ended: JoinHandle<simops::Result<()>>,
}

/// A flag that names a file with the token.
fn token_flag() -> (String, tempfile::NamedTempFile) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), TOKEN).unwrap();
    (format!("--admin-api-token-file={}", file.path().display()), file)
}

async fn serve(flags: &[&str]) -> Result<Server, simops::Error> {
    let memory = ["--database-url=sqlite::memory:"];
    let database =
        if flags.iter().any(|f| f.starts_with("--database")) { &[][..] } else { &memory };
    let base = ["simops-server", "--listen=127.0.0.1:0"];
    let args = Args::try_parse_from([&base, database, flags].concat()).unwrap();
    let config = Config::resolve(&args, |_| None).unwrap();
    let (end, ending) = oneshot::channel();
    let out = Out::default();
    let server = start(config, out.clone(), async {
        let _ = ending.await;
    });
    let mut ended = tokio::spawn(server);
    loop {
        let printed = out.0.lock().unwrap().clone();
        if let Some(rest) = printed.split("http://").nth(1) {
            let address = rest.split("/ops").next().unwrap().to_owned();
            return Ok(Server { address, printed, end, ended });
        }
        tokio::select! {
            early = &mut ended => return Err(early.unwrap().unwrap_err()),
            () = tokio::time::sleep(Duration::from_millis(5)) => {}
        }
    }
}

impl Server {
    /// Sends raw bytes, and reads until the connection is closed.
    async fn raw(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    async fn get(&self, path: &str, token: &str) -> String {
        let head = "Host: x\r\nConnection: close\r\n";
        self.raw(&format!("GET {path} HTTP/1.1\r\n{head}X-Admin-Token: {token}\r\n\r\n")).await
    }

    async fn finish(self) -> Duration {
        let stopwatch = Stopwatch::start();
        self.end.send(()).unwrap();
        self.ended.await.unwrap().unwrap();
        stopwatch.elapsed()
    }
}

#[tokio::test]
async fn a_development_server_makes_a_token_and_says_it_once() {
    let server = serve(&[]).await.unwrap();
    let token = server.printed.split("Token").nth(1).unwrap().trim();
    assert!(token.len() >= 32, "{}", server.printed);
    let status = server.get("/api/admin/status", token).await;
    assert!(status.starts_with("HTTP/1.1 200"), "{status}");
    assert!(status.contains("\"ip\":\"127.0.0.1\""), "{status}");
    assert!(!status.contains(token));
    let page = server.get("/ops", "").await;
    assert!(page.contains("<!doctype html>"), "{page}");
    assert!(server.finish().await < Duration::from_secs(2));

    let (flag, _file) = token_flag();
    let server = serve(&[&flag, "--host=none"]).await.unwrap();
    assert!(!server.printed.contains("Token") && !server.printed.contains(TOKEN));
    server.finish().await;
}

#[tokio::test]
async fn the_end_comes_soon_though_streams_and_idle_connections_are_open() {
    let (flag, _file) = token_flag();
    let server = serve(&[&flag]).await.unwrap();
    let idle = TcpStream::connect(&server.address).await.unwrap();
    let mut stream = TcpStream::connect(&server.address).await.unwrap();
    let head =
        format!("GET /api/admin/stream HTTP/1.1\r\nHost: x\r\nX-Admin-Token: {TOKEN}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut first = [0; 64];
    stream.read_exact(&mut first).await.unwrap();
    let took = server.finish().await;
    assert!(took < Duration::from_secs(2), "{took:?}");
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    assert!(rest.ends_with(b"0\r\n\r\n"), "the stream ends in order");
    drop(idle);
}

#[tokio::test]
async fn a_port_in_use_gives_an_error_of_one_line() {
    let server = serve(&["--host=none"]).await.unwrap();
    let listen = format!("--listen={}", server.address);
    let base = ["simops-server", &listen, "--database-url=sqlite::memory:"];
    let config = Config::resolve(&Args::try_parse_from(base).unwrap(), |_| None).unwrap();
    let error = start(config, Out::default(), async {}).await.unwrap_err().to_string();
    assert!(error.contains("SIMOPS_LISTEN") && error.contains("in use"), "{error}");
    assert!(error.contains(&server.address) && !error.contains('\n'), "{error}");
}

#[tokio::test]
async fn a_database_that_cannot_be_used_gives_an_error_of_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("broken.db");
    std::fs::write(&file, "this is no database, and it is long enough to be none".repeat(20))
        .unwrap();
    let url = format!("--database-url=sqlite://{}", file.display());
    let missing = format!("--database-url=sqlite://{}/none/x.db", folder.path().display());
    for flag in [url, missing] {
        let Err(error) = serve(&[&flag, "--host=none"]).await else { panic!("it serves") };
        assert!(!error.to_string().contains('\n'), "{error}");
    }
}

#[tokio::test]
async fn heads_that_cannot_be_read_are_answered_as_any_other_mistake() {
    let (flag, _file) = token_flag();
    let server = serve(&[&flag, "--host=none"]).await.unwrap();
    let many = "x: y\r\n".repeat(200);
    let token = format!("X-Admin-Token: {TOKEN}\r\n");
    let heads = [
        ("GET / HTTP/9.9\r\n\r\n".to_owned(), 400),
        ("nonsense\r\n\r\n".to_owned(), 400),
        ("GET /ops HTTP/1.1\r\nhost: a\r\nx y: z\r\n\r\n".to_owned(), 400),
        (format!("GET / HTTP/1.1\r\nhost: a\r\n{many}\r\n"), 431),
        ("GET /healthz HTTP/1.1\r\nhost: a\r\nhost: b\r\nconnection: close\r\n\r\n".into(), 400),
        (
            format!(
                "POST /api/admin/control/pause HTTP/1.1\r\nhost: a\r\nhost: a\r\n{token}\
                 connection: close\r\n\r\n"
            ),
            400,
        ),
    ];
    for (head, status) in heads {
        let answer = server.raw(&head).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{head}: {answer}");
        let (answered, body) = answer.split_once("\r\n\r\n").unwrap();
        for header in [
            "content-type: application/problem+json",
            "content-security-policy: default-src 'none'",
            "x-content-type-options: nosniff",
            "referrer-policy: no-referrer",
            "cache-control: no-store",
            &format!("content-length: {}", body.len()),
        ] {
            assert_eq!(answered.matches(header).count(), 1, "{header}: {answer}");
        }
        assert_eq!(answered.matches("content-length").count(), 1, "{answer}");
        let problem: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(problem["status"], status);
        assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()));
    }
    server.finish().await;
}
