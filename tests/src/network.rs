//! A TCP proxy that does to connections what networks do.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// What the network does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// It works.
    Whole,
    /// Connections are reset, new ones closed at once.
    Cut,
    /// Connections stay open and nothing arrives any more, as behind a firewall that forgot them;
    /// new ones are accepted and get no answer.
    Silent,
    /// Everything arrives this much later, each way.
    Delayed(Duration),
    /// Bytes per second, each way.
    Throttled(u32),
}

/// How it is set, and whither connections lead.
#[derive(Debug, Clone, Copy)]
struct Setting {
    network: Network,
    target: SocketAddr,
    /// Counts the resets: a connection of an older number is over.
    resets: u64,
}

/// A proxy before one port of the loopback.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    setting: Arc<watch::Sender<Setting>>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// A proxy before `port`.
    ///
    /// # Panics
    /// When no port is free.
    pub async fn before(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let own = listener.local_addr().expect("an address").port();
        let setting = Setting { network: Network::Whole, target: loopback(port), resets: 0 };
        let setting = Arc::new(watch::Sender::new(setting));
        let shared = Arc::clone(&setting);
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve(client, shared.subscribe()));
            }
        });
        Self { port: own, setting, accepting }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Makes the network so, for open connections and new ones.
    pub fn set(&self, network: Network) {
        self.setting.send_modify(|setting| {
            setting.network = network;
            setting.resets += u64::from(network == Network::Cut);
        });
    }

    /// Resets every open connection once; new ones work as before.
    pub fn reset_connections(&self) {
        self.setting.send_modify(|setting| setting.resets += 1);
    }

    /// Leads new connections elsewhere, and resets the open ones.
    pub fn lead_to(&self, port: u16) {
        self.setting.send_modify(|setting| {
            setting.target = loopback(port);
            setting.resets += 1;
        });
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.set(Network::Cut);
    }
}

fn loopback(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}

async fn serve(client: TcpStream, mut setting: watch::Receiver<Setting>) {
    let begun = *setting.borrow();
    if begun.network == Network::Cut {
        return;
    }
    // A connection that is opened during silence is served once the silence ends.
    if setting.wait_for(|now| now.network != Network::Silent).await.is_err() {
        return;
    }
    let Ok(server) = TcpStream::connect(begun.target).await else { return };
    let (_, _) = (client.set_nodelay(true), server.set_nodelay(true));
    let ((from_client, to_client), (from_server, to_server)) =
        (client.into_split(), server.into_split());
    tokio::select! {
        () = pipe(from_client, to_server, setting.clone()) => {}
        () = pipe(from_server, to_client, setting.clone()) => {}
        // Both halves are dropped, which resets what is under way.
        _ = setting.wait_for(|now| now.resets > begun.resets) => {}
    }
}

async fn pipe(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut setting: watch::Receiver<Setting>,
) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let Ok(read @ 1..) = from.read(&mut buffer).await else { return };
        let Ok(now) = setting.wait_for(|now| now.network != Network::Silent).await.map(|now| *now)
        else {
            return;
        };
        match now.network {
            Network::Delayed(by) => sleep(by).await,
            Network::Throttled(bytes) => {
                let read = u32::try_from(read).unwrap_or(u32::MAX);
                sleep(Duration::from_secs_f64(f64::from(read) / f64::from(bytes.max(1)))).await;
            }
            Network::Whole | Network::Cut | Network::Silent => {}
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
