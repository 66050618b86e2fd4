//! What counting costs compared with the raw engine, in one run and in turn: leases and rows in SQLite
//! against plain inserts of the same rows with the same group commit, reservations in Redis against
//! the same script without the counter; each below the caps of the settings alone, and below four budgets
//! in addition.
//!
//! `cargo bench -p simops-tests --bench counting`

#![allow(clippy::unwrap_used, missing_docs)]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::{Connection, params};
use simops::clock::day_of;
use simops::testing::change_budgets;
use simops::usage::TieredCounter;
use simops::usage::{
    Admission, Budget, BudgetChange, BudgetScope, BudgetUnit, BudgetWindow, Caps, Lease, NanoUsd,
    UsageCounter, UsageRow,
};
use simops::{AgentId, Clock, SystemClock};
use simops_sqlite::SqliteStore;
use simops_tests::redis::RedisServer;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

const TASKS: usize = 32;
const ROUND: Duration = Duration::from_millis(1_000);
const ROUNDS: usize = 9;
/// How long the plain writer waits for those that it has just answered, as the store does.
const GATHER: Duration = Duration::from_micros(100);

#[tokio::main]
async fn main() {
    for budgets in [0, 4] {
        println!("{budgets} budgets");
        let dir = tempfile::tempdir().unwrap();
        in_sqlite(dir.path(), budgets).await;
        in_redis(dir.path(), budgets).await;
    }
}

/// A store with the first of four budgets that all count the same calls and never refuse.
async fn store(path: &Path, budgets: usize) -> Arc<SqliteStore> {
    let store = SqliteStore::open(&format!("sqlite://{}", path.display())).await.unwrap();
    let budget = |id: &str, scope, key: &str, window, unit| Budget {
        id: id.to_owned(),
        scope,
        key: key.to_owned(),
        window,
        unit,
        soft: None,
        hard: Some(1 << 50),
        since: jiff::civil::date(1970, 1, 1),
        counted: false,
        defined: 0,
    };
    let all = [
        budget("all", BudgetScope::Deployment, "", BudgetWindow::Lifetime, BudgetUnit::Usd),
        budget("each-run", BudgetScope::Run, "*", BudgetWindow::Run, BudgetUnit::Calls),
        budget("each-agent", BudgetScope::Agent, "*", BudgetWindow::Day, BudgetUnit::Tokens),
        budget("groq", BudgetScope::Provider, "groq", BudgetWindow::Month, BudgetUnit::Usd),
    ];
    let puts = all.into_iter().take(budgets).map(BudgetChange::Put).collect();
    change_budgets(&store, puts, Vec::new()).await.unwrap();
    Arc::new(store)
}

async fn in_sqlite(dir: &Path, budgets: usize) {
    let raw = Arc::new(Raw::open(&dir.join("raw.db")));
    let store: Arc<dyn UsageCounter> = store(&dir.join("simops.db"), budgets).await;
    let mut rounds = Vec::new();
    for _ in 0..=ROUNDS {
        let plain = Arc::clone(&raw);
        let plain = measure(move || plain_inserts(Arc::clone(&plain))).await;
        let counter = Arc::clone(&store);
        rounds.push((plain, measure(move || reserve_and_settle(Arc::clone(&counter))).await));
    }
    report("raw inserts of a lease and its row", "reserve and settle, SQLite", &rounds, 0.60);
}

async fn in_redis(dir: &Path, budgets: usize) {
    let redis = RedisServer::start(dir).await;
    let store = store(&dir.join("redis.db"), budgets).await;
    let counter = TieredCounter::start(store, &redis.url(), Arc::new(SystemClock)).await.unwrap();
    let counter: Arc<dyn UsageCounter> = Arc::new(counter);
    let by_hand = ByHand::connect(&redis, budgets).await;
    let mut rounds = Vec::new();
    for _ in 0..=ROUNDS {
        let sender = by_hand.clone();
        let plain = measure(move || sender.clone().reserve()).await;
        let asked = Arc::clone(&counter);
        rounds.push((plain, measure(move || reserve(Arc::clone(&asked))).await));
    }
    report("raw EVALSHA of the script", "reserve, Redis", &rounds, 0.70);
}

fn report(raw: &str, ours: &str, rounds: &[(f64, f64)], wanted: f64) {
    // The first round warms up.
    let rounds = &rounds[1..];
    let (a, b) = (median(rounds.iter().map(|r| r.0)), median(rounds.iter().map(|r| r.1)));
    let ratio = median(rounds.iter().map(|(raw, ours)| ours / raw));
    println!("{raw:<36} {a:>9.0}/s");
    println!("{ours:<36} {b:>9.0}/s");
    println!("{:<36} {ratio:>9.2}   (wanted: at least {wanted:.2})", "ratio");
}

fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<_> = figures.collect();
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// Steps per second of tasks that each begin again as soon as they are done.
async fn measure<F: Future<Output = ()> + Send + 'static>(
    step: impl Fn() -> F + Clone + Send + 'static,
) -> f64 {
    let started = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..TASKS {
        let step = step.clone();
        tasks.spawn(async move {
            let mut steps = 0_u32;
            while started.elapsed() < ROUND {
                step().await;
                steps += 1;
            }
            steps
        });
    }
    let steps: u32 = tasks.join_all().await.into_iter().sum();
    f64::from(steps) / started.elapsed().as_secs_f64()
}

fn lease() -> Lease {
    let now = SystemClock.now();
    Lease {
        id: Uuid::now_v7(),
        day: day_of(now),
        run_id: Some("bench".to_owned()),
        agent_id: Some(7.into()),
        checkpoint: Some(3),
        provider: "groq".to_owned(),
        model: "llama-3.1-8b-instant".to_owned(),
        upper_bound: NanoUsd(1_000),
        priced: true,
        created_at: now,
        expires_at: now + Duration::from_secs(80),
        input_tokens: 10,
        output_tokens: 5,
    }
}

fn row(lease: &Lease) -> UsageRow {
    UsageRow { success: true, error_type: None, ..lease.expired(SystemClock.now()) }
}

fn caps() -> Caps {
    let many = Some(i64::MAX / 1_000);
    Caps { hard: many.map(NanoUsd), total: many, groq: many, ..Caps::default() }
}

async fn reserve_and_settle(counter: Arc<dyn UsageCounter>) {
    let lease = lease();
    let verdict = counter.reserve(&lease, &caps()).await.unwrap();
    assert!(matches!(verdict, Admission::Admitted { .. }));
    counter.settle(&row(&lease)).await.unwrap();
}

async fn reserve(counter: Arc<dyn UsageCounter>) {
    let verdict = counter.reserve(&lease(), &caps()).await.unwrap();
    assert!(matches!(verdict, Admission::Admitted { .. }));
}

async fn plain_inserts(raw: Arc<Raw>) {
    let lease = lease();
    raw.insert(Insert::Lease(lease.clone())).await;
    raw.insert(Insert::Row(row(&lease))).await;
}

enum Insert {
    Lease(Lease),
    Row(UsageRow),
}

/// The same rows through plain rusqlite: one thread, one transaction for all that wait.
struct Raw {
    queue: mpsc::UnboundedSender<(Insert, oneshot::Sender<()>)>,
}

impl Raw {
    fn open(path: &Path) -> Self {
        let connection = Connection::open(path).unwrap();
        let migrations = Path::new(env!("CARGO_MANIFEST_DIR")).join("../simops-sqlite/migrations");
        connection.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL").unwrap();
        for migration in ["0003_usage.sql", "0005_counting.sql"] {
            let sql = std::fs::read_to_string(migrations.join(migration)).unwrap();
            connection.execute_batch(&sql).unwrap();
        }
        let (queue, mut waiting) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            let mut taken = 0;
            while let Some(first) = waiting.blocking_recv() {
                let mut batch: Vec<(Insert, _)> = vec![first];
                let waits = waiting.len();
                if taken > 1 && 1 + waits < taken {
                    std::thread::sleep(GATHER);
                }
                while let Ok(next) = waiting.try_recv() {
                    batch.push(next);
                }
                taken = batch.len();
                connection.execute_batch("BEGIN IMMEDIATE").unwrap();
                batch.iter().for_each(|(insert, _)| insert.run(&connection));
                connection.execute_batch("COMMIT").unwrap();
                batch
                    .into_iter()
                    .for_each(|(_, done): (_, oneshot::Sender<()>)| done.send(()).unwrap());
            }
        });
        Self { queue }
    }

    async fn insert(&self, insert: Insert) {
        let (done, answer) = oneshot::channel();
        assert!(self.queue.send((insert, done)).is_ok());
        answer.await.unwrap();
    }
}

impl Insert {
    fn run(&self, connection: &Connection) {
        match self {
            Self::Lease(lease) => connection
                .prepare_cached("INSERT INTO leases VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
                .unwrap()
                .execute(params![
                    lease.id.as_bytes(),
                    lease.day.to_string(),
                    lease.run_id,
                    lease.agent_id.as_ref().and_then(AgentId::number),
                    lease.checkpoint,
                    lease.provider,
                    lease.model,
                    lease.upper_bound.0,
                    lease.priced,
                    lease.created_at.as_microsecond(),
                    lease.expires_at.as_microsecond(),
                ]),
            Self::Row(row) => connection
                .prepare_cached(
                    "INSERT INTO usage VALUES \
                     (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                )
                .unwrap()
                .execute(params![
                    row.id.as_bytes(),
                    row.day.to_string(),
                    row.run_id,
                    row.agent_id.as_ref().and_then(AgentId::number),
                    row.checkpoint,
                    row.provider,
                    row.model_requested,
                    row.model_resolved,
                    row.input_tokens,
                    row.cached_input_tokens,
                    row.output_tokens,
                    row.reasoning_tokens,
                    row.cost.0,
                    row.priced,
                    row.success,
                    row.fallback_used,
                    row.latency_ms,
                    row.error_type,
                    row.created_at.as_microsecond(),
                ]),
        }
        .unwrap();
    }
}

/// The reservation's script, sent without a counter around it, on keys of its own.
#[derive(Clone)]
struct ByHand {
    connection: redis::aio::MultiplexedConnection,
    hash: String,
    /// The sets of sums besides that of the day.
    sets: Vec<String>,
}

impl ByHand {
    async fn connect(redis: &RedisServer, budgets: usize) -> Self {
        let client = redis::Client::open(redis.url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let scripts =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../simops/src/usage/redis/scripts");
        let script = std::fs::read_to_string(scripts.join("reserve.lua")).unwrap();
        let load = redis::cmd("SCRIPT").arg("LOAD").arg(script).to_owned();
        let hash = load.query_async(&mut connection).await.unwrap();
        let day = day_of(SystemClock.now());
        let mut state = redis::cmd("HSET");
        state.arg("{raw}:state").arg("generation").arg("1").arg("open").arg("0");
        state.arg(format!("{day}:version")).arg(0);
        for name in ["calls_total", "calls_groq", "cost"] {
            state.arg(format!("{day}:{name}")).arg(0);
            state.arg(format!("{day}:reserved_{name}")).arg(0);
        }
        let sets: Vec<_> =
            (0..budgets).map(|number| format!("use|budget-{number}|2026-01-01|7")).collect();
        for set in &sets {
            state.arg(format!("{set}:version")).arg(0).arg(format!("{set}:amount")).arg(0);
            state.arg(format!("{set}:reserved_amount")).arg(0);
        }
        let _: i64 = state.query_async(&mut connection).await.unwrap();
        Self { connection, hash, sets }
    }

    async fn reserve(mut self) {
        let now = SystemClock.now();
        let mut call = redis::cmd("EVALSHA");
        call.arg(&self.hash).arg(4).arg("{raw}:state").arg("{raw}:leases").arg("{raw}:ends");
        call.arg("{raw}:settled");
        let day = day_of(now).to_string();
        call.arg(1).arg(Uuid::now_v7().simple().to_string());
        // As long as a lease is.
        call.arg("x".repeat(450 + 60 * self.sets.len())).arg(now.as_microsecond());
        call.arg(1 + self.sets.len()).arg(&day).arg(&self.sets).arg(3 + self.sets.len());
        let sums = [("cost", 1_000, 0), ("calls_total", 1, 1), ("calls_groq", 1, 1)];
        let of_day = sums.map(|(name, adds, soft)| (&day, name, adds, soft));
        let lines: Vec<_> =
            of_day.into_iter().chain(self.sets.iter().map(|set| (set, "amount", 1, 1))).collect();
        for (set, name, adds, soft_includes_reserved) in &lines {
            call.arg(set).arg(*name).arg(*adds).arg(1_i64 << 50).arg(-1);
            call.arg(*soft_includes_reserved).arg(1);
        }
        for (set, name, adds, _) in &lines {
            call.arg(set).arg(*name).arg(*adds);
        }
        let reply: i64 = call.query_async(&mut self.connection).await.unwrap();
        assert_eq!(reply, 2);
    }
}
