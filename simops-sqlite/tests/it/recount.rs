//! Recounts of visitors' events in pieces: what is wrong is corrected while others record, and what was
//! interrupted is completed later.

use std::sync::Arc;

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use simops::kpi::{Days, Kind, KpiEvent};
use simops::recount::{Limits, RecountExt, UNWATCHED, recount_visits};
use simops::store::RunStore;
use simops::store::rules::Recounter;
use simops::testing::{Disturbance, DisturbedStore};
use simops_sqlite::{SqliteOptions, SqliteStore};
use tempfile::TempDir;

use crate::support::{stranger, url_in};

const SMALL: Limits = Limits { piece: 40, visitor_days: 50, days: 4, corrections: 10 };

/// What a stranger may do to sums and steps.
const DAMAGES: [&str; 7] = [
    "UPDATE kpi_days SET sums = replace(sums, '[', '[9')",
    "DELETE FROM kpi_days WHERE day % 2 = 0",
    "UPDATE kpi_days SET sums = '[1]'",
    "UPDATE kpi_steps SET steps = 8191 WHERE day % 2 = 0",
    "UPDATE kpi_steps SET steps = 1",
    "DELETE FROM kpi_steps WHERE day % 3 = 0",
    "INSERT OR IGNORE INTO kpi_steps SELECT day + 1, visitor, 12 FROM kpi_steps",
];

async fn open(folder: &TempDir) -> Arc<dyn RunStore> {
    let options = SqliteOptions { kpi_write_buffer: 30, ..SqliteOptions::default() };
    Arc::new(SqliteStore::open_with(&url_in(folder), options).await.unwrap())
}

fn events(numbers: std::ops::Range<u64>) -> Vec<KpiEvent> {
    let start = Timestamp::from_second(1_767_225_600).unwrap();
    let event = |number: u64| {
        let chance = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let kind = Kind::ALL[usize::try_from((chance >> 48) % 13).unwrap()];
        let days = i64::try_from((chance >> 16) % 12).unwrap();
        let at = start + SignedDuration::from_hours(24 * days);
        KpiEvent::new(kind, format!("visitor-{}", (chance >> 32) % 30), at)
    };
    numbers.map(event).collect()
}

fn definition(events: &[KpiEvent]) -> Days {
    let mut plain = Recounter::default();
    for event in events {
        plain.count(event.kind, event.visitor, event.day());
    }
    plain.days()
}

/// A folder whose database holds `events` and was then damaged.
async fn damaged(damage: &str, events: &[KpiEvent]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    open(&folder).await.record_kpi(events).await.unwrap();
    stranger(&folder).execute_batch(damage).unwrap();
    folder
}

async fn assert_right(store: &Arc<dyn RunStore>, events: &[KpiEvent]) {
    let found = store.recount_kpi().await.unwrap();
    assert_eq!((found.differences(), found.wrong_steps), (Vec::new(), 0));
    assert_eq!(found.counted, definition(events));
    assert_eq!(store.kpi_days(Date::MIN, Date::MAX).await.unwrap(), definition(events));
}

#[tokio::test]
async fn what_is_wrong_is_found_as_the_definition_says() {
    let events = events(0..400);
    for damage in DAMAGES {
        let folder = damaged(damage, &events).await;
        let store = open(&folder).await;
        let found = recount_visits(&*store, false, SMALL, UNWATCHED).await.unwrap();
        assert!(!found.differences().is_empty() || found.wrong_steps > 0, "{damage}");
        assert_eq!(found.counted, definition(&events), "{damage}");
        let rebuilt = recount_visits(&*store, true, SMALL, UNWATCHED).await.unwrap();
        assert_eq!(rebuilt.wrong_steps, found.wrong_steps, "{damage}");
        assert_right(&store, &events).await;
        assert_eq!(store.record_kpi(&events).await.unwrap(), 0, "{damage}");
    }
}

#[tokio::test]
async fn what_is_wrong_is_corrected_while_others_record() {
    let all = events(0..900);
    // Nothing is recorded on a day whose sums cannot be read.
    for damage in DAMAGES.into_iter().filter(|damage| !damage.contains("[1]")) {
        let folder = damaged(damage, &all[..300]).await;
        let writes = all[300..].chunks(9).map(|batch| -> Disturbance {
            let batch = batch.to_vec();
            Box::new(move |store| Box::pin(async move { store.record_kpi(&batch).await.map(drop) }))
        });
        // Others record through a handle of their own, whose buffer was filled before the rebuild.
        let (store, other) = (open(&folder).await, open(&folder).await);
        other.record_kpi(&[]).await.unwrap();
        let disturbed = DisturbedStore::new(Arc::clone(&other), writes);
        while disturbed.left() > 0 {
            recount_visits(&disturbed, true, SMALL, UNWATCHED).await.unwrap();
        }
        recount_visits(&*store, true, SMALL, UNWATCHED).await.unwrap();
        assert_right(&store, &all).await;
        assert_eq!(other.record_kpi(&all).await.unwrap(), 0, "{damage}");
        assert_right(&other, &all).await;
    }
}

/// However early a rebuild ends, what it has corrected is right, and the next one makes the rest.
#[tokio::test]
async fn a_rebuild_that_is_cancelled_is_completed_by_the_next() {
    let events = events(0..400);
    for calls in 0..60 {
        let folder = damaged(DAMAGES[calls % DAMAGES.len()], &events).await;
        let store = open(&folder).await;
        // The last of the writes never ends, so that the rebuild stands when it is dropped.
        let idle = (0..calls).map(|_| -> Disturbance { Box::new(|_| Box::pin(async { Ok(()) })) });
        let stands: Disturbance = Box::new(|_| Box::pin(std::future::pending()));
        let disturbed = DisturbedStore::new(Arc::clone(&store), idle.chain([stands]));
        let rebuild = recount_visits(&disturbed, true, SMALL, UNWATCHED);
        let stands = async {
            while disturbed.left() > 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            _ = rebuild => {}
            () = stands => {}
        }
        assert_eq!(store.record_kpi(&events).await.unwrap(), 0, "after {calls} calls");
        recount_visits(&*store, true, SMALL, UNWATCHED).await.unwrap();
        assert_right(&store, &events).await;
        assert_eq!(store.record_kpi(&events).await.unwrap(), 0, "after {calls} calls");
    }
}
