//! Reads whose callers are gone, and reads that keep all readers busy.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::date;
use simops::store::sql::{SqlStore, Statement};
use simops::store::{ControlStore, EventFilter, EventStore, HostStore, UsageStore};
use simops::usage::CounterEpochStore;
use simops_tests::wait::{LIMIT, eventually};
use tempfile::TempDir;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

use crate::codec::one;
use crate::{SqliteOptions, SqliteStore};

const ENDLESS: &str = "WITH RECURSIVE numbers (n) AS \
     (SELECT 1 UNION ALL SELECT n + 1 FROM numbers) SELECT count(*) FROM numbers";

/// A store with one ordinary reader that waits for its calls longer than a test does.
async fn store(url: &str) -> Arc<SqliteStore> {
    let options = SqliteOptions { readers: 1, call_timeout: LIMIT * 2, ..SqliteOptions::default() };
    Arc::new(SqliteStore::open_with(url, options).await.unwrap())
}

/// A store in memory, and one in a file of the folder.
async fn stores(folder: &TempDir) -> [Arc<SqliteStore>; 2] {
    let file = format!("sqlite://{}", folder.path().join("simops.db").display());
    [store("sqlite::memory:").await, store(&file).await]
}

/// A call that reads for ever, once it has begun.
async fn endless(store: &Arc<SqliteStore>) -> JoinHandle<()> {
    let (begun, reader) = (Arc::new(AtomicBool::new(false)), Arc::clone(store));
    let seen = Arc::clone(&begun);
    let call = tokio::spawn(async move {
        let read = reader.on_reader(move |tx| {
            seen.store(true, Ordering::Relaxed);
            one::<i64>(tx, &Statement::new(ENDLESS))
        });
        panic!("an endless read ended: {:?}", read.await);
    });
    eventually("the read begins", async || begun.load(Ordering::Relaxed).then_some(())).await;
    call
}

async fn in_time<T>(call: impl Future<Output = simops::Result<T>>) -> T {
    timeout(LIMIT, call).await.expect("it waits for a read").unwrap()
}

async fn list(store: &SqliteStore) {
    in_time(store.events(&EventFilter { limit: 1, ..EventFilter::default() })).await;
}

#[tokio::test]
async fn a_read_whose_caller_is_gone_is_interrupted() {
    let folder = TempDir::new().unwrap();
    for store in stores(&folder).await {
        for _ in 0..4 {
            endless(&store).await.abort();
        }
        list(&store).await;
        in_time(store.append(&[])).await;
    }
}

#[tokio::test]
async fn a_read_whose_caller_left_the_queue_does_not_begin() {
    let folder = TempDir::new().unwrap();
    for store in stores(&folder).await {
        let busy = endless(&store).await;
        let begun = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&begun);
        let queued = store.on_reader(move |_| {
            seen.store(true, Ordering::Relaxed);
            Ok(())
        });
        assert!(timeout(Duration::ZERO, queued).await.is_err());
        busy.abort();
        list(&store).await;
        assert!(!begun.load(Ordering::Relaxed));
    }
}

#[tokio::test]
async fn run_control_hosts_and_health_do_not_wait_for_other_reads() {
    let folder = TempDir::new().unwrap();
    let [_, store] = stores(&folder).await;
    let busy = endless(&store).await;
    let now = Timestamp::from_second(1_767_225_600).unwrap();
    in_time(store.load()).await;
    in_time(store.run("one")).await;
    in_time(store.idempotency_record("key")).await;
    in_time(store.hosts(now)).await;
    in_time(store.probe()).await;
    in_time(store.day_totals(date(2026, 1, 1))).await;
    in_time(store.failure_window("one", now)).await;
    in_time(store.counter_epoch()).await;
    assert!(!busy.is_finished());
    busy.abort();
}

/// A database in memory has one connection. Run control waits for the read that is running, and for
/// no other.
#[tokio::test]
async fn in_memory_run_control_goes_before_other_reads() {
    let store = store("sqlite::memory:").await;
    let busy = endless(&store).await;
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut calls = JoinSet::new();
    for is_control in [false, false, false, true] {
        let (store, order) = (Arc::clone(&store), Arc::clone(&order));
        calls.spawn(async move {
            let read = store.read_as(is_control, move |_| {
                order.lock().unwrap().push(is_control);
                Ok(())
            });
            read.await.unwrap();
        });
        // Lets it enter the queue.
        tokio::task::yield_now().await;
    }
    busy.abort();
    calls.join_all().await;
    assert_eq!(*order.lock().unwrap(), [true, false, false, false]);
}
