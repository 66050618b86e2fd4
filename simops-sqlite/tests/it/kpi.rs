//! Visitors' events: the tail in memory and the trees on disk come to the same sums.

use std::collections::BTreeMap;

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use simops::kpi::{DaySums, Kind, KpiEvent, MAX_BATCH};
use simops::recount::RecountExt;
use simops::store::KpiStore;
use simops::store::rules::Recounter;
use simops_sqlite::{SqliteOptions, SqliteStore};
use tempfile::TempDir;
use uuid::Uuid;

use crate::support::{stranger, url_in};

async fn with_tail(folder: &TempDir, kpi_write_buffer: usize) -> SqliteStore {
    let options = SqliteOptions { kpi_write_buffer, ..SqliteOptions::default() };
    SqliteStore::open_with(&url_in(folder), options).await.unwrap()
}

fn event(number: u64) -> KpiEvent {
    let chance = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let visitor_id = format!("visitor-{}", (chance >> 32) % 40);
    let days = i64::try_from((chance >> 16) % 12).unwrap();
    let start = Timestamp::from_second(1_767_225_600).unwrap();
    let kind = Kind::ALL[usize::try_from((chance >> 48) % 13).unwrap()];
    let at = start + SignedDuration::from_hours(24 * days);
    KpiEvent {
        uid: Uuid::from_u64_pair(chance, number),
        received_at: start,
        ..KpiEvent::new(kind, visitor_id, at)
    }
}

fn events(numbers: std::ops::Range<u64>) -> Vec<KpiEvent> {
    numbers.map(event).collect()
}

fn plain(events: &[KpiEvent]) -> BTreeMap<Date, DaySums> {
    let mut plain = Recounter::default();
    for event in events {
        plain.count(event.kind, event.visitor, event.day());
    }
    plain.days()
}

async fn assert_exact(store: &SqliteStore, count: u64) {
    let expected = plain(&events(0..count));
    assert_eq!(store.kpi_days(Date::MIN, Date::MAX).await.unwrap(), expected);
    let recount = store.recount_kpi().await.unwrap();
    assert_eq!((recount.events, recount.wrong_steps), (count, 0));
    assert_eq!(recount.differences(), []);
}

#[tokio::test]
async fn folding_at_any_length_changes_no_sum() {
    for tail in [1, 7, 50, 100_000] {
        let folder = tempfile::tempdir().unwrap();
        let store = with_tail(&folder, tail).await;
        for start in (0..600).step_by(20) {
            // Half of each batch was sent before.
            let batch = events(start.max(10) - 10..start + 20);
            store.record_kpi(&batch).await.unwrap();
        }
        assert_exact(&store, 620 - 20).await;
    }
}

#[tokio::test]
async fn processes_that_fold_at_other_lengths_agree() {
    let folder = tempfile::tempdir().unwrap();
    let stores = [with_tail(&folder, 5).await, with_tail(&folder, 33).await];
    for number in 0..60 {
        let store = &stores[usize::try_from(number * 7 % 5 % 2).unwrap()];
        store.record_kpi(&events((number * 10).max(15) - 15..number * 10 + 10)).await.unwrap();
    }
    assert_exact(&stores[0], 600).await;
    drop(stores);
    // Who comes later reads the tail.
    let store = with_tail(&folder, 1_000).await;
    assert_eq!(store.record_kpi(&events(0..605)).await.unwrap(), 5);
    assert_exact(&store, 605).await;
}

#[tokio::test]
async fn a_full_disk_takes_back_an_append_and_what_was_remembered_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = with_tail(&folder, 100_000).await;
    store.record_kpi(&events(0..50)).await.unwrap();
    store.set_max_bytes(Some(1)).await.unwrap();
    let many = events(50..50 + MAX_BATCH as u64);
    assert!(store.record_kpi(&many).await.is_err());
    store.set_max_bytes(None).await.unwrap();
    assert_exact(&store, 50).await;
    assert_eq!(store.record_kpi(&many).await.unwrap(), MAX_BATCH as u64);
    assert_exact(&store, 50 + MAX_BATCH as u64).await;
}

#[tokio::test]
async fn a_recount_finds_what_was_changed_by_hand_and_a_rebuild_puts_it_right() {
    let folder = tempfile::tempdir().unwrap();
    let store = with_tail(&folder, 40).await;
    store.record_kpi(&events(0..300)).await.unwrap();
    let connection = stranger(&folder);
    connection
        .execute_batch(
            "DELETE FROM kpi_days WHERE day = (SELECT min(day) FROM kpi_days); \
             DELETE FROM kpi_steps WHERE visitor = (SELECT min(visitor) FROM kpi_steps); \
             DELETE FROM kpi_fold_runs WHERE fold = 1;",
        )
        .unwrap();
    let found = store.recount_kpi().await.unwrap();
    assert!(!found.differences().is_empty() && found.wrong_steps > 0);
    store.rebuild_kpi().await.unwrap();
    assert_exact(&store, 300).await;
    assert_eq!(store.record_kpi(&events(0..310)).await.unwrap(), 10);
    assert_exact(&store, 310).await;
}

#[tokio::test]
async fn what_another_process_puts_right_is_not_remembered_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let at = Timestamp::from_second(1_767_225_600).unwrap();
    let did = |kind| [KpiEvent::new(kind, "visitor", at)];
    with_tail(&folder, 1).await.record_kpi(&did(Kind::LandingView)).await.unwrap();
    stranger(&folder).execute_batch("UPDATE kpi_steps SET steps = 8191").unwrap();
    // What is wrong in the tree is read into memory, and all of the tail is folded.
    let store = with_tail(&folder, 1).await;
    store.record_kpi(&did(Kind::ReplayStart)).await.unwrap();
    let found = with_tail(&folder, 1).await.rebuild_kpi().await.unwrap();
    assert!(!found.differences().is_empty());
    store.record_kpi(&did(Kind::ShareCopied)).await.unwrap();
    let recount = store.recount_kpi().await.unwrap();
    assert_eq!((recount.differences(), recount.wrong_steps), (Vec::new(), 0));
}

#[tokio::test]
async fn what_was_folded_long_ago_is_still_known() {
    let folder = tempfile::tempdir().unwrap();
    let store = with_tail(&folder, 25).await;
    for start in (0..1_000).step_by(50) {
        assert_eq!(store.record_kpi(&events(start..start + 50)).await.unwrap(), 50);
    }
    let folds: i64 = stranger(&folder)
        .query_row("SELECT count(*) FROM kpi_folds WHERE filter IS NOT NULL", [], |row| row.get(0))
        .unwrap();
    assert_eq!(folds, 20);
    assert_eq!(store.record_kpi(&events(0..1_000)).await.unwrap(), 0);
    drop(store);
    // A new process reads the filters, and makes those that are missing or damaged.
    stranger(&folder)
        .execute_batch(
            "UPDATE kpi_folds SET filter = NULL WHERE id % 3 = 0; \
             UPDATE kpi_folds SET filter = x'00' WHERE id % 3 = 1;",
        )
        .unwrap();
    let store = with_tail(&folder, 25).await;
    assert_eq!(store.record_kpi(&events(0..1_001)).await.unwrap(), 1);
    assert_exact(&store, 1_001).await;
}

#[tokio::test]
async fn a_fold_that_was_taken_back_is_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let store = with_tail(&folder, 100).await;
    store.record_kpi(&events(0..90)).await.unwrap();
    store.set_max_bytes(Some(1)).await.unwrap();
    // This one would fold, and finds no room for it.
    let many = events(90..90 + MAX_BATCH as u64);
    assert!(store.record_kpi(&many).await.is_err());
    store.set_max_bytes(None).await.unwrap();
    // Other events are folded under the same number.
    store.record_kpi(&events(80..150)).await.unwrap();
    assert_eq!(store.record_kpi(&many).await.unwrap(), MAX_BATCH as u64 - 60);
    assert_exact(&store, 90 + MAX_BATCH as u64).await;
}
