//! The ledger state machine on every backend: the same random histories give the same outcomes, rows
//! and sums in memory, in SQLite, in Postgres and in Redis over either.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use simops::clock::day_of;
use simops::store::RunStore;
use simops::testing::{Counting, History, ManualClock, MemoryStore, replay};
use simops::usage::TieredCounter;
use simops::usage::{CounterEpochStore, DayTotals, Lease, NanoUsd, UsageCounter, UsageRow};
use simops::{Clock, Result, SystemClock};
use simops_postgres::PostgresStore;
use simops_sqlite::SqliteStore;
use simops_tests::postgres::PostgresServer;
use simops_tests::redis::RedisServer;
use tempfile::TempDir;
use uuid::Uuid;

const STEPS: usize = 150;
const SEEDS: std::ops::Range<u64> = 1..4;

fn store<S: RunStore + 'static>(store: S) -> Counting {
    let store = Arc::new(store);
    Counting { counter: Arc::clone(&store) as _, store }
}

async fn sqlite(dir: &TempDir, name: &str) -> SqliteStore {
    let path = dir.path().join(name);
    SqliteStore::open(&format!("sqlite://{}", path.display())).await.unwrap()
}

async fn redis_over<S: RunStore + 'static>(
    store: S,
    redis: &RedisServer,
    clock: &Arc<ManualClock>,
) -> Counting {
    let store = Arc::new(store);
    let counter = TieredCounter::start(store.clone(), &redis.url(), clock.clone()).await.unwrap();
    assert_eq!(counter.health().backend, "redis");
    Counting { counter: Arc::new(counter), store }
}

/// A random history; two of three with budgets.
fn history(seed: u64, start: Timestamp) -> History {
    let history = History::new(seed, start);
    if seed % 2 == 1 { history.with_budgets() } else { history }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_histories_are_equal_on_every_backend() {
    let dir = tempfile::tempdir().unwrap();
    let redis = RedisServer::start(dir.path()).await;
    for seed in SEEDS {
        let (one, two) = (PostgresServer::shared().database(), PostgresServer::shared().database());
        let start = Timestamp::now();
        let clock = Arc::new(ManualClock::at(start));
        let history = history(seed, start).with_clock(clock.clone());
        // Redis counts under the budgets that it finds.
        let under_redis = sqlite(&dir, &format!("{seed}-redis.db")).await;
        let under_redis_too = PostgresStore::open(&two.url()).await.unwrap();
        history.define_budgets(&under_redis).await.unwrap();
        history.define_budgets(&under_redis_too).await.unwrap();
        let counters = [
            ("memory", store(MemoryStore::new())),
            ("sqlite", store(sqlite(&dir, &format!("{seed}.db")).await)),
            ("postgres", store(PostgresStore::open(&one.url()).await.unwrap())),
            ("redis over sqlite", redis_over(under_redis, &redis, &clock).await),
            ("redis over postgres", redis_over(under_redis_too, &redis, &clock).await),
        ];
        for (_, counting) in &counters[..3] {
            history.define_budgets(&*counting.store).await.unwrap();
        }
        replay(history, STEPS, &counters)
            .await
            .unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        for (name, counting) in &counters[3..] {
            assert_eq!(counting.counter.health().backend, "redis", "{name} never fell back");
        }
    }
}

/// With the steps that only stores take: rows recorded in one call, and transferred leases.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_histories_of_stores_are_equal() {
    let dir = tempfile::tempdir().unwrap();
    for seed in SEEDS {
        let database = PostgresServer::shared().database();
        let stores = [
            ("memory", store(MemoryStore::new())),
            ("sqlite", store(sqlite(&dir, &format!("{seed}.db")).await)),
            ("postgres", store(PostgresStore::open(&database.url()).await.unwrap())),
        ];
        let history = history(seed, Timestamp::now()).of_a_store();
        for (_, counting) in &stores {
            history.define_budgets(&*counting.store).await.unwrap();
        }
        replay(history, STEPS, &stores)
            .await
            .unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }
}

/// A rebuilt Redis has forgotten which calls have settled. The ledger knows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_reservation_counts_once_after_redis_was_rebuilt() -> Result<()> {
    let dir = tempfile::tempdir().unwrap();
    let mut redis = RedisServer::start(dir.path()).await;
    let store = Arc::new(sqlite(&dir, "simops.db").await);
    let counter = TieredCounter::start(store.clone(), &redis.url(), Arc::new(SystemClock)).await?;
    let now = SystemClock.now();
    let lease = Lease {
        id: Uuid::now_v7(),
        day: day_of(now),
        run_id: None,
        agent_id: None,
        checkpoint: None,
        provider: "groq".to_owned(),
        model: "m".to_owned(),
        upper_bound: NanoUsd(9),
        priced: true,
        created_at: now,
        expires_at: now + Duration::from_secs(60),
        input_tokens: 10,
        output_tokens: 5,
    };
    counter.reserve(&lease, &simops::usage::Caps::default()).await?;
    let row = UsageRow { success: true, error_type: None, ..lease.expired(now) };
    counter.settle(&row).await?;
    let before = store.counter_epoch().await?.generation;
    redis.kill().await;
    redis.restart_empty().await;
    simops_tests::eventually("Redis is rebuilt", async || {
        let epoch = store.counter_epoch().await.unwrap();
        (epoch.generation > before && counter.health().backend == "redis").then_some(())
    })
    .await;
    counter.reserve(&lease, &simops::usage::Caps::default()).await?;
    let day = counter.day_use(lease.day).await?;
    assert_eq!((day.settled.calls_total, day.reserved), (1, DayTotals::default()));
    Ok(())
}
