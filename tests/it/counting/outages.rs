//! Each way in which Redis can fail, one by one: the run goes on, and says since when and why.

use std::time::Duration;

use simops::clock::day_of;
use simops::store::UsageStore;
use simops::usage::{
    Admission, Caps, Counter, DayTotals, FenceStore, Lease, NanoUsd, UsageCounter, UsageRow,
};
use simops::{Clock, SystemClock};
use simops_tests::eventually;
use simops_tests::redis::RedisServer;
use uuid::Uuid;

use super::{open, tiered};

const SOON: Duration = Duration::from_secs(20);

fn lease(cost: i64) -> Lease {
    let now = SystemClock.now();
    Lease {
        id: Uuid::now_v7(),
        day: day_of(now),
        run_id: None,
        agent_id: None,
        checkpoint: None,
        provider: "groq".to_owned(),
        model: "m".to_owned(),
        upper_bound: NanoUsd(cost),
        priced: true,
        created_at: now,
        expires_at: now + Duration::from_secs(60),
    }
}

fn row(lease: &Lease) -> UsageRow {
    UsageRow { success: true, error_type: None, ..lease.expired(SystemClock.now()) }
}

fn three() -> Caps {
    Caps { total: Some(3), ..Caps::default() }
}

fn admitted(verdict: simops::Result<Admission>) -> bool {
    matches!(verdict.unwrap(), Admission::Admitted { .. })
}

fn in_redis(health: &Counter) -> bool {
    health.backend == "redis" && !health.degraded
}

/// Two open leases of two processes, then the failure: one more call may be made, and no fourth.
async fn two_open_leases_survive(
    fail: impl AsyncFn(&mut RedisServer),
    recover: impl AsyncFn(&mut RedisServer),
) {
    let dir = tempfile::tempdir().unwrap();
    let mut redis = RedisServer::start(dir.path()).await;
    let (here, store) = tiered(&dir, &redis).await.unwrap();
    let (there, _) = tiered(&dir, &redis).await.unwrap();
    assert!(in_redis(&here.health()) && in_redis(&there.health()));
    let (first, second, third) = (lease(5), lease(7), lease(11));
    assert!(admitted(here.reserve(&first, &three()).await));
    assert!(admitted(there.reserve(&second, &three()).await));

    fail(&mut redis).await;
    // The other process may not have noticed yet: what it promised counts until it has.
    eventually("the third call is made", SOON, async || {
        Some(admitted(here.reserve(&third, &three()).await)).filter(|admitted| *admitted)
    })
    .await;
    for counter in [&here, &there] {
        let fourth = counter.reserve(&lease(1), &three()).await.unwrap();
        assert!(matches!(fourth, Admission::Refused { in_flight: true, .. }), "{fourth:?}");
    }
    recover(&mut redis).await;
    eventually("Redis counts again", SOON, async || {
        Some(in_redis(&here.health()) && in_redis(&there.health())).filter(|counts| *counts)
    })
    .await;
    let fourth = there.reserve(&lease(1), &three()).await.unwrap();
    assert!(matches!(fourth, Admission::Refused { in_flight: true, .. }), "{fourth:?}");
    for (counter, lease) in [(&here, &first), (&there, &second), (&here, &third)] {
        counter.settle(&row(lease)).await.unwrap();
    }
    let spent = here.reserve(&lease(1), &three()).await.unwrap();
    assert!(matches!(spent, Admission::Refused { in_flight: false, .. }), "{spent:?}");
    let counted = there.day_use(first.day).await.unwrap();
    assert_eq!(counted.reserved, DayTotals::default());
    assert_eq!((counted.settled.calls_total, counted.settled.cost), (3, NanoUsd(23)));
    assert_eq!(store.recount().await.unwrap().differences(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_and_restarted_empty() {
    two_open_leases_survive(
        async |redis| redis.kill().await,
        async |redis| redis.restart_empty().await,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restarted_with_an_older_state() {
    two_open_leases_survive(
        async |redis| {
            redis.command(&["SAVE"]).await;
            redis.restart().await;
        },
        async |_| {},
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flushed() {
    two_open_leases_survive(async |redis| drop(redis.command(&["FLUSHALL"]).await), async |_| {})
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_key_evicted() {
    two_open_leases_survive(
        async |redis| {
            let keys = redis.command(&["KEYS", "*leases"]).await;
            redis.command(&["DEL", keys.trim()]).await;
        },
        async |_| {},
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hung() {
    two_open_leases_survive(
        async |redis| redis.signal("STOP").await,
        async |redis| redis.signal("CONT").await,
    )
    .await;
}

/// A replica holds an older state and is not to be written; a new master is another server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_over() {
    two_open_leases_survive(
        async |redis| drop(redis.command(&["REPLICAOF", "127.0.0.1", "1"]).await),
        async |redis| drop(redis.command(&["REPLICAOF", "NO", "ONE"]).await),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_off_connections_are_made_anew_without_falling_back() {
    let dir = tempfile::tempdir().unwrap();
    let redis = RedisServer::start(dir.path()).await;
    let (counter, store) = tiered(&dir, &redis).await.unwrap();
    let generation = store.fence().await.unwrap().generation;
    assert!(admitted(counter.reserve(&lease(1), &three()).await));
    redis.command(&["CLIENT", "KILL", "TYPE", "normal"]).await;
    assert!(admitted(counter.reserve(&lease(1), &three()).await));
    assert_eq!(store.fence().await.unwrap().generation, generation);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn away_from_the_beginning() {
    let dir = tempfile::tempdir().unwrap();
    let mut redis = RedisServer::start(dir.path()).await;
    redis.kill().await;
    let (counter, _store) = tiered(&dir, &redis).await.unwrap();
    let health = counter.health();
    assert!(health.degraded && health.since.is_some() && health.backend == "sqlite");
    assert!(health.last_error.unwrap().contains("refuses connections"));
    assert!(admitted(counter.reserve(&lease(1), &three()).await));
    redis.restart().await;
    eventually("Redis counts", SOON, async || {
        Some(in_redis(&counter.health())).filter(|counts| *counts)
    })
    .await;
}

/// Leases that only Redis knows outlive the process that took them, and expire into rows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leases_survive_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let redis = RedisServer::start(dir.path()).await;
    let (before, _) = tiered(&dir, &redis).await.unwrap();
    let open_lease = lease(9);
    assert!(admitted(before.reserve(&open_lease, &three()).await));
    drop(before);
    let (after, store) = tiered(&dir, &redis).await.unwrap();
    assert_eq!(after.day_use(open_lease.day).await.unwrap().reserved.cost, NanoUsd(9));
    let later = SystemClock.now() + Duration::from_secs(61);
    assert_eq!(after.expire(later).await.unwrap(), 1);
    assert_eq!(store.day_totals(open_lease.day).await.unwrap().cost, NanoUsd(9));
    assert_eq!(after.day_use(open_lease.day).await.unwrap().reserved, DayTotals::default());
}

/// A process without Redis does not count beside those that have it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_counts_beside_redis() {
    let dir = tempfile::tempdir().unwrap();
    let redis = RedisServer::start(dir.path()).await;
    let (counter, _store) = tiered(&dir, &redis).await.unwrap();
    let other = open(&dir).await.unwrap();
    let refused = other.reserve(&lease(1), &three()).await.unwrap_err();
    assert!(refused.detail().contains("REDIS_URL"));
    assert!(admitted(counter.reserve(&lease(1), &three()).await));
}
