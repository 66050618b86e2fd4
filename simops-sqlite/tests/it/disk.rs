//! A disk that is full: run control continues, and errors name the cause.

use simops::store::{ControlStore, EventStore, LogTable, PruneCutoff, RetentionStore};
use simops_sqlite::SqliteStore;
use simops_tests::disk::SmallDisk;
use simops_tests::eventually;

use crate::support::{assert_unavailable, change, event};

async fn open(disk: &SmallDisk) -> SqliteStore {
    SqliteStore::open(&format!("sqlite://{}/simops.db", disk.path().display())).await.unwrap()
}

fn has_reserve(disk: &SmallDisk) -> bool {
    std::fs::metadata(disk.path().join("simops.db-reserve")).is_ok_and(|file| file.len() > 0)
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

/// Deletes all events, in pieces for which there is space; their number.
async fn delete_events(store: &SqliteStore) -> u64 {
    let all = PruneCutoff { before: jiff::Timestamp::MAX, except_run: None };
    let mut deleted = 0;
    loop {
        match store.prune(LogTable::Events, &all, 50).await.unwrap() {
            0 => return deleted,
            more => deleted += more,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_full_disk_run_control_is_committed_and_old_rows_are_deleted() {
    let Some(disk) = SmallDisk::mount(24) else { return };
    let store = open(&disk).await;
    assert!(has_reserve(&disk));
    let free = store.disk_space().unwrap();
    assert!(free.total_bytes == 24 << 20 && free.free_bytes > 16 << 20, "{free:?}");

    let other = disk.path().join("other");
    std::fs::write(&other, vec![7; 8 << 20]).unwrap();
    append_until_full(&store).await;
    let filler = disk.keep_full();
    append_until_full(&store).await;
    assert_unavailable(store.ping().await, "the disk is full");
    for _ in 0..200 {
        commit(&store).await.unwrap();
    }
    let deleted = delete_events(&store).await;
    assert!(deleted > 100, "{deleted}");
    // The space of deleted rows is used again.
    store.append(&[event(&"x".repeat(16 * 1024))]).await.unwrap();
    commit(&store).await.unwrap();

    drop(filler);
    std::fs::remove_file(other).unwrap();
    eventually("the reserve is made again", async || {
        commit(&store).await.unwrap();
        has_reserve(&disk).then_some(())
    })
    .await;
    store.ping().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_write_on_a_full_disk_leaves_space_for_run_control() {
    let Some(disk) = SmallDisk::mount(24) else { return };
    let store = open(&disk).await;
    append_until_full(&store).await;
    let _filler = disk.keep_full();
    for _ in 0..100 {
        append_until_full(&store).await;
        for _ in 0..3 {
            let _ = store.append(&[event("small")]).await;
        }
        commit(&store).await.unwrap();
    }
    assert!(delete_events(&store).await > 100);
    commit(&store).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_on_a_full_disk_is_opened_and_committed_to() {
    let Some(disk) = SmallDisk::mount(24) else { return };
    let store = open(&disk).await;
    append_until_full(&store).await;
    let _filler = disk.keep_full();
    for _ in 0..5 {
        let store = open(&disk).await;
        commit(&store).await.unwrap();
    }
    // Its log is gone then.
    drop(store);
    assert!(has_reserve(&disk));
    for _ in 0..2 {
        let store = open(&disk).await;
        for _ in 0..20 {
            commit(&store).await.unwrap();
        }
    }
}
