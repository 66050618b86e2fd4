//! Three calls are allowed; two are open when Redis fails.

use std::path::Path;
use std::time::Duration;

use simops::clock::day_of;
use simops::recount::RecountExt;
use simops::usage::{
    Admission, Caps, CounterStatus, DayTotals, Lease, NanoUsd, UsageCounter, UsageRow,
};
use simops::{Clock, SystemClock};
use simops_tests::eventually;
use simops_tests::redis::{RedisCluster, RedisServer, WatchedRedis};
use uuid::Uuid;

use super::tiered;

pub(super) fn lease(cost: i64) -> Lease {
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
        input_tokens: 10,
        output_tokens: 5,
    }
}

pub(super) fn row(lease: &Lease) -> UsageRow {
    UsageRow { success: true, error_type: None, ..lease.expired(SystemClock.now()) }
}

pub(super) fn three() -> Caps {
    Caps { total: Some(3), ..Caps::default() }
}

pub(super) fn admitted(verdict: simops::Result<Admission>) -> bool {
    matches!(verdict.unwrap(), Admission::Admitted { .. })
}

pub(super) fn in_redis(health: &CounterStatus) -> bool {
    health.backend == "redis" && !health.degraded
}

/// What counters can be pointed at.
pub(super) trait Redis {
    fn url(&self) -> String;
}

impl Redis for RedisServer {
    fn url(&self) -> String {
        self.url()
    }
}

impl Redis for WatchedRedis {
    fn url(&self) -> String {
        self.url()
    }
}

impl Redis for RedisCluster {
    fn url(&self) -> String {
        self.url()
    }
}

/// Two open leases of two processes, then the failure: one more call may be made, and no fourth.
pub(super) async fn two_open_leases_survive<R: Redis>(
    start: impl AsyncFn(&Path) -> R,
    fail: impl AsyncFn(&mut R),
    recover: impl AsyncFn(&mut R),
) {
    let dir = tempfile::tempdir().unwrap();
    let mut redis = start(dir.path()).await;
    let url = redis.url();
    let (here, store) = tiered(&dir, &url).await.unwrap();
    let (there, _) = tiered(&dir, &url).await.unwrap();
    assert!(in_redis(&here.health()) && in_redis(&there.health()));
    let (first, second, third) = (lease(5), lease(7), lease(11));
    assert!(admitted(here.reserve(&first, &three()).await));
    assert!(admitted(there.reserve(&second, &three()).await));

    fail(&mut redis).await;
    // The other process may not have noticed yet: what it promised counts until it has.
    eventually("the third call is made", async || {
        Some(admitted(here.reserve(&third, &three()).await)).filter(|admitted| *admitted)
    })
    .await;
    for counter in [&here, &there] {
        let fourth = counter.reserve(&lease(1), &three()).await.unwrap();
        assert!(matches!(fourth, Admission::Refused { in_flight: true, .. }), "{fourth:?}");
    }
    recover(&mut redis).await;
    eventually("Redis counts again", async || {
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
    let counted = eventually("nothing is reserved", async || {
        let counted = there.day_use(first.day).await.unwrap();
        (counted.reserved == DayTotals::default()).then_some(counted)
    })
    .await;
    assert_eq!((counted.settled.calls_total, counted.settled.cost), (3, NanoUsd(23)));
    assert_eq!(store.recount().await.unwrap().differences(), []);
}
