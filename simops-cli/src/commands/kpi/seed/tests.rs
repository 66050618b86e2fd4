//! Seeded visitors.

use std::sync::Arc;

use simops::control::Environment;
use simops::ops::{Ops, OpsOptions};
use simops::testing::ManualClock;
use simops_sqlite::SqliteStore;

use super::*;

const NOW: &str = "2026-03-20T23:59:59Z";

fn events(args: &SeedArgs, now: Timestamp) -> Vec<KpiEvent> {
    let mut events = Vec::new();
    for (day, visits) in plan(args, now).into_iter().rev() {
        visits.iter().for_each(|visit| visit.record(args, day, now, &mut events));
    }
    events
}

/// The use cases on an empty database, and their clock.
async fn ops(now: Timestamp) -> (Ops, Arc<ManualClock>) {
    let store = Arc::new(SqliteStore::open("sqlite::memory:").await.unwrap());
    let clock = Arc::new(ManualClock::at(now));
    let options = OpsOptions::of(Environment::Development);
    (Ops::new(store, Arc::clone(&clock) as _, options), clock)
}

/// The alerts that fire by now.
async fn firing(ops: &Ops) -> Vec<String> {
    let alerts = ops.kpi_rollups(1).await.unwrap().alerts;
    alerts.items.into_iter().map(|item| item.message).collect()
}

#[tokio::test]
async fn no_alert_fires_at_any_hour_of_any_seeded_day() {
    let now: Timestamp = NOW.parse().unwrap();
    for (visitors, seed) in [(45, 1), (120, 42), (400, 7)] {
        let args = SeedArgs { days: 30, visitors, seed, remove: false };
        let mut events = events(&args, now);
        events.sort_by_key(|event| event.occurred_at);
        let (ops, clock) = ops(now).await;
        let mut rest = &events[..];
        for hours in (1..24 * 21).rev().step_by(5) {
            let then = now - SignedDuration::from_hours(hours);
            clock.set(then);
            let (known, later) =
                rest.split_at(rest.partition_point(|event| event.occurred_at <= then));
            for batch in known.chunks(MAX_BATCH) {
                ops.system().record_kpi(batch).await.unwrap();
            }
            rest = later;
            assert_eq!(firing(&ops).await, [""; 0], "{visitors} visitors, {then}");
        }
    }
}

#[tokio::test]
async fn no_alert_fires_while_the_events_are_being_recorded() {
    let now: Timestamp = "2026-03-18T10:20:00Z".parse().unwrap();
    let args = SeedArgs { days: 20, visitors: 150, seed: 42, remove: false };
    let (ops, _) = ops(now).await;
    for batch in events(&args, now).chunks(211) {
        ops.system().record_kpi(batch).await.unwrap();
        assert_eq!(firing(&ops).await, [""; 0]);
    }
}

#[test]
fn a_day_has_the_same_events_whenever_it_is_seeded() {
    let args = |days| SeedArgs { days, visitors: 50, seed: 3, remove: false };
    let now: Timestamp = NOW.parse().unwrap();
    let (long, short) = (events(&args(30), now), events(&args(2), now));
    assert!(!short.is_empty());
    for event in &short {
        let same = long.iter().find(|other| other.uid == event.uid);
        assert_eq!(same.map(|event| event.occurred_at), Some(event.occurred_at));
    }
}
