//! Four processes of 64 tasks spend one budget: all of it, and not a call more.

use std::process::Stdio;
use std::time::Duration;

use simops::clock::day_of;
use simops::recount::RecountExt;
use simops::store::{UsageFilter, UsageStore};
use simops::usage::{DayTotals, UsageCounter};
use simops::{Clock, SystemClock};
use simops_sqlite::SqliteStore;
use simops_tests::redis::RedisServer;
use simops_tests::{eventually, program};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::{open, tiered};

const RACERS: u32 = 4;
const CALLS: i64 = 1_000;
const NANOS: i64 = 30_000;
/// The maximum cost of a call of the racers.
const MAX_COST: i64 = 100;
const LIMIT: Duration = Duration::from_secs(120);

/// Seconds that no call takes, even on a busy machine.
const LONG: u32 = 90;

pub(super) fn race(dir: &TempDir, redis: &str, kind: &str, cap: i64) -> Vec<Child> {
    race_with_leases_of(LONG, dir, redis, kind, cap)
}

pub(super) fn race_with_leases_of(
    seconds: u32,
    dir: &TempDir,
    redis: &str,
    kind: &str,
    cap: i64,
) -> Vec<Child> {
    let database = format!("sqlite://{}", dir.path().join("simops.db").display());
    let racer = |seed: u32| {
        let mut command = Command::new(program("simops-racer"));
        command.args([&database, redis, kind, &cap.to_string()]);
        command.args([seconds.to_string(), seed.to_string()]);
        command.stdout(Stdio::piped()).kill_on_drop(true).spawn().expect("a racer starts")
    };
    (0..RACERS).map(racer).collect()
}

/// Waits for the racers; how many calls they settled.
pub(super) async fn finished(racers: Vec<Child>) -> i64 {
    let mut settled = 0;
    for racer in racers {
        let output = tokio::time::timeout(LIMIT, racer.wait_with_output()).await;
        let output = output.expect("a racer ends").unwrap();
        assert!(output.status.success());
        settled += String::from_utf8(output.stdout).unwrap().trim().parse::<i64>().unwrap();
    }
    settled
}

async fn used(store: &SqliteStore) -> DayTotals {
    store.day_totals(day_of(SystemClock.now())).await.unwrap()
}

/// Until the race is well under way.
pub(super) async fn under_way(store: &SqliteStore, calls: i64) {
    eventually("the race is under way", async || {
        Some(used(store).await.calls_total).filter(|settled| *settled >= calls)
    })
    .await;
}

async fn all_calls_and_not_one_more(store: &SqliteStore, settled: i64) {
    let recount = store.recount().await.unwrap();
    assert_eq!(recount.differences(), []);
    assert_eq!((used(store).await.calls_total, settled), (CALLS, CALLS));
    assert_eq!((recount.rows, recount.leases), (CALLS, 0));
}

async fn all_money_and_no_more(store: &SqliteStore, settled: i64) {
    let (used, recount) = (used(store).await, store.recount().await.unwrap());
    assert_eq!(recount.differences(), []);
    let rows = store.usage_rows(&UsageFilter::default(), 5_000).await.unwrap().items;
    let failed: Vec<_> = rows.iter().filter_map(|row| row.error_type.as_deref()).collect();
    assert_eq!(failed, [""; 0], "no lease expired");
    assert_eq!((recount.rows, recount.leases), (settled, 0));
    let left = NANOS - used.cost.0;
    assert!((0..MAX_COST).contains(&left), "{left} nano-dollars are left");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_in_the_database() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir).await.unwrap();
    let settled = finished(race(&dir, "-", "calls", CALLS)).await;
    all_calls_and_not_one_more(&store, settled).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dollars_in_the_database() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir).await.unwrap();
    let settled = finished(race(&dir, "-", "dollars", NANOS)).await;
    all_money_and_no_more(&store, settled).await;
}

/// A process that dies leaves leases; they expire into rows, and the cap is spent all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_in_the_database_while_a_process_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir).await.unwrap();
    let mut racers = race_with_leases_of(10, &dir, "-", "calls", CALLS);
    under_way(&store, 100).await;
    racers.pop().unwrap().kill().await.unwrap();
    finished(racers).await;
    let recount = store.recount().await.unwrap();
    assert_eq!(recount.differences(), []);
    assert_eq!((recount.rows, recount.leases), (CALLS, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_in_redis() {
    let dir = tempfile::tempdir().unwrap();
    let (store, redis) = (open(&dir).await.unwrap(), RedisServer::start(dir.path()).await);
    let settled = finished(race(&dir, &redis.url(), "calls", CALLS)).await;
    all_calls_and_not_one_more(&store, settled).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_while_redis_is_killed_and_restarted() {
    let dir = tempfile::tempdir().unwrap();
    let (store, mut redis) = (open(&dir).await.unwrap(), RedisServer::start(dir.path()).await);
    let racers = race(&dir, &redis.url(), "calls", CALLS);
    under_way(&store, 100).await;
    redis.kill().await;
    under_way(&store, 400).await;
    redis.restart_empty().await;
    let settled = finished(racers).await;
    all_calls_and_not_one_more(&store, settled).await;
    in_redis_again(&dir, &redis).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dollars_while_redis_is_flushed_cut_hung_and_put_back() {
    let dir = tempfile::tempdir().unwrap();
    let (store, mut redis) = (open(&dir).await.unwrap(), RedisServer::start(dir.path()).await);
    let racers = race(&dir, &redis.url(), "dollars", NANOS);
    under_way(&store, 50).await;
    redis.command(&["SAVE"]).await;
    under_way(&store, 100).await;
    redis.command(&["CLIENT", "KILL", "TYPE", "normal"]).await;
    under_way(&store, 150).await;
    redis.command(&["FLUSHALL"]).await;
    under_way(&store, 250).await;
    redis.signal("STOP").await;
    under_way(&store, 300).await;
    redis.signal("CONT").await;
    under_way(&store, 350).await;
    // With what it held when fifty calls were settled.
    redis.restart().await;
    let settled = finished(racers).await;
    all_money_and_no_more(&store, settled).await;
    in_redis_again(&dir, &redis).await;
}

/// A process that joins now counts in Redis, which holds what the ledger says.
async fn in_redis_again(dir: &TempDir, redis: &RedisServer) {
    let (counter, store) = tiered(dir, &redis.url()).await.unwrap();
    eventually("calls are counted in Redis again", async || {
        Some(counter.health()).filter(|health| health.backend == "redis" && !health.degraded)
    })
    .await;
    let counted = eventually("nothing is reserved", async || {
        let counted = counter.day_use(day_of(SystemClock.now())).await.unwrap();
        (counted.reserved == DayTotals::default()).then_some(counted)
    })
    .await;
    assert_eq!(counted.settled, used(&store).await);
}
