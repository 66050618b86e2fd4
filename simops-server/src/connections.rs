//! How many connections there may be, and which of them make room for others.
//!
//! A connection is anonymous until one of its requests presents a valid token. Anonymous connections
//! have a limit in total and per address. A new one is not refused at that limit: in its place the
//! one is closed that has waited longest since its last response, or since it was opened. If all of
//! them are very young, the new one waits for a moment. A client that opens connections and leaves
//! them idle loses its own, and an operator's request, which takes milliseconds, is read whatever
//! others do.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::AbortHandle;

use crate::access::subject;

/// Limits of open connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Anonymous connections.
    pub(crate) anonymous: usize,
    /// Anonymous connections from one address (from one /64 of v6), except from trusted proxies.
    pub(crate) per_address: usize,
    /// All connections. At this limit an anonymous one makes room, or the new one is closed.
    pub(crate) total: usize,
}

/// How long a connection has for its first request before it may have to make room.
const GRACE: Duration = Duration::from_millis(500);
/// Descriptors that are kept for the database, Redis, model providers and files.
const RESERVED_DESCRIPTORS: u64 = 256;

impl Limits {
    /// As many connections as the process may have open files: raises the soft limit to the hard one.
    pub(crate) fn of_process() -> Self {
        let descriptors = rlimit::increase_nofile_limit(u64::MAX).unwrap_or(1_024);
        let total = descriptors.saturating_sub(RESERVED_DESCRIPTORS).clamp(64, 65_536);
        let total = usize::try_from(total).unwrap_or(64);
        Self { anonymous: (total / 2).min(2_048), per_address: (total / 4).min(1_024), total }
    }
}

/// The open connections.
#[derive(Debug)]
pub(crate) struct Connections {
    limits: Limits,
    table: Mutex<Table<Task>>,
}

/// One of them, as its requests see it.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    all: Arc<Connections>,
    id: u64,
}

impl Connections {
    pub(crate) fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self { limits, table: Mutex::default() })
    }

    /// Opens a connection whose task `spawn` starts, and closes others if there are too many. Waits
    /// while those are too young; returns false, without starting it, if none can make room.
    pub(crate) async fn open(
        self: &Arc<Self>,
        peer: IpAddr,
        is_proxy: bool,
        spawn: impl FnOnce(Connection) -> AbortHandle,
    ) -> bool {
        let address = (!is_proxy).then(|| subject(peer));
        let make_room = || self.with(|table| table.make_room(address, self.limits, Instant::now()));
        while let Some(wait) = make_room() {
            tokio::time::sleep(wait).await;
        }
        self.with(|table| {
            let has_room = table.entries.len() < self.limits.total;
            if has_room {
                let id = table.next_id();
                let handle = spawn(Connection { all: Arc::clone(self), id });
                table.insert(id, address, Instant::now(), Task(handle));
            }
            has_room
        })
    }

    fn with<T>(&self, change: impl FnOnce(&mut Table<Task>) -> T) -> T {
        change(&mut self.table.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Connection {
    /// Notes that its task runs: the time for its first request begins.
    pub(crate) fn started(&self, now: Instant) {
        self.all.with(|table| table.renew(self.id, now));
    }

    /// Notes that a request was answered.
    pub(crate) fn answered(&self, now: Instant) {
        self.all.with(|table| table.answered(self.id, now));
    }

    /// Notes that a request presented a valid token: the connection makes room for no other.
    pub(crate) fn trust(&self) {
        self.all.with(|table| table.trust(self.id));
    }

    /// Forgets the connection, which has ended.
    pub(crate) fn close(&self) {
        self.all.with(|table| table.remove(self.id));
    }
}

/// The task that serves a connection. It ends when this is dropped.
#[derive(Debug)]
struct Task(AbortHandle);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The connections, each with its task `T`.
#[derive(Debug)]
struct Table<T> {
    entries: HashMap<u64, Entry<T>>,
    /// Anonymous connections, the longest waiting first.
    anonymous: BTreeSet<(Instant, u64)>,
    /// The same by address.
    by_address: HashMap<IpAddr, BTreeSet<(Instant, u64)>>,
    last_id: u64,
}

#[derive(Debug)]
struct Entry<T> {
    /// None for a trusted proxy.
    address: Option<IpAddr>,
    /// When it was opened, or last got a response.
    waits_since: Instant,
    has_response: bool,
    anonymous: bool,
    _task: T,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        let (entries, by_address) = (HashMap::new(), HashMap::new());
        Self { entries, anonymous: BTreeSet::new(), by_address, last_id: 0 }
    }
}

impl<T> Table<T> {
    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// Removes anonymous connections until one more of `address` is within the limits, or there is
    /// none left. Returns how long to wait if the next to go is too young.
    fn make_room(
        &mut self,
        address: Option<IpAddr>,
        limits: Limits,
        now: Instant,
    ) -> Option<Duration> {
        loop {
            let of_address = address.and_then(|address| self.by_address.get(&address));
            let is_full =
                self.anonymous.len() >= limits.anonymous || self.entries.len() >= limits.total;
            let longest = match of_address {
                Some(of_address) if of_address.len() >= limits.per_address => of_address.first(),
                _ if is_full => self.anonymous.first(),
                _ => return None,
            };
            let (since, id) = *longest?;
            let left = GRACE.saturating_sub(now.saturating_duration_since(since));
            if !left.is_zero() && self.entries.get(&id).is_some_and(|entry| !entry.has_response) {
                return Some(left);
            }
            self.remove(id);
        }
    }

    fn insert(&mut self, id: u64, address: Option<IpAddr>, now: Instant, task: T) {
        let entry =
            Entry { address, waits_since: now, has_response: false, anonymous: true, _task: task };
        self.list(address, (now, id));
        self.entries.insert(id, entry);
    }

    fn answered(&mut self, id: u64, now: Instant) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.has_response = true;
        }
        self.renew(id, now);
    }

    /// The connection waits from now on.
    fn renew(&mut self, id: u64, now: Instant) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let (address, before) = (entry.address, entry.waits_since);
        entry.waits_since = now;
        if entry.anonymous {
            self.unlist(address, (before, id));
            self.list(address, (now, id));
        }
    }

    fn trust(&mut self, id: u64) {
        if let Some(entry) = self.entries.get_mut(&id).filter(|entry| entry.anonymous) {
            entry.anonymous = false;
            let (address, since) = (entry.address, entry.waits_since);
            self.unlist(address, (since, id));
        }
    }

    fn remove(&mut self, id: u64) {
        if let Some(entry) = self.entries.remove(&id)
            && entry.anonymous
        {
            self.unlist(entry.address, (entry.waits_since, id));
        }
    }

    fn list(&mut self, address: Option<IpAddr>, entry: (Instant, u64)) {
        self.anonymous.insert(entry);
        if let Some(address) = address {
            self.by_address.entry(address).or_default().insert(entry);
        }
    }

    fn unlist(&mut self, address: Option<IpAddr>, entry: (Instant, u64)) {
        self.anonymous.remove(&entry);
        let Some(address) = address else { return };
        if let Some(of_address) = self.by_address.get_mut(&address) {
            of_address.remove(&entry);
            if of_address.is_empty() {
                self.by_address.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests;
