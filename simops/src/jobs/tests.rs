//! Timers: one process at a time runs them, and another takes over when it dies.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::jobs::election::{LEASE_DURATION, release, renew, try_acquire};
use crate::jobs::{Timer, Timers};
use crate::store::{FencingToken, LeaderLease, LeaderLeaseStore, RunStore};
use crate::testing::{Fault, FaultyStore, MemoryStore};
use crate::{Error, Result, async_trait};
use proptest::prelude::*;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

const NAME: &str = "count";

struct Count {
    name: &'static str,
    runs: AtomicU64,
    fence: AtomicU64,
    call: Notify,
    fails: bool,
}

#[async_trait]
impl Timer for Count {
    fn name(&self) -> &'static str {
        self.name
    }

    async fn run(&self, token: &FencingToken) -> Result<Duration> {
        self.fence.store(token.fence, Ordering::SeqCst);
        let run = self.runs.fetch_add(1, Ordering::SeqCst);
        match (self.fails, run % 2) {
            (false, _) => Ok(Duration::from_secs(60)),
            (true, 0) => Err(Error::unavailable("on purpose")),
            (true, _) => panic!("on purpose"),
        }
    }

    async fn triggered(&self) {
        self.call.notified().await;
    }
}

impl Default for Count {
    fn default() -> Self {
        Self {
            name: NAME,
            runs: AtomicU64::new(0),
            fence: AtomicU64::new(0),
            call: Notify::new(),
            fails: false,
        }
    }
}

impl Count {
    fn runs(&self) -> u64 {
        self.runs.load(Ordering::SeqCst)
    }

    async fn until_runs(&self, runs: u64) {
        let reached = async {
            while self.runs() < runs {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(Duration::from_secs(120), reached).await.expect("the timer never ran so often");
    }
}

struct Process {
    count: Arc<Count>,
    end: Option<oneshot::Sender<()>>,
    task: tokio::task::JoinHandle<()>,
}

fn process(store: Arc<dyn RunStore>) -> Process {
    with(store, Count::default())
}

fn with(store: Arc<dyn RunStore>, count: Count) -> Process {
    let (end, ending) = oneshot::channel();
    let count = Arc::new(count);
    let timers = Timers::new(store).with(count.clone());
    let until = async { drop(ending.await) };
    Process { count, end: Some(end), task: tokio::spawn(timers.run(until)) }
}

#[tokio::test(start_paused = true)]
async fn of_several_processes_one_runs_the_timers() {
    let store = Arc::new(MemoryStore::new());
    let all: Vec<_> = (0..3).map(|_| process(store.clone())).collect();
    sleep(Duration::from_secs(30)).await;
    let ran: Vec<_> = all.iter().filter(|process| process.count.runs() > 0).collect();
    assert_eq!(ran.len(), 1);
    assert_eq!(ran[0].count.runs(), 1, "the next run is due after a minute");
    ran[0].count.call.notify_one();
    ran[0].count.until_runs(2).await;
}

#[tokio::test(start_paused = true)]
async fn a_process_with_few_timers_keeps_no_other_timer_from_running() {
    let store = Arc::new(MemoryStore::new());
    let first = process(store.clone());
    first.count.until_runs(1).await;
    let (both, other) = (Arc::new(Count::default()), Count { name: "other", ..Count::default() });
    let other = Arc::new(other);
    let timers = Timers::new(store).with(both.clone()).with(other.clone());
    tokio::spawn(timers.run(std::future::pending()));
    other.until_runs(2).await;
    assert_eq!(both.runs(), 0, "the first process runs it");
    first.task.abort();
    both.until_runs(1).await;
}

#[tokio::test(start_paused = true)]
async fn another_process_takes_over_within_fifteen_seconds_of_a_death() {
    let store = Arc::new(MemoryStore::new());
    let first = process(store.clone());
    first.count.until_runs(1).await;
    let second = process(store.clone());
    sleep(Duration::from_secs(33)).await;
    assert_eq!(second.count.runs(), 0);
    first.task.abort();
    let died = Instant::now();
    second.count.until_runs(1).await;
    let after = died.elapsed();
    assert!(after < Duration::from_secs(15), "{after:?}");
    assert_eq!(second.count.fence.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn a_process_that_shuts_down_hands_over_at_once() {
    let store = Arc::new(MemoryStore::new());
    let mut first = process(store.clone());
    first.count.until_runs(1).await;
    let second = process(store.clone());
    sleep(Duration::from_secs(5)).await;
    drop(first.end.take());
    first.task.await.unwrap();
    assert_eq!(store.leader_lease(NAME).await.unwrap().unwrap().holder, None);
    let ended = Instant::now();
    second.count.until_runs(1).await;
    assert!(ended.elapsed() < Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_cannot_reach_the_store_stops_before_another_may_begin() {
    let shared = Arc::new(MemoryStore::new());
    let cut = Arc::new(FaultyStore::new(shared.clone()));
    let first = process(cut.clone());
    first.count.until_runs(1).await;
    let second = process(shared);
    sleep(Duration::from_secs(3)).await;
    cut.fail(0..u64::MAX, Fault::Before);
    second.count.until_runs(1).await;
    let before = first.count.runs();
    for _ in 0..30 {
        first.count.call.notify_one();
        sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(first.count.runs(), before, "it ran on although another process held the lease");
    cut.recover();
    sleep(Duration::from_secs(30)).await;
    assert_eq!(first.count.runs(), before);
}

#[tokio::test(start_paused = true)]
async fn a_renewal_of_unknown_outcome_keeps_the_lease() {
    let shared = Arc::new(MemoryStore::new());
    let faulty = Arc::new(FaultyStore::new(shared.clone()));
    let process = process(faulty.clone());
    process.count.until_runs(1).await;
    for _ in 0..10 {
        let calls = faulty.calls();
        faulty.fail(calls..calls + 1, Fault::After);
        sleep(Duration::from_secs(4)).await;
    }
    assert_eq!(shared.leader_lease(NAME).await.unwrap().unwrap().fence, 1);
}

#[tokio::test(start_paused = true)]
async fn a_timer_that_fails_or_panics_runs_again() {
    let store = Arc::new(MemoryStore::new());
    let process = with(store, Count { fails: true, ..Count::default() });
    process.count.until_runs(5).await;
}

/// What one of several processes does next, after some time.
#[derive(Debug, Clone)]
enum Step {
    Poll(usize),
    Renew(usize),
    Release(usize),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..3_usize).prop_map(Step::Poll),
        (0..3_usize).prop_map(Step::Renew),
        (0..3_usize).prop_map(Step::Release),
        (0..6_000_u64).prop_map(Step::Wait),
    ]
}

proptest! {
    /// For any sequence of actions and delays: fencing numbers only increase, no two leases share one,
    /// and a holder that renewed in time is never replaced.
    #[test]
    fn a_holder_that_renews_keeps_the_lease(steps in prop::collection::vec(step(), 1..200)) {
        let ids: Vec<_> = (0..3).map(|_| Uuid::now_v7()).collect();
        let mut row: Option<LeaderLease> = None;
        let mut renewed_at = 0_u64;
        let mut now = 0_u64;
        let mut seen: [(Option<LeaderLease>, u64); 3] = Default::default();
        for step in steps {
            match step {
                Step::Wait(millis) => now += millis,
                Step::Poll(of) => {
                    if seen[of].0 != row {
                        seen[of] = (row.clone(), now);
                    }
                    let silent = Duration::from_millis(now - seen[of].1);
                    if let Some(next) = try_acquire(NAME, row.as_ref(), silent, ids[of]) {
                        let fence = row.as_ref().map_or(0, |row| row.fence);
                        prop_assert_eq!(next.fence, fence + 1);
                        if row.as_ref().is_some_and(|row| row.holder.is_some()) {
                            prop_assert!(Duration::from_millis(now - renewed_at) >= LEASE_DURATION);
                        }
                        (row, renewed_at) = (Some(next), now);
                    }
                }
                Step::Renew(of) | Step::Release(of) => {
                    let mine = row.clone().filter(|row| row.holder == Some(ids[of]));
                    if let Some(mine) = mine {
                        let leaves = matches!(step, Step::Release(_));
                        let next = if leaves { release(&mine) } else { renew(&mine) };
                        prop_assert!(next != mine && next.fence == mine.fence);
                        (row, renewed_at) = (Some(next), now);
                    }
                }
            }
        }
    }
}
