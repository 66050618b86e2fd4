//! Recounts of visitors' events in pieces: what is wrong is corrected while others record, and events
//! whose transactions end in another order than they began are all counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use simops::kpi::{Days, Kind, KpiEvent};
use simops::recount::{Limits, RecountExt, UNWATCHED, recount_visits};
use simops::store::RunStore;
use simops::store::rules::Recounter;
use simops::testing::{Disturbance, DisturbedStore};
use simops_postgres::PostgresStore;
use simops_tests::postgres::{PostgresServer, TestDatabase};

const SMALL: Limits = Limits { piece: 40, visitor_days: 50, days: 4, corrections: 10 };

/// What a stranger may do to sums and steps.
const DAMAGES: [&str; 6] = [
    "UPDATE kpi_days SET sums[1] = sums[1] + 5, sums[28] = 7",
    "DELETE FROM kpi_days WHERE extract(day FROM day)::int % 2 = 0",
    "UPDATE kpi_steps SET steps = 8191 WHERE extract(day FROM day)::int % 2 = 0",
    "UPDATE kpi_steps SET steps = 1",
    "DELETE FROM kpi_steps WHERE extract(day FROM day)::int % 3 = 0",
    "INSERT INTO kpi_steps SELECT visitor, day + 1, 12 FROM kpi_steps ON CONFLICT DO NOTHING",
];

async fn open(database: &TestDatabase) -> Arc<dyn RunStore> {
    Arc::new(PostgresStore::open(&database.url()).await.unwrap())
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

async fn assert_right(store: &Arc<dyn RunStore>, events: &[KpiEvent]) {
    let found = store.recount_kpi().await.unwrap();
    assert_eq!((found.differences(), found.wrong_steps), (Vec::new(), 0));
    assert_eq!(store.kpi_days(Date::MIN, Date::MAX).await.unwrap(), definition(events));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_found_and_corrected_while_others_record() {
    let all = events(0..700);
    for damage in DAMAGES {
        let database = PostgresServer::shared().database();
        let (store, other) = (open(&database).await, open(&database).await);
        store.record_kpi(&all[..300]).await.unwrap();
        database.sql(damage);
        let found = recount_visits(&*store, false, SMALL, UNWATCHED).await.unwrap();
        assert!(!found.differences().is_empty() || found.wrong_steps > 0, "{damage}");
        assert_eq!(found.counted, definition(&all[..300]), "{damage}");

        let writes = all[300..].chunks(9).map(|batch| -> Disturbance {
            let batch = batch.to_vec();
            Box::new(move |store| Box::pin(async move { store.record_kpi(&batch).await.map(drop) }))
        });
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

/// Several handles record at the same time, so that transactions commit in another order than that of
/// the ids of their events.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recounts_are_exact_while_several_handles_record() {
    let database = PostgresServer::shared().database();
    let all = events(0..6_000);
    let stopped = Arc::new(AtomicBool::new(false));
    let mut writers = tokio::task::JoinSet::new();
    for part in all.chunks(2_000) {
        let (store, part) = (open(&database).await, part.to_vec());
        writers.spawn(async move {
            for batch in part.chunks(20) {
                store.record_kpi(batch).await.unwrap();
            }
        });
    }
    let (store, ended) = (open(&database).await, Arc::clone(&stopped));
    let recounts = tokio::spawn(async move {
        while !ended.load(Ordering::SeqCst) {
            let found = recount_visits(&*store, false, SMALL, UNWATCHED).await.unwrap();
            assert_eq!((found.differences(), found.wrong_steps), (Vec::new(), 0));
        }
        store
    });
    writers.join_all().await;
    stopped.store(true, Ordering::SeqCst);
    assert_right(&recounts.await.unwrap(), &all).await;
}
