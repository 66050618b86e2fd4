//! Outages: the errors while they last, and recovery when they end.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;

use simops::ErrorKind;
use simops::store::{ControlStore, EventFilter, EventStore};
use simops_sqlite::SqliteStore;
use simops_tests::wait::Stopwatch;

use crate::support::{
    assert_unavailable, change, event, impatient, path_in, refusal, stranger, until_it_writes,
    url_in,
};

async fn events(store: &SqliteStore) -> usize {
    let filter = EventFilter { limit: 100_000, ..EventFilter::default() };
    store.events(&filter).await.unwrap().items.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_database_is_unavailable_in_time_and_free_again_after() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(impatient(&folder).await);
    let lock = stranger(&folder);
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();

    let stopwatch = Stopwatch::start();
    let change = change(&store.load().await.unwrap());
    assert_unavailable(store.commit(&change, None).await, "locked by another process");
    assert_unavailable(store.ping().await, "");
    assert!(stopwatch.elapsed() < Duration::from_secs(2), "{stopwatch:?}");
    // Readers do not mind.
    assert_eq!(store.load().await.unwrap().generation, 0);

    drop(lock);
    store.ping().await.unwrap();
    store.commit(&change, None).await.unwrap();
    assert_eq!(events(&store).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_is_given_back_in_time_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&url_in(&folder)).await.unwrap();
    let lock = stranger(&folder);
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    let release = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(200));
        drop(lock);
    });
    store.append(&[event("patient")]).await.unwrap();
    release.join().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_unavailable_loses_nothing_and_is_survived() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&url_in(&folder)).await.unwrap();
    store.set_max_bytes(Some(512 * 1024)).await.unwrap();
    let long = "x".repeat(8 * 1024);
    let mut acknowledged = 0;
    let full = loop {
        match store.append(&[event(&long)]).await {
            Ok(()) => acknowledged += 1,
            Err(error) => break error,
        }
        assert!(acknowledged < 1_000, "the limit was never reached");
    };
    assert_eq!(full.kind(), ErrorKind::Unavailable);
    assert!(full.detail().contains("the disk is full"), "{full}");
    assert!(full.retry_after().is_some());
    assert_eq!(events(&store).await, acknowledged);

    store.set_max_bytes(None).await.unwrap();
    store.append(&[event(&long)]).await.unwrap();
    assert_eq!(events(&store).await, acknowledged + 1);
    drop(store);
    let store = SqliteStore::open(&url_in(&folder)).await.unwrap();
    assert_eq!(events(&store).await, acknowledged + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_moved_is_missed_and_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = impatient(&folder).await;
    store.append(&[event("before")]).await.unwrap();
    let moved = folder.path().join("moved");
    std::fs::create_dir(&moved).unwrap();
    let files = ["simops.db", "simops.db-wal", "simops.db-shm"];
    for file in files {
        std::fs::rename(folder.path().join(file), moved.join(file)).unwrap();
    }
    assert_unavailable(store.append(&[event("lost")]).await, "cannot be opened");
    assert_unavailable(store.load().await, "cannot be opened");
    assert!(!path_in(&folder).exists(), "an empty database was made in its place");

    for file in files {
        // Closing the moved database may have merged its log into it.
        let _ = std::fs::rename(moved.join(file), folder.path().join(file));
    }
    store.append(&[event("after")]).await.unwrap();
    assert_eq!(events(&store).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_spoilt_while_in_use_is_reported_and_survived() {
    let folder = tempfile::tempdir().unwrap();
    let store = impatient(&folder).await;
    store.append(&[event("before")]).await.unwrap();
    stranger(&folder).execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    let good = std::fs::read(path_in(&folder)).unwrap();
    // As a careless restore does it: another file under the same name.
    let put = |content: &[u8]| {
        let new = folder.path().join("new");
        std::fs::write(&new, content).unwrap();
        std::fs::rename(&new, path_in(&folder)).unwrap();
    };
    put(&b"garbage ".repeat(good.len() / 8));
    let error = refusal(store.load().await);
    assert_eq!(error.kind(), ErrorKind::Unusable, "{error}");
    let error = refusal(store.append(&[event("lost")]).await);
    assert_eq!(error.kind(), ErrorKind::Unusable, "{error}");

    put(&good);
    until_it_writes(&store).await;
    assert_eq!(events(&store).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_file_in_place_of_the_database_is_not_taken_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = impatient(&folder).await;
    store.append(&[event("only in the log")]).await.unwrap();
    let log = folder.path().join("simops.db-wal");
    let logged = std::fs::read(&log).unwrap();
    assert!(!logged.is_empty());
    std::fs::remove_file(path_in(&folder)).unwrap();
    std::fs::write(path_in(&folder), "").unwrap();
    for _ in 0..100 {
        let error = refusal(store.append(&[event("lost")]).await);
        assert_eq!(error.kind(), ErrorKind::Unusable, "{error}");
        let error = refusal(store.load().await);
        assert_eq!(error.kind(), ErrorKind::Unusable, "{error}");
    }
    assert!(std::fs::read(&log).unwrap() == logged, "the log of the database is gone");
}

#[tokio::test]
async fn a_read_only_folder_is_named_in_the_error() {
    let folder = tempfile::tempdir().unwrap();
    let locked = folder.path().join("locked");
    std::fs::create_dir(&locked).unwrap();
    std::fs::set_permissions(&locked, std::fs::Permissions::from_mode(0o555)).unwrap();
    if std::fs::write(locked.join("probe"), "").is_ok() {
        // The administrator may write anywhere: nothing to be seen here.
        return;
    }
    let opened = SqliteStore::open(&format!("sqlite://{}/simops.db", locked.display())).await;
    assert_unavailable(opened, "may be written");
}
