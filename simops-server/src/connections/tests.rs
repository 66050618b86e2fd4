//! The table of connections under random opens, waits, responses, tokens and ends.

use std::io::Write;

use proptest::prelude::*;
use tokio::io::AsyncReadExt;

use super::*;

const LIMITS: Limits = Limits { anonymous: 5, per_address: 3, total: 12 };
const GRACE_MICROS: u64 = GRACE.as_micros() as u64;

/// What happens to connections; numbers choose one of those that are open.
#[derive(Debug, Clone)]
enum Step {
    Open(Option<u8>),
    /// The server finds nothing to read.
    Waits(usize),
    Answered(usize),
    Trust(usize),
    /// The task runs after it was asked to make room; its client has sent something or not.
    Polled(usize, bool),
    Close(usize),
}

fn step() -> impl Strategy<Value = (u64, Step)> {
    let step = prop_oneof![
        6 => proptest::option::weighted(0.8, 0_u8..3).prop_map(Step::Open),
        4 => any::<usize>().prop_map(Step::Waits),
        2 => any::<usize>().prop_map(Step::Answered),
        1 => any::<usize>().prop_map(Step::Trust),
        2 => (any::<usize>(), any::<bool>()).prop_map(|(n, sent)| Step::Polled(n, sent)),
        1 => any::<usize>().prop_map(Step::Close),
    ];
    (1_u64..150_000, step)
}

fn asked(connection: &Connection) -> u8 {
    connection.asked.load(Ordering::Relaxed)
}

/// How long the server has waited for the client.
fn waited(connection: &Connection, now: u64) -> Option<u64> {
    let since = connection.waits_since.load(Ordering::Relaxed);
    (since > 0).then(|| now - since)
}

proptest! {
    #[test]
    fn limits_hold_and_only_those_that_keep_the_server_waiting_make_room(
        steps in proptest::collection::vec(step(), 0..200),
    ) {
        let all = Connections::new(LIMITS);
        let mut table = Table::default();
        let mut open: Vec<Arc<Connection>> = Vec::new();
        let mut now = 1;
        for (pause, step) in steps {
            now += pause;
            let chosen = |number: usize| open.get(number % open.len().max(1)).cloned();
            match step {
                Step::Open(last) => {
                    let address = last.map(|last| IpAddr::from([192, 0, 2, last]));
                    let before: Vec<_> = open.iter().map(|c| (asked(c), table.of_address(c.address))).collect();
                    let (most, listed) = (before.iter().map(|(_, had)| *had).max(), table.listed.len());
                    let admitted = table.admits(LIMITS);
                    let full = open.len() >= LIMITS.total;
                    prop_assert_eq!(full, !admitted);
                    let mut closed = 0;
                    for (connection, (asked_before, had)) in open.iter().zip(&before) {
                        let closes = asked(connection) == CLOSES && *asked_before != CLOSES;
                        prop_assert!(!closes || Some(*had) == most, "the largest address loses one");
                        closed += usize::from(closes);
                    }
                    prop_assert_eq!(closed, usize::from(!full && listed >= BURST * LIMITS.anonymous));
                    if !admitted {
                        continue;
                    }
                    table.last_id += 1;
                    let new = Arc::new(Connection::new(Arc::clone(&all), table.last_id, address));
                    table.insert(Arc::clone(&new), now);
                    open.push(new);
                    let before: Vec<_> = open.iter().map(|c| asked(c)).collect();
                    table.make_room(address, LIMITS, now);
                    for (connection, before) in open.iter().zip(before) {
                        if asked(connection) != before {
                            let waited = waited(connection, now);
                            let has_response = connection.has_response.load(Ordering::Relaxed);
                            prop_assert!(waited.is_some_and(|t| t >= GRACE_MICROS || has_response));
                        }
                    }
                    // More than the limits are only open while none has waited for the grace.
                    for over in [
                        (table.of_address(address) > LIMITS.per_address).then_some(address),
                        (table.listed.len() > LIMITS.anonymous).then_some(None),
                    ].into_iter().flatten() {
                        for connection in &open {
                            let listed = table.entries[&connection.id].listed.is_some();
                            let in_scope = listed && (over.is_none() || connection.address == over);
                            let waited = waited(connection, now).unwrap_or(0);
                            prop_assert!(!in_scope || waited < GRACE_MICROS);
                        }
                    }
                }
                Step::Waits(number) => {
                    if let Some(connection) = chosen(number) {
                        let first = waited(&connection, now).is_none();
                        if first {
                            connection.waits_since.store(now, Ordering::Relaxed);
                        }
                    }
                }
                Step::Answered(number) => {
                    if let Some(connection) = chosen(number) {
                        connection.answered();
                    }
                }
                Step::Trust(number) => {
                    if let Some(connection) = chosen(number) {
                        connection.trusted.store(true, Ordering::Relaxed);
                        table.unlist(connection.id);
                    }
                }
                Step::Polled(number, sent) => {
                    let Some(connection) = chosen(number) else { continue };
                    let before = asked(&connection);
                    if before != STAYS {
                        if sent {
                            connection.received();
                        }
                        if connection.stays(before) {
                            prop_assert!(sent || connection.trusted.load(Ordering::Relaxed));
                            if !connection.trusted.load(Ordering::Relaxed) {
                                table.list(connection.id, now);
                            }
                        } else {
                            table.remove(connection.id);
                            open.retain(|open| open.id != connection.id);
                        }
                        connection.received.store(false, Ordering::Relaxed);
                    }
                }
                Step::Close(number) => {
                    if let Some(connection) = chosen(number) {
                        table.remove(connection.id);
                        open.retain(|open| open.id != connection.id);
                    }
                }
            }
            prop_assert_eq!(table.entries.len(), open.len());
            prop_assert!(open.len() <= LIMITS.total);
            let listed = open.iter().filter(|c| table.entries[&c.id].listed.is_some()).count();
            prop_assert_eq!(table.listed.len(), listed);
            let trusted = open.iter().filter(|c| c.trusted.load(Ordering::Relaxed));
            prop_assert!(trusted.into_iter().all(|c| table.entries[&c.id].listed.is_none()));
        }
    }
}

#[tokio::test]
async fn a_connection_that_is_asked_stays_once_if_its_client_has_sent_something() {
    let all = Connections::new(LIMITS);
    let open = all.open(IpAddr::from([192, 0, 2, 1]), false).unwrap();
    let connection = open.shared();
    let polled = Arc::clone(&connection);
    let served = open.run(poll_fn(move |_| {
        polled.received();
        Poll::<()>::Pending
    }));
    let mut served = pin!(served);
    assert!(futures_util::future::poll_immediate(&mut served).await.is_none());
    all.table().ask(connection.id, MAKES_ROOM);
    assert!(futures_util::future::poll_immediate(&mut served).await.is_none(), "it stays once");
    assert_eq!(all.table().listed.len(), 1);
    all.table().ask(connection.id, MAKES_ROOM);
    assert_eq!(futures_util::future::poll_immediate(&mut served).await, Some(None));
}

#[tokio::test]
async fn a_connection_that_is_asked_reads_what_the_runtime_does_not_know_of_yet() {
    let all = Connections::new(LIMITS);
    let open = all.open(IpAddr::from([192, 0, 2, 1]), false).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    client.write_all(b"GET").unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    let mut watched = Watched::new(stream, open.shared());
    let (mut buffer, mut read) = ([0; 16], 0);
    all.table().ask(open.shared().id, CLOSES);
    let served = open.run(async {
        read = watched.read(&mut buffer).await.unwrap();
        std::future::pending::<()>().await;
    });
    assert_eq!(futures_util::future::poll_immediate(served).await, Some(None));
    assert_eq!(&buffer[..read], b"GET");
}
