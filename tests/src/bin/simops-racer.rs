//! One of several processes that spend one day's budget as fast as they can.
//!
//! `simops-racer DATABASE_URL REDIS_URL|- calls|dollars|runs|agents CAP SECONDS SEED` runs 64 tasks that
//! reserve for SECONDS and settle until the cap is spent, and prints how many calls it settled. With
//! `runs`, CAP runs call until a budget that is not one run's is spent; with `agents`, CAP agents call
//! until the budget of each is. The database must have these budgets, named `each-run` and `each-agent`.

use std::sync::Arc;
use std::time::Duration;

use simops::clock::day_of;
use simops::usage::TieredCounter;
use simops::usage::keep_expiring;
use simops::usage::{Admission, Caps, Lease, NanoUsd, UsageCounter, UsageRow};
use simops::{Clock, Result, SystemClock};
use simops_sqlite::SqliteStore;
use uuid::Uuid;

const TASKS: u64 = 64;
/// Costs lie below this.
const MAX_COST: u64 = 100;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [database, redis, kind, cap, life, seed] = arguments.as_slice() else {
        panic!("usage: simops-racer DATABASE_URL REDIS_URL|- calls|dollars CAP SECONDS SEED");
    };
    let cap: i64 = cap.parse().expect("CAP is a number");
    let life = Duration::from_secs(life.parse().expect("SECONDS is a number"));
    let seed: u64 = seed.parse().expect("SEED is a number");
    let caps = match kind.as_str() {
        "calls" => Caps { total: Some(cap), ..Caps::default() },
        "runs" | "agents" => Caps::default(),
        _ => Caps { hard: Some(NanoUsd(cap)), ..Caps::default() },
    };
    let store = Arc::new(SqliteStore::open(database).await.expect("the database opens"));
    let clock = Arc::new(SystemClock);
    let counter: Arc<dyn UsageCounter> = match redis.as_str() {
        "-" => store,
        url => Arc::new(TieredCounter::start(store, url, clock).await.expect("it starts")),
    };
    let expiring = Arc::clone(&counter);
    tokio::spawn(async move { keep_expiring(&*expiring, &SystemClock).await });
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let callers = match kind.as_str() {
                "runs" => (0..cap).map(Caller::Run).collect(),
                "agents" => {
                    let agents = (0..cap).filter(|agent| agent.unsigned_abs() % TASKS == task);
                    agents.map(Caller::Agent).collect()
                }
                _ => vec![Caller::Unnamed],
            };
            let seed = seed * TASKS + task + 1;
            tokio::spawn(spend(Arc::clone(&counter), caps, life, callers, seed))
        })
        .collect();
    let mut settled = 0;
    for task in tasks {
        settled += task.await.expect("no task panics");
    }
    counter.close().await;
    println!("{settled}");
}

/// For whom a call is made.
#[derive(Clone, Copy)]
enum Caller {
    Unnamed,
    Run(i64),
    Agent(i64),
}

/// Reserves and settles for one of the callers at a time, until what all share is spent or what each of
/// them has; how often it settled.
async fn spend(
    counter: Arc<dyn UsageCounter>,
    caps: Caps,
    life: Duration,
    mut callers: Vec<Caller>,
    mut random: u64,
) -> u64 {
    let mut next = |below: u64| {
        random = (random * 48_271 + 11) % 2_147_483_647;
        random % below
    };
    let mut settled = 0;
    loop {
        let bound = i64::try_from(1 + next(MAX_COST)).unwrap_or(1);
        let (pause, outcome) = (next(4_000), next(10));
        if callers.is_empty() {
            return settled;
        }
        let place = usize::try_from(next(callers.len() as u64)).unwrap_or(0);
        let lease = lease(callers[place], bound, life);
        // As a router: a lease of which nothing is known is released, and another one asked for.
        let verdict = match counter.reserve(&lease, &caps).await {
            Ok(verdict) => verdict,
            Err(error) => {
                eprintln!("{error}");
                repeat_until_done(|| counter.release(lease.id)).await;
                continue;
            }
        };
        match verdict {
            Admission::Refused { in_flight: false, budget, .. } => match &*budget {
                "each-run" | "each-agent" => drop(callers.swap_remove(place)),
                _ => return settled,
            },
            Admission::Refused { .. } => tokio::time::sleep(Duration::from_millis(5)).await,
            Admission::Admitted { .. } => {
                tokio::time::sleep(Duration::from_micros(pause)).await;
                if outcome == 0 {
                    repeat_until_done(|| counter.release(lease.id)).await;
                } else {
                    let row = UsageRow {
                        cost: NanoUsd(bound - bound / 3),
                        success: true,
                        error_type: None,
                        ..lease.expired(SystemClock.now())
                    };
                    repeat_until_done(|| counter.settle(&row)).await;
                    settled += 1;
                }
            }
        }
    }
}

fn lease(caller: Caller, bound: i64, life: Duration) -> Lease {
    let now = SystemClock.now();
    let (run_id, agent_id) = match caller {
        Caller::Unnamed => ("race".to_owned(), None),
        Caller::Run(run) => (format!("run-{run}"), None),
        Caller::Agent(agent) => ("race".to_owned(), Some(agent.into())),
    };
    Lease {
        id: Uuid::now_v7(),
        day: day_of(now),
        run_id: Some(run_id),
        agent_id,
        checkpoint: None,
        provider: "groq".to_owned(),
        model: "m".to_owned(),
        upper_bound: NanoUsd(bound),
        priced: true,
        created_at: now,
        expires_at: now + life,
        input_tokens: 10,
        output_tokens: 5,
    }
}

/// Again until it succeeds, with the same ids, as a router does with an end.
async fn repeat_until_done<T, F: Future<Output = Result<T>>>(step: impl Fn() -> F) -> T {
    loop {
        match step().await {
            Ok(done) => return done,
            Err(error) => {
                eprintln!("{error}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}
