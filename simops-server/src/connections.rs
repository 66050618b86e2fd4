//! How many connections there may be, and which of them make room for others.
//!
//! A connection is anonymous until one of its requests presents a valid token. Anonymous connections
//! have a limit in total and per address. A new one is served at once, also beyond a limit; in its
//! place the one makes room for which the server has waited longest. Time in which the server itself
//! is late does not count: a connection that is asked to make room is polled once more, reads what its
//! client has sent, and stays if that is something. So a client that opens connections and leaves them
//! idle loses its own, and an operator's request is read whatever others do.
//!
//! While the server has not waited long for any, there may be [`BURST`] times as many in total. Beyond
//! that, the address with the most connections loses its oldest for each new one, unless what its client
//! has sent presents a valid token.

mod stream;

use std::collections::{BTreeSet, HashMap};
use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use futures_util::task::AtomicWaker;

use crate::access::subject;
pub(crate) use stream::Watched;

/// Limits of open connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Anonymous connections.
    pub(crate) anonymous: usize,
    /// Anonymous connections from one address (from one /64 of v6), except from trusted proxies.
    pub(crate) per_address: usize,
    /// All connections. At this limit, new ones are closed.
    pub(crate) total: usize,
}

/// How long the server waits for a request before the connection may have to make room.
const GRACE: Duration = Duration::from_millis(500);
/// How many times the limit of anonymous connections there may be, counting those within their grace.
const BURST: usize = 2;
/// Descriptors that are kept for the database, Redis, model providers and files.
const RESERVED_DESCRIPTORS: u64 = 256;

/// States of [`Connection::asked`].
const STAYS: u8 = 0;
const MAKES_ROOM: u8 = 1;
const CLOSES: u8 = 2;

impl Limits {
    /// As many connections as the process may have open files: raises the soft limit to the hard one.
    pub(crate) fn of_process() -> Self {
        let descriptors = rlimit::increase_nofile_limit(u64::MAX).unwrap_or(1_024);
        let total = descriptors.saturating_sub(RESERVED_DESCRIPTORS).clamp(64, 65_536);
        let total = usize::try_from(total).unwrap_or(64);
        Self { anonymous: (total / 4).min(2_048), per_address: (total / 8).min(1_024), total }
    }
}

/// The open connections.
#[derive(Debug)]
pub(crate) struct Connections {
    limits: Limits,
    begun: Instant,
    table: Mutex<Table>,
}

/// One of them, as its requests and its stream see it.
#[derive(Debug)]
pub(crate) struct Connection {
    all: Arc<Connections>,
    id: u64,
    /// None for a trusted proxy.
    address: Option<IpAddr>,
    /// The first time that the server found nothing to do but to wait for the client, since the
    /// connection was opened or last got a response. 0 before that.
    waits_since: AtomicU64,
    has_response: AtomicBool,
    trusted: AtomicBool,
    /// Whether it must make room.
    asked: AtomicU8,
    /// Whether its client has sent something since it was asked.
    received: AtomicBool,
    /// Whether it stayed once when it was asked, since its last response.
    stayed: AtomicBool,
    task: AtomicWaker,
}

/// An open connection. It is forgotten when this is dropped.
#[derive(Debug)]
pub(crate) struct OpenConnection(Arc<Connection>);

impl Connections {
    pub(crate) fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self { limits, begun: Instant::now(), table: Mutex::default() })
    }

    /// Opens a connection, and asks others to make room if there are too many. `None` if it must be
    /// closed.
    pub(crate) fn open(self: &Arc<Self>, peer: IpAddr, is_proxy: bool) -> Option<OpenConnection> {
        let address = (!is_proxy).then(|| subject(peer));
        let now = self.now();
        let mut table = self.table();
        if !table.admits(self.limits) {
            return None;
        }
        table.last_id += 1;
        let connection = Arc::new(Connection::new(Arc::clone(self), table.last_id, address));
        table.insert(Arc::clone(&connection), now);
        table.make_room(address, self.limits, now);
        Some(OpenConnection(connection))
    }

    fn table(&self) -> std::sync::MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Microseconds since the start, at least 1.
    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX).max(1)
    }
}

impl OpenConnection {
    pub(crate) fn shared(&self) -> Arc<Connection> {
        Arc::clone(&self.0)
    }

    /// Runs `connection` to its end, or until it makes room, which returns `None`.
    pub(crate) async fn run<T>(self, connection: impl Future<Output = T>) -> Option<T> {
        let (this, mut connection) = (&self.0, pin!(connection));
        poll_fn(|context| {
            this.task.register(context.waker());
            let asked = this.asked.load(Ordering::Acquire);
            this.received.store(false, Ordering::Relaxed);
            let polled = connection.as_mut().poll(context).map(Some);
            if polled.is_pending() && asked != STAYS && !this.stays(asked) {
                return Poll::Ready(None);
            }
            polled
        })
        .await
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.all.table().remove(self.0.id);
    }
}

impl Connection {
    fn new(all: Arc<Connections>, id: u64, address: Option<IpAddr>) -> Self {
        Self {
            all,
            id,
            address,
            waits_since: AtomicU64::new(0),
            has_response: AtomicBool::new(false),
            trusted: AtomicBool::new(false),
            asked: AtomicU8::new(STAYS),
            received: AtomicBool::new(false),
            stayed: AtomicBool::new(false),
            task: AtomicWaker::new(),
        }
    }

    /// Notes that a request was answered: it is not known yet whether the client has sent the next.
    pub(crate) fn answered(&self) {
        self.waits_since.store(0, Ordering::Relaxed);
        self.has_response.store(true, Ordering::Relaxed);
        self.stayed.store(false, Ordering::Relaxed);
    }

    /// Notes that a request presented a valid token: the connection makes room for no other.
    pub(crate) fn trust(&self) {
        if !self.trusted.swap(true, Ordering::Relaxed) {
            self.all.table().unlist(self.id);
        }
    }

    /// Notes that the server can only wait for the client.
    fn waits(&self) {
        if self.waits_since.load(Ordering::Relaxed) == 0 {
            self.waits_since.store(self.all.now(), Ordering::Relaxed);
        }
    }

    /// Whether it must make room or close.
    fn is_asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed) != STAYS
    }

    /// Notes that the client has sent something.
    fn received(&self) {
        self.received.store(true, Ordering::Relaxed);
    }

    /// Whether it stays open although it was asked to make room, after it was polled again.
    fn stays(&self, asked: u8) -> bool {
        let trusted = self.trusted.load(Ordering::Relaxed);
        let received = self.received.load(Ordering::Relaxed);
        // A client that sends byte after byte does not stay by that.
        let stays = trusted
            || asked == MAKES_ROOM && received && !self.stayed.swap(true, Ordering::Relaxed);
        if stays {
            let mut table = self.all.table();
            self.waits_since.store(0, Ordering::Relaxed);
            self.asked.store(STAYS, Ordering::Release);
            if !trusted {
                table.list(self.id, self.all.now());
            }
        }
        stays
    }

    fn ask(&self, asked: u8) {
        self.asked.store(asked, Ordering::Release);
        self.task.wake();
    }
}

/// The connections.
#[derive(Debug, Default)]
struct Table {
    entries: HashMap<u64, Entry>,
    /// Those that may be asked to make room: anonymous ones, the longest waiting first.
    listed: BTreeSet<(u64, u64)>,
    /// The same by address.
    by_address: HashMap<IpAddr, BTreeSet<(u64, u64)>>,
    last_id: u64,
}

#[derive(Debug)]
struct Entry {
    connection: Arc<Connection>,
    /// Its place in the lists: not later than the time since which the server waits for the client.
    listed: Option<u64>,
}

impl Table {
    /// Whether one more may be opened. Beyond the burst of all anonymous connections,
    /// the address with the most of them loses its oldest for it. An operator may share that address.
    fn admits(&mut self, limits: Limits) -> bool {
        if self.entries.len() >= limits.total {
            return false;
        }
        if self.listed.len() < BURST * limits.anonymous {
            return true;
        }
        let most = self.by_address.values().max_by_key(|listed| listed.len());
        // Without an address there are those of proxies.
        if let Some((_, id)) = most.unwrap_or(&self.listed).first().copied() {
            self.ask(id, CLOSES);
        }
        true
    }

    /// Asks connections to make room while there are more than the limits allow, and some for which
    /// the server has waited for the grace.
    fn make_room(&mut self, address: Option<IpAddr>, limits: Limits, now: u64) {
        while self.of_address(address) > limits.per_address {
            let Some(id) = self.longest_waiting(address, now) else { break };
            self.ask(id, MAKES_ROOM);
        }
        while self.listed.len() > limits.anonymous {
            let Some(id) = self.longest_waiting(None, now) else { break };
            self.ask(id, MAKES_ROOM);
        }
    }

    /// Listed connections of `address`; 0 for proxies.
    fn of_address(&self, address: Option<IpAddr>) -> usize {
        let listed = address.and_then(|address| self.by_address.get(&address));
        listed.map_or(0, BTreeSet::len)
    }

    /// The connection, of `address` if there is one, for which the server has waited longest, if that
    /// is long enough.
    fn longest_waiting(&mut self, address: Option<IpAddr>, now: u64) -> Option<u64> {
        loop {
            let list = match address {
                Some(address) => self.by_address.get(&address)?,
                None => &self.listed,
            };
            let (listed, id) = *list.first()?;
            let connection = &self.entries.get(&id)?.connection;
            let since = match connection.waits_since.load(Ordering::Relaxed) {
                0 if listed >= now => return None,
                0 => now,
                since => since,
            };
            if since <= listed {
                let waited = Duration::from_micros(now.saturating_sub(since));
                let long = waited >= GRACE || connection.has_response.load(Ordering::Relaxed);
                return long.then_some(id);
            }
            // It was listed before its last response.
            self.unlist(id);
            self.list(id, since);
        }
    }

    /// Tells the connection's task, and no longer counts it.
    fn ask(&mut self, id: u64, asked: u8) {
        self.unlist(id);
        if let Some(entry) = self.entries.get(&id) {
            entry.connection.ask(asked);
        }
    }

    fn insert(&mut self, connection: Arc<Connection>, now: u64) {
        let id = connection.id;
        self.entries.insert(id, Entry { connection, listed: None });
        self.list(id, now);
    }

    fn remove(&mut self, id: u64) {
        self.unlist(id);
        self.entries.remove(&id);
    }

    fn list(&mut self, id: u64, since: u64) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        entry.listed = Some(since);
        self.listed.insert((since, id));
        if let Some(address) = entry.connection.address {
            self.by_address.entry(address).or_default().insert((since, id));
        }
    }

    fn unlist(&mut self, id: u64) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let Some(since) = entry.listed.take() else { return };
        self.listed.remove(&(since, id));
        let Some(address) = entry.connection.address else { return };
        if let Some(of_address) = self.by_address.get_mut(&address) {
            of_address.remove(&(since, id));
            if of_address.is_empty() {
                self.by_address.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests;
