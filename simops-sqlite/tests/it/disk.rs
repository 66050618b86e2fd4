//! A disk that is full: run control continues, and errors name the cause.

use simops::store::{ControlStore, EventStore, LogTable, PruneCutoff, RetentionStore};
use simops_sqlite::SqliteStore;
use simops_tests::disk::SmallDisk;
use simops_tests::eventually;

use crate::support::{assert_unavailable, change, event};

async fn open(disk: &SmallDisk) -> SqliteStore {
    SqliteStore::open(&format!("sqlite://{}/simops.db", disk.path().display())).await.unwrap()
}

/// Commits small changes until the store has made its reserve.
async fn until_the_reserve_is_made(disk: &SmallDisk, store: &SqliteStore) {
    eventually("the reserve is made", async || {
        commit(store).await.unwrap();
        disk.path().join("simops.db-reserve").exists().then_some(())
    })
    .await;
}

async fn commit(store: &SqliteStore) -> simops::Result<()> {
    let state = store.load().await?;
    store.commit(&change(&state), None).await.map(drop)
}

/// Appends events until that fails for lack of space.
async fn append_until_full(store: &SqliteStore) {
    let long = "x".repeat(16 * 1024);
    for _ in 0..10_000 {
        if let Err(error) = store.append(&[event(&long)]).await {
            assert!(error.detail().contains("the disk is full"), "{error}");
            return;
        }
    }
    panic!("the disk does not get full");
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_full_disk_run_control_is_committed_and_old_rows_are_deleted() {
    let Some(disk) = SmallDisk::mount(24) else { return };
    let store = open(&disk).await;
    until_the_reserve_is_made(&disk, &store).await;
    let free = store.disk_space().unwrap();
    assert!(free.total_bytes == 24 << 20 && free.free_bytes > 16 << 20, "{free:?}");

    let other = disk.path().join("other");
    std::fs::write(&other, vec![7; 8 << 20]).unwrap();
    append_until_full(&store).await;
    disk.fill();
    append_until_full(&store).await;
    assert_unavailable(store.ping().await, "the disk is full");
    for _ in 0..20 {
        commit(&store).await.unwrap();
    }
    assert!(!disk.path().join("simops.db-reserve").exists());
    // In pieces for which there is space.
    let all = PruneCutoff { before: jiff::Timestamp::MAX, except_run: None };
    let mut deleted = 0;
    loop {
        match store.prune(LogTable::Events, &all, 50).await.unwrap() {
            0 => break,
            more => deleted += more,
        }
    }
    assert!(deleted > 100, "{deleted}");
    // The space of deleted rows is used again.
    store.append(&[event(&"x".repeat(16 * 1024))]).await.unwrap();

    std::fs::remove_file(other).unwrap();
    until_the_reserve_is_made(&disk, &store).await;
    store.ping().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_on_a_full_disk_is_opened_and_committed_to() {
    let Some(disk) = SmallDisk::mount(24) else { return };
    let store = open(&disk).await;
    until_the_reserve_is_made(&disk, &store).await;
    // Its log is gone then.
    drop(store);
    disk.fill();
    let store = open(&disk).await;
    commit(&store).await.unwrap();
}
