//! Each way in which Redis can fail, one by one: the run continues, and the status says since when and why.

use std::time::Duration;

use simops::recount::RecountExt;
use simops::store::UsageStore;
use simops::usage::{Caps, CounterBackend, CounterEpochStore, DayTotals, NanoUsd, UsageCounter};
use simops::{Clock, SystemClock};
use simops_tests::eventually;
use simops_tests::redis::RedisServer;

use super::scene::{admitted, in_redis, lease, row, three, two_open_leases_survive};
use super::{open, tiered};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_and_restarted_empty() {
    two_open_leases_survive(
        RedisServer::start,
        async |redis| redis.kill().await,
        async |redis| redis.restart_empty().await,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restarted_with_an_older_state() {
    two_open_leases_survive(
        RedisServer::start,
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
    two_open_leases_survive(
        RedisServer::start,
        async |redis| drop(redis.command(&["FLUSHALL"]).await),
        async |_| {},
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_key_evicted() {
    two_open_leases_survive(
        RedisServer::start,
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
        RedisServer::start,
        async |redis| redis.signal("STOP").await,
        async |redis| redis.signal("CONT").await,
    )
    .await;
}

/// The script of another client does not end; ours wait behind it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn busy_with_a_script() {
    two_open_leases_survive(
        RedisServer::start,
        async |redis| {
            redis.command(&["CONFIG", "SET", "busy-reply-threshold", "100"]).await;
            redis.send(&["EVAL", "while true do end", "0"]);
        },
        async |redis| drop(redis.command(&["SCRIPT", "KILL"]).await),
    )
    .await;
}

/// A replica holds an older state and is not to be written; a new master is another server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_over() {
    two_open_leases_survive(
        RedisServer::start,
        async |redis| drop(redis.command(&["REPLICAOF", "127.0.0.1", "1"]).await),
        async |redis| drop(redis.command(&["REPLICAOF", "NO", "ONE"]).await),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closed_connections_are_replaced_without_falling_back() {
    let dir = tempfile::tempdir().unwrap();
    let redis = RedisServer::start(dir.path()).await;
    let (counter, store) = tiered(&dir, &redis.url()).await.unwrap();
    let generation = store.counter_epoch().await.unwrap().generation;
    assert!(admitted(counter.reserve(&lease(1), &three()).await));
    redis.command(&["CLIENT", "KILL", "TYPE", "normal"]).await;
    assert!(admitted(counter.reserve(&lease(1), &three()).await));
    assert_eq!(store.counter_epoch().await.unwrap().generation, generation);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unavailable_from_the_beginning() {
    let dir = tempfile::tempdir().unwrap();
    let mut redis = RedisServer::start(dir.path()).await;
    redis.kill().await;
    let (counter, _store) = tiered(&dir, &redis.url()).await.unwrap();
    let health = counter.health();
    assert!(health.degraded && health.since.is_some() && health.backend == "sqlite");
    assert!(health.last_error.unwrap().contains("refuses connections"));
    assert!(admitted(counter.reserve(&lease(1), &three()).await));
    redis.restart().await;
    eventually("Redis counts", async || Some(in_redis(&counter.health())).filter(|counts| *counts))
        .await;
}

/// Leases that only Redis knows outlive the process that took them, and expire into rows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leases_survive_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let redis = RedisServer::start(dir.path()).await;
    let (before, _) = tiered(&dir, &redis.url()).await.unwrap();
    let open_lease = lease(9);
    assert!(admitted(before.reserve(&open_lease, &three()).await));
    drop(before);
    let (after, store) = tiered(&dir, &redis.url()).await.unwrap();
    assert_eq!(after.day_use(open_lease.day).await.unwrap().reserved.cost, NanoUsd(9));
    let later = SystemClock.now() + Duration::from_secs(61);
    assert_eq!(after.expire(later).await.unwrap(), 1);
    assert_eq!(store.day_totals(open_lease.day).await.unwrap().cost, NanoUsd(9));
    assert_eq!(after.day_use(open_lease.day).await.unwrap().reserved, DayTotals::default());
}

/// A process without Redis does not count while others count in Redis.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_process_counts_in_the_database_while_others_use_redis() {
    let dir = tempfile::tempdir().unwrap();
    let redis = RedisServer::start(dir.path()).await;
    let (counter, _store) = tiered(&dir, &redis.url()).await.unwrap();
    let other = open(&dir).await.unwrap();
    let refused = other.reserve(&lease(1), &three()).await.unwrap_err();
    assert!(refused.detail().contains("REDIS_URL"));
    assert!(admitted(counter.reserve(&lease(1), &three()).await));
}

/// While one process rebuilds Redis, a call of another ends: Redis is updated before the lease expires.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_a_call_that_redis_missed_is_sent_once_it_counts() {
    let dir = tempfile::tempdir().unwrap();
    let mut redis = RedisServer::start(dir.path()).await;
    let (here, store) = tiered(&dir, &redis.url()).await.unwrap();
    let (there, _) = tiered(&dir, &redis.url()).await.unwrap();
    for round in 0..4 {
        let one = lease(1);
        let another = lease(1);
        assert!(admitted(here.reserve(&one, &Caps::default()).await));
        assert!(admitted(there.reserve(&another, &Caps::default()).await));
        redis.kill().await;
        redis.restart_empty().await;
        for backend in [CounterBackend::Database, CounterBackend::Redis] {
            // At once: most likely one of the two does not know it yet.
            while store.counter_epoch().await.unwrap().backend != backend {
                tokio::task::yield_now().await;
            }
        }
        if round % 2 == 0 {
            here.settle(&row(&one)).await.unwrap();
            there.settle(&row(&another)).await.unwrap();
        } else {
            here.release(one.id).await.unwrap();
            there.release(another.id).await.unwrap();
        }
        eventually("nothing is reserved", async || {
            let counted = here.day_use(one.day).await.unwrap();
            (in_redis(&here.health()) && counted.reserved == DayTotals::default()).then_some(())
        })
        .await;
    }
    assert_eq!(store.recount().await.unwrap().rows, 4);
}
