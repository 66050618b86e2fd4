//! Reservations and their rows compared with plain `INSERT … SELECT FROM unnest` of the same rows in
//! transactions that commit for all callers who wait: in turn, in one run, on one durable Postgres; below
//! the caps of the settings alone, and below four budgets in addition.
//!
//! `cargo bench -p simops-postgres --bench counting`

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use simops::clock::day_of;
use simops::testing::change_budgets;
use simops::usage::{
    Admission, Budget, BudgetChange, BudgetScope, BudgetUnit, BudgetWindow, Caps, Lease, NanoUsd,
    UsageCounter, UsageRow,
};
use simops_postgres::PostgresStore;
use simops_tests::postgres::PostgresServer;
use sqlx::Connection;
use sqlx::postgres::PgConnection;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

const TASKS: usize = 32;
const ROUND: Duration = Duration::from_secs(1);
const ROUNDS: usize = 9;
const WANTED: f64 = 0.60;

#[tokio::main]
async fn main() {
    let server = PostgresServer::durable();
    for budgets in [0, 4] {
        let database = server.database();
        let store = PostgresStore::open(&database.url()).await.unwrap();
        let puts = budgets_of_all_calls().into_iter().take(budgets).map(BudgetChange::Put);
        change_budgets(&store, puts.collect(), Vec::new()).await.unwrap();
        database.sql(
            "CREATE TABLE plain_leases (LIKE leases INCLUDING ALL); \
             CREATE TABLE plain_usage (LIKE usage INCLUDING ALL)",
        );
        let plain = Plain::connect(&database.url()).await;
        let store = Arc::new(store);
        let mut rounds = Vec::new();
        for _ in 0..=ROUNDS {
            let raw = measure(|| insert(plain.clone())).await;
            rounds.push((raw, measure(|| reserve_and_settle(Arc::clone(&store))).await));
        }
        // The first round warms up.
        let rounds = &rounds[1..];
        println!("{budgets} budgets");
        println!("plain inserts      {:>8.0}/s", median(rounds.iter().map(|round| round.0)));
        println!("reserve and settle {:>8.0}/s", median(rounds.iter().map(|round| round.1)));
        let ratio = median(rounds.iter().map(|(raw, ours)| ours / raw));
        println!("ratio              {ratio:>8.2}   (wanted: at least {WANTED:.2})");
    }
}

/// Four budgets that all count the same calls and never refuse.
fn budgets_of_all_calls() -> [Budget; 4] {
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
    [
        budget("all", BudgetScope::Deployment, "", BudgetWindow::Lifetime, BudgetUnit::Usd),
        budget("each-run", BudgetScope::Run, "*", BudgetWindow::Run, BudgetUnit::Calls),
        budget("each-agent", BudgetScope::Agent, "*", BudgetWindow::Day, BudgetUnit::Tokens),
        budget("groq", BudgetScope::Provider, "groq", BudgetWindow::Month, BudgetUnit::Usd),
    ]
}

fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<_> = figures.collect();
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// Calls per second of tasks that each begin the next as soon as one is done.
async fn measure<F: Future<Output = ()> + Send + 'static>(step: impl Fn() -> F) -> f64 {
    let began = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    let mut calls = 0_u32;
    (0..TASKS).for_each(|_| drop(tasks.spawn(step())));
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
        calls += 1;
        if began.elapsed() < ROUND {
            tasks.spawn(step());
        }
    }
    f64::from(calls) / began.elapsed().as_secs_f64()
}

fn lease() -> Lease {
    let now = Timestamp::now();
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
    UsageRow { success: true, error_type: None, ..lease.expired(Timestamp::now()) }
}

async fn reserve_and_settle(store: Arc<PostgresStore>) {
    let many = Some(i64::MAX / 1_000);
    let caps = Caps { hard: many.map(NanoUsd), total: many, groq: many, ..Caps::default() };
    let lease = lease();
    let verdict = store.reserve(&lease, &caps).await.unwrap();
    assert!(matches!(verdict, Admission::Admitted { .. }));
    store.settle(&row(&lease)).await.unwrap();
}

async fn insert(plain: Plain) {
    let lease = lease();
    let row = row(&lease);
    plain.insert(Insert::Lease(lease)).await;
    plain.insert(Insert::Row(row)).await;
}

enum Insert {
    Lease(Lease),
    Row(UsageRow),
}

/// One connection, and one transaction for all who wait.
#[derive(Clone)]
struct Plain(mpsc::UnboundedSender<(Insert, oneshot::Sender<()>)>);

impl Plain {
    async fn connect(url: &str) -> Self {
        let mut connection = PgConnection::connect(url).await.unwrap();
        let (sender, mut waiting) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            let mut batch: Vec<(Insert, oneshot::Sender<()>)> = Vec::new();
            while waiting.recv_many(&mut batch, 1_000).await > 0 {
                let (mut leases, mut rows, mut callers) = (Vec::new(), Vec::new(), Vec::new());
                for (insert, caller) in batch.drain(..) {
                    callers.push(caller);
                    match insert {
                        Insert::Lease(lease) => leases.push(lease),
                        Insert::Row(row) => rows.push(row),
                    }
                }
                let mut tx = connection.begin().await.unwrap();
                if !leases.is_empty() {
                    insert_leases(&mut tx, &leases).await;
                }
                if !rows.is_empty() {
                    insert_rows(&mut tx, &rows).await;
                }
                tx.commit().await.unwrap();
                for caller in callers {
                    let _ = caller.send(());
                }
            }
        });
        Self(sender)
    }

    async fn insert(&self, insert: Insert) {
        let (done, answer) = oneshot::channel();
        assert!(self.0.send((insert, done)).is_ok());
        answer.await.unwrap();
    }
}

fn column<R, T>(rows: &[R], of: impl Fn(&R) -> T) -> Vec<T> {
    rows.iter().map(of).collect()
}

async fn insert_leases(connection: &mut PgConnection, leases: &[Lease]) {
    sqlx::query(
        "INSERT INTO plain_leases (id, day, run_id, agent_id, checkpoint, provider, model, \
             upper_bound, priced, created_at, expires_at, input_tokens, output_tokens) \
         SELECT id, day::date, run_id, 7, 3, provider, model, bound, true, \
             to_timestamp(created / 1000000.0), to_timestamp(expires / 1000000.0), input, output \
         FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], \
             $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[]) AS new (id, day, run_id, \
             provider, model, bound, created, expires, input, output)",
    )
    .bind(column(leases, |lease| lease.id))
    .bind(column(leases, |lease| lease.day.to_string()))
    .bind(column(leases, |lease| lease.run_id.clone()))
    .bind(column(leases, |lease| lease.provider.clone()))
    .bind(column(leases, |lease| lease.model.clone()))
    .bind(column(leases, |lease| lease.upper_bound.0))
    .bind(column(leases, |lease| lease.created_at.as_microsecond()))
    .bind(column(leases, |lease| lease.expires_at.as_microsecond()))
    .bind(column(leases, |lease| lease.input_tokens))
    .bind(column(leases, |lease| lease.output_tokens))
    .execute(connection)
    .await
    .unwrap();
}

async fn insert_rows(connection: &mut PgConnection, rows: &[UsageRow]) {
    sqlx::query(
        "INSERT INTO plain_usage (id, day, run_id, agent_id, checkpoint, provider, \
             model_requested, input_tokens, cached_input_tokens, output_tokens, \
             reasoning_tokens, cost, priced, success, fallback_used, latency_ms, created_at) \
         SELECT id, day::date, run_id, 7, 3, provider, model, input, 0, output, 0, cost, true, \
             true, false, 900, to_timestamp(created / 1000000.0) \
         FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], \
             $7::bigint[], $8::bigint[], $9::bigint[]) AS new (id, day, run_id, provider, model, \
             input, output, cost, created)",
    )
    .bind(column(rows, |row| row.id))
    .bind(column(rows, |row| row.day.to_string()))
    .bind(column(rows, |row| row.run_id.clone()))
    .bind(column(rows, |row| row.provider.clone()))
    .bind(column(rows, |row| row.model_requested.clone()))
    .bind(column(rows, |row| row.input_tokens))
    .bind(column(rows, |row| row.output_tokens))
    .bind(column(rows, |row| row.cost.0))
    .bind(column(rows, |row| row.created_at.as_microsecond()))
    .execute(connection)
    .await
    .unwrap();
}
