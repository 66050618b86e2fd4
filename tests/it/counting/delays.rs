//! The counter in Redis over a database whose calls take any time, before and after they take effect.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;
use simops::recount::RecountExt;
use simops::usage::{
    Admission, BudgetStore, BudgetUse, Budgets, Caps, CounterClient, CounterEpoch,
    CounterEpochStore, CounterStatus, DayUse, Lease, TieredCounter, UsageCounter, UsageRow, UseKey,
};
use simops::{Result, SystemClock, async_trait};
use simops_sqlite::SqliteStore;
use simops_tests::eventually;
use simops_tests::redis::RedisServer;
use tokio::sync::Notify;
use uuid::Uuid;

use super::open;
use super::scene::{admitted, in_redis, lease, row};

const CAP: i64 = 120;

fn caps() -> Caps {
    Caps { total: Some(CAP), ..Caps::default() }
}

/// A store whose answers come late.
struct Late {
    store: Arc<SqliteStore>,
    /// Delays are random below this, in milliseconds.
    most: u64,
    random: AtomicU64,
    /// While set, heartbeats take effect and are not answered.
    holds: AtomicBool,
    held: Notify,
    released: Notify,
}

impl Late {
    fn new(store: Arc<SqliteStore>, most: u64, seed: u64) -> Arc<Self> {
        let (random, holds) = (AtomicU64::new(seed), AtomicBool::new(false));
        let (held, released) = (Notify::new(), Notify::new());
        Arc::new(Self { store, most, random, holds, held, released })
    }

    async fn pause(&self) {
        let next = |x: u64| Some(x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442));
        let x =
            self.random.fetch_update(Ordering::SeqCst, Ordering::SeqCst, next).unwrap_or(0) >> 33;
        if self.most > 0 {
            tokio::time::sleep(Duration::from_millis(x % self.most)).await;
        }
    }

    async fn late<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
        self.pause().await;
        let result = call.await;
        self.pause().await;
        result
    }
}

#[async_trait]
impl UsageCounter for Late {
    async fn reserve(&self, lease: &Lease, caps: &Caps) -> Result<Admission> {
        self.late(self.store.reserve(lease, caps)).await
    }

    async fn settle(&self, row: &UsageRow) -> Result<()> {
        self.late(self.store.settle(row)).await
    }

    async fn release(&self, lease_id: Uuid) -> Result<()> {
        self.late(self.store.release(lease_id)).await
    }

    async fn expire(&self, now: Timestamp) -> Result<u64> {
        self.late(self.store.expire(now)).await
    }

    async fn day_use(&self, day: Date) -> Result<DayUse> {
        self.late(self.store.day_use(day)).await
    }

    async fn budget_uses(&self, keys: &[UseKey]) -> Result<BTreeMap<UseKey, BudgetUse>> {
        self.late(self.store.budget_uses(keys)).await
    }

    fn health(&self) -> CounterStatus {
        self.store.health()
    }
}

#[async_trait]
impl BudgetStore for Late {
    async fn budgets(&self) -> Result<Budgets> {
        self.late(self.store.budgets()).await
    }

    async fn groups_of_runs(&self, run_ids: &[String]) -> Result<BTreeMap<String, String>> {
        self.late(self.store.groups_of_runs(run_ids)).await
    }

    async fn largest_uses(
        &self,
        budget: &str,
        periods: &[String],
        limit: usize,
    ) -> Result<(Vec<(UseKey, BudgetUse)>, i64)> {
        self.late(self.store.largest_uses(budget, periods, limit)).await
    }

    async fn mark_counted(&self, budget: &str, defined: u64) -> Result<()> {
        self.late(self.store.mark_counted(budget, defined)).await
    }
}

#[async_trait]
impl CounterEpochStore for Late {
    async fn counter_epoch(&self) -> Result<CounterEpoch> {
        self.late(self.store.counter_epoch()).await
    }

    async fn advance_counter_epoch(&self, from: u64, to: &CounterEpoch) -> Result<bool> {
        self.late(self.store.advance_counter_epoch(from, to)).await
    }

    async fn heartbeat(&self, client: &CounterClient, open: &[Lease]) -> Result<CounterEpoch> {
        let epoch = self.late(self.store.heartbeat(client, open)).await;
        if self.holds.load(Ordering::SeqCst) {
            let released = self.released.notified();
            self.held.notify_one();
            released.await;
        }
        epoch
    }

    async fn remove_counter_client(&self, id: Uuid) -> Result<()> {
        self.late(self.store.remove_counter_client(id)).await
    }

    async fn counter_clients(&self) -> Result<Vec<CounterClient>> {
        self.late(self.store.counter_clients()).await
    }

    async fn open_leases(&self) -> Result<Vec<Lease>> {
        self.late(self.store.open_leases()).await
    }

    async fn settled_row(&self, id: Uuid) -> Result<Option<UsageRow>> {
        self.late(self.store.settled_row(id)).await
    }
}

async fn counter(store: &Arc<Late>, redis: &RedisServer) -> Arc<TieredCounter> {
    let clock = Arc::new(SystemClock);
    let started = TieredCounter::start(Arc::clone(store) as _, &redis.url(), clock).await;
    Arc::new(started.unwrap())
}

/// Ends a lease that may be open, however often that takes.
async fn release(counter: &TieredCounter, lease: &Lease) {
    while counter.release(lease.id).await.is_err() {}
}

/// Reserves `calls` at once; the leases that were admitted.
async fn reserve(counter: &Arc<TieredCounter>, calls: usize) -> Vec<Lease> {
    let reserve = |_| {
        let counter = Arc::clone(counter);
        tokio::spawn(async move {
            let lease = lease(1);
            match counter.reserve(&lease, &caps()).await {
                Ok(verdict) => admitted(Ok(verdict)).then_some(lease),
                Err(_) => {
                    release(&counter, &lease).await;
                    None
                }
            }
        })
    };
    let calls: Vec<_> = (0..calls).map(reserve).collect();
    let mut leases = Vec::new();
    for call in calls {
        leases.extend(call.await.unwrap());
    }
    leases
}

/// A smaller allotment is stored, its answer is late, and Redis dies: the process has admitted no more
/// than the database counts for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_smaller_allotment_binds_before_it_is_announced() {
    let dir = tempfile::tempdir().unwrap();
    let (store, mut redis) = (open(&dir).await.unwrap(), RedisServer::start(dir.path()).await);
    let (late, prompt) = (Late::new(store.clone(), 0, 1), Late::new(store.clone(), 0, 2));
    let (here, there) = (counter(&late, &redis).await, counter(&prompt, &redis).await);
    let burst = reserve(&here, 100).await;
    assert_eq!(burst.len(), 100);
    for lease in &burst {
        here.release(lease.id).await.unwrap();
    }
    // The allotment of the burst is still confirmed; the heartbeat after the next shrinks it.
    late.holds.store(true, Ordering::SeqCst);
    for _ in 0..2 {
        late.held.notified().await;
        late.released.notify_waiters();
    }
    late.held.notified().await;
    let waiting = tokio::spawn({
        let here = Arc::clone(&here);
        async move { reserve(&here, 100).await }
    });
    // Those that fit its allotment are admitted at once.
    eventually("some are admitted", async || {
        let reserved = there.day_use(burst[0].day).await.unwrap().reserved.calls_total;
        Some(reserved).filter(|reserved| *reserved > 0)
    })
    .await;
    redis.kill().await;
    let mut admitted = 0;
    while admitted < 2 * CAP as usize {
        let leases = reserve(&there, 20).await;
        if leases.is_empty() {
            break;
        }
        admitted += leases.len();
    }
    late.holds.store(false, Ordering::SeqCst);
    late.released.notify_waiters();
    admitted += waiting.await.unwrap().len();
    assert!(admitted as i64 <= CAP, "{admitted} of {CAP} calls");
    assert!(admitted as i64 >= CAP - 32, "{admitted} of {CAP} calls");
}

/// Random delays at every call of the database, in two processes, while Redis dies and comes back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_cap_is_crossed_whenever_the_database_answers() {
    for seed in 1..4 {
        let dir = tempfile::tempdir().unwrap();
        let (store, mut redis) = (open(&dir).await.unwrap(), RedisServer::start(dir.path()).await);
        let late = [Late::new(store.clone(), 40, seed), Late::new(store.clone(), 40, 100 + seed)];
        let here = counter(&late[0], &redis).await;
        let there = counter(&late[1], &redis).await;
        let spend = |counter: &Arc<TieredCounter>| {
            let counter = Arc::clone(counter);
            tokio::spawn(async move {
                loop {
                    let leases = reserve(&counter, 10).await;
                    // Some are released, the others are made; of one that is left, that one.
                    for (number, lease) in leases.iter().enumerate() {
                        if number % 3 == 2 {
                            release(&counter, lease).await;
                        } else {
                            while counter.settle(&row(lease)).await.is_err() {}
                        }
                    }
                    let probe = lease(1);
                    match counter.reserve(&probe, &caps()).await {
                        Ok(Admission::Refused { in_flight: false, .. }) => return,
                        _ => release(&counter, &probe).await,
                    }
                }
            })
        };
        let spenders = [spend(&here), spend(&there)];
        let settled = async |calls: i64| {
            eventually("calls are settled", async || {
                let used = store.day_use(lease(1).day).await.unwrap().settled.calls_total;
                Some(used).filter(|used| *used >= calls)
            })
            .await;
        };
        settled(20).await;
        redis.kill().await;
        settled(60).await;
        redis.restart_empty().await;
        for spender in spenders {
            spender.await.unwrap();
        }
        let recount = store.recount().await.unwrap();
        assert_eq!(recount.differences(), []);
        assert_eq!(recount.rows, CAP, "seed {seed}");
        eventually("Redis counts again", async || {
            Some(in_redis(&here.health())).filter(|counts| *counts)
        })
        .await;
    }
}
