//! The writer: concurrent transactions, each isolated.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use simops::ErrorKind;
use simops::run::RunRecord;
use simops::store::{Commit, ControlStore, EventFilter, EventStore, TurnCommit, WorldStore};
use simops_sqlite::{SqliteOptions, SqliteStore};
use simops_tests::eventually;
use simops_tests::wait::LIMIT;
use tokio::task::JoinSet;

use crate::support::{change, event, stranger, url_in};

#[tokio::test(flavor = "multi_thread")]
async fn of_64_commits_on_one_generation_one_is_done() {
    let folder = tempfile::tempdir().unwrap();
    let stores = [
        Arc::new(SqliteStore::open(&url_in(&folder)).await.unwrap()),
        Arc::new(SqliteStore::open(&url_in(&folder)).await.unwrap()),
    ];
    let before = stores[0].load().await.unwrap();
    let mut rivals = JoinSet::new();
    for number in 0..64 {
        let (store, change) = (Arc::clone(&stores[number % 2]), change(&before));
        rivals.spawn(async move { store.commit(&change, None).await.unwrap() });
    }
    let outcomes = rivals.join_all().await;
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == Commit::Done).count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_fails_takes_back_only_itself() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(SqliteStore::open(&url_in(&folder)).await.unwrap());
    // The database refuses these in the midst of their work; the store knows nothing of it.
    stranger(&folder)
        .execute_batch(
            "CREATE TRIGGER refuse BEFORE INSERT ON events WHEN NEW.description = 'refused' \
             BEGIN SELECT RAISE(ABORT, 'refused on purpose'); END",
        )
        .unwrap();
    let mut writers = JoinSet::new();
    for number in 0..200 {
        let store = Arc::clone(&store);
        writers.spawn(async move {
            let events = match number % 4 {
                0 => vec![event("torn"), event("refused")],
                _ => vec![event("kept"), event("kept")],
            };
            let refused = store.append(&events).await.is_err();
            assert_eq!(refused, number % 4 == 0);
        });
    }
    writers.join_all().await;
    let filter = EventFilter { limit: 1_000, ..EventFilter::default() };
    let kept = store.events(&filter).await.unwrap().items;
    assert_eq!(kept.len(), 300);
    assert!(kept.iter().all(|event| event.description == "kept"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_turn_among_others_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(SqliteStore::open(&url_in(&folder)).await.unwrap());
    let epoch = store.request_epoch("main", event("").created_at).await.unwrap();
    let mut shown = change(&store.load().await.unwrap());
    shown.next.worlds = [("main".to_owned(), epoch)].into();
    let world = Some("main".to_owned());
    shown.runs = vec![RunRecord { run_id: "run".to_owned(), world, ..RunRecord::default() }];
    store.commit(&shown, None).await.unwrap();
    let mut writers = JoinSet::new();
    for number in 0..100_i64 {
        let store = Arc::clone(&store);
        writers.spawn(async move {
            let turn = TurnCommit {
                run_id: "run".to_owned(),
                generation: 1,
                epoch,
                expected_version: 0,
                documents: [(number.to_string(), number.into())].into(),
                events: vec![event("turn")],
            };
            store.commit_turn(&turn).await.is_ok()
        });
    }
    let done = writers.join_all().await.into_iter().filter(|done| *done).count();
    assert_eq!(done, 1);
    assert_eq!(store.world(epoch).await.unwrap().documents.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_is_no_longer_awaited_is_whole_or_absent() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(SqliteStore::open(&url_in(&folder)).await.unwrap());
    for _ in 0..50 {
        let pair = [event("pair"), event("pair")];
        // Whether it is abandoned in time is a matter of luck, and either is right.
        let _ = tokio::time::timeout(Duration::from_micros(50), store.append(&pair)).await;
    }
    store.append(&[]).await.unwrap();
    let filter = EventFilter { limit: 1_000, ..EventFilter::default() };
    assert_eq!(store.events(&filter).await.unwrap().items.len() % 2, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_calls_than_may_wait_are_refused_and_shown_as_pressure() {
    let folder = tempfile::tempdir().unwrap();
    let options = SqliteOptions {
        max_waiting: 8,
        busy_timeout: Duration::from_millis(500),
        ..SqliteOptions::default()
    };
    let store = Arc::new(SqliteStore::open_with(&url_in(&folder), options).await.unwrap());
    assert!(store.pool_utilization() < 0.5);
    let lock = stranger(&folder);
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut writers = JoinSet::new();
    for _ in 0..64 {
        let store = Arc::clone(&store);
        writers.spawn(async move { store.append(&[event("late")]).await });
    }
    let pressed = async {
        while store.pool_utilization() < 1.0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LIMIT, pressed).await.expect("no pressure seen");
    let refused = writers.join_all().await.into_iter().map(|done| done.unwrap_err());
    let refused: Vec<_> = refused.collect();
    assert!(refused.iter().all(|error| error.kind() == ErrorKind::Unavailable));
    assert!(refused.iter().any(|error| error.detail().contains("too many calls")));
    drop(lock);
    store.append(&[event("on time")]).await.unwrap();
    assert!(store.pool_utilization() < 0.5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_others_hold_most_of_the_time_is_taken_between_them() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&url_in(&folder)).await.unwrap();
    let lock = stranger(&folder);
    let done = Arc::new(AtomicBool::new(false));
    let other = std::thread::spawn({
        let done = Arc::clone(&done);
        move || {
            while !done.load(Ordering::Relaxed) {
                lock.execute_batch("BEGIN IMMEDIATE").unwrap();
                std::thread::sleep(Duration::from_millis(45));
                lock.execute_batch("COMMIT").unwrap();
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    });
    let mut refused = Vec::new();
    for _ in 0..50 {
        refused.extend(store.append(&[event("in between")]).await.err());
    }
    done.store(true, Ordering::Relaxed);
    other.join().unwrap();
    assert!(refused.is_empty(), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_stays_short_while_writes_follow_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(SqliteStore::open(&url_in(&folder)).await.unwrap());
    // At any time one of them waits for the writer, and each write takes long.
    let writers: Vec<_> = (0..2)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let text = "x".repeat(1 << 20);
                for _ in 0..12 {
                    let events: Vec<_> = (0..16).map(|_| event(&text)).collect();
                    store.append(&events).await.unwrap();
                }
            })
        })
        .collect();
    let mut longest = 0;
    while !writers.iter().all(|writer| writer.is_finished()) {
        longest =
            longest.max(std::fs::metadata(folder.path().join("simops.db-wal")).unwrap().len());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for writer in writers {
        writer.await.unwrap();
    }
    // A write begins before the limit of 64 MiB and may hold those of both.
    assert!(longest <= 112 << 20, "{longest}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_stays_short_while_readers_follow_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&url_in(&folder)).await.unwrap();
    let ended = Arc::new(AtomicBool::new(false));
    // At any time one of them reads.
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let (reader, ended) = (stranger(&folder), Arc::clone(&ended));
            std::thread::spawn(move || {
                while !ended.load(Ordering::Relaxed) {
                    let snapshot = reader.unchecked_transaction().unwrap();
                    let count = "SELECT count(*) FROM events";
                    let _: i64 = snapshot.query_row(count, [], |row| row.get(0)).unwrap();
                    std::thread::sleep(Duration::from_millis(10));
                }
            })
        })
        .collect();
    let log = || std::fs::metadata(folder.path().join("simops.db-wal")).unwrap().len();
    let text = "x".repeat(1 << 20);
    for _ in 0..40 {
        store.append(&[event(&text), event(&text), event(&text), event(&text)]).await.unwrap();
    }
    eventually("the log is truncated", async || {
        store.append(&[event("tick")]).await.unwrap();
        (log() <= 16 << 20).then_some(())
    })
    .await;
    ended.store(true, Ordering::Relaxed);
    for reader in readers {
        reader.join().unwrap();
    }
}
