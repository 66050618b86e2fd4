//! Clients that hold connections and give nothing for them.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

/// Pause before a connection that was closed is opened again.
const REOPEN_DELAY: Duration = Duration::from_secs(1);
/// Pause between two writes of a slow sender.
const SLOW_BYTE: Duration = Duration::from_secs(2);

/// What a hostile connection does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Opens, and sends nothing.
    HalfOpen,
    /// Sends the head of a request byte by byte.
    SlowHead,
    /// Sends half a head of 40 KiB.
    LongHead,
    /// Sends the body of visitors' events byte by byte.
    SlowBody,
    /// Sends one request after the other and reads no response.
    NeverReads,
    /// Sends many requests at once, and reads the responses.
    Pipelines,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::HalfOpen,
        Self::SlowHead,
        Self::LongHead,
        Self::SlowBody,
        Self::NeverReads,
        Self::Pipelines,
    ];
}

/// Hostile connections, each opened again when the server closes it. They end when this is dropped.
#[derive(Debug)]
pub struct Attack {
    _tasks: JoinSet<()>,
    open: Arc<AtomicUsize>,
    opened: Arc<AtomicUsize>,
}

impl Attack {
    /// `count` connections to `server`, of every kind, from as many of the addresses 127.0.0.1,
    /// 127.0.0.2 … as `addresses` says.
    ///
    /// # Panics
    /// When `server` is no address.
    pub fn start(server: &str, count: usize, addresses: u8) -> Self {
        Self::of(&Kind::ALL, server, count, addresses)
    }

    /// The same of some kinds.
    ///
    /// # Panics
    /// When `server` is no address.
    pub fn of(kinds: &[Kind], server: &str, count: usize, addresses: u8) -> Self {
        let server: SocketAddr = server.parse().expect("an address with a port");
        let (open, opened) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let mut tasks = JoinSet::new();
        for number in 0..count {
            let kind = kinds[number % kinds.len()];
            let last = u8::try_from(number % usize::from(addresses)).unwrap_or_default() + 1;
            let from = SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), 0));
            let (open, opened) = (Arc::clone(&open), Arc::clone(&opened));
            tasks.spawn(async move {
                loop {
                    if let Ok(socket) = connect(from, server).await {
                        open.fetch_add(1, Ordering::Relaxed);
                        opened.fetch_add(1, Ordering::Relaxed);
                        hold(kind, socket).await;
                        open.fetch_sub(1, Ordering::Relaxed);
                    }
                    tokio::time::sleep(REOPEN_DELAY).await;
                }
            });
        }
        Self { _tasks: tasks, open, opened }
    }

    /// Connections that its clients hold now.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Connections opened so far.
    pub fn opened(&self) -> usize {
        self.opened.load(Ordering::Relaxed)
    }
}

async fn connect(from: SocketAddr, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(from)?;
    socket.connect(to).await
}

/// Until the server closes the connection.
async fn hold(kind: Kind, mut socket: TcpStream) {
    match kind {
        Kind::HalfOpen => {}
        Kind::SlowHead => {
            let begin = b"GET /healthz HTTP/1.1\r\nhost: a\r\nx-slow: ";
            return slowly(&mut socket, begin, b" ").await;
        }
        Kind::LongHead => {
            let head =
                format!("GET /healthz HTTP/1.1\r\nhost: a\r\nx-long: {}", "x".repeat(40 << 10));
            if socket.write_all(head.as_bytes()).await.is_err() {
                return;
            }
        }
        Kind::SlowBody => {
            let head = "POST /api/analytics/kpi/events HTTP/1.1\r\nhost: a\r\n\
                        content-type: application/json\r\ncontent-length: 900000\r\n\r\n[";
            if socket.write_all(head.as_bytes()).await.is_ok() {
                slowly(&mut socket, b" ", b" ").await;
            }
            return;
        }
        Kind::NeverReads => {
            let requests = "GET /api/openapi.json HTTP/1.1\r\nhost: a\r\n\r\n".repeat(200);
            // When the server takes no more, this waits.
            let sent = async { while socket.write_all(requests.as_bytes()).await.is_ok() {} };
            return sent.await;
        }
        Kind::Pipelines => {
            let requests = "GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n".repeat(20);
            return slowly(&mut socket, requests.as_bytes(), requests.as_bytes()).await;
        }
    }
    while socket.read(&mut [0; 1024]).await.is_ok_and(|read| read > 0) {}
}

/// Sends `begin`, and then `more` now and then.
async fn slowly(socket: &mut TcpStream, begin: &[u8], more: &[u8]) {
    if socket.write_all(begin).await.is_err() {
        return;
    }
    loop {
        tokio::select! {
            read = async { socket.read(&mut [0; 1024]).await } => {
                if !read.is_ok_and(|read| read > 0) {
                    return;
                }
            }
            () = tokio::time::sleep(SLOW_BYTE) => {
                if socket.write_all(more).await.is_err() {
                    return;
                }
            }
        }
    }
}
