//! Four processes of 64 tasks spend budgets that overlap: all of each, and not a call more.

use simops::recount::RecountExt;
use simops::run::RunRecord;
use simops::store::UsageStore;
use simops::testing::change_budgets;
use simops::usage::{
    Budget, BudgetChange, BudgetScope, BudgetStore, BudgetUnit, BudgetWindow, UsageCounter, UseKey,
};
use simops::{Clock, SystemClock};
use simops_sqlite::SqliteStore;
use simops_tests::redis::RedisServer;

use super::open;
use super::races::{finished, race, race_with_leases_of, under_way};

const RUNS: i64 = 200;
const OF_GROUP: i64 = 1_000;
const OF_RUN: i64 = 7;
const ALL: i64 = 8_000;
const AGENTS: i64 = 1_000;
const OF_AGENT: i64 = 3;

fn calls(id: &str, (scope, key): (BudgetScope, &str), window: BudgetWindow, hard: i64) -> Budget {
    Budget {
        id: id.to_owned(),
        scope,
        key: key.to_owned(),
        window,
        unit: BudgetUnit::Calls,
        soft: None,
        hard: Some(hard),
        since: jiff::civil::date(1970, 1, 1),
        counted: false,
        defined: 0,
    }
}

/// 200 runs of a group that has a budget, each with one of its own, and one for the provider.
async fn with_runs(store: &SqliteStore) {
    with_runs_of(store, OF_GROUP, OF_RUN).await;
}

async fn with_runs_of(store: &SqliteStore, of_group: i64, of_run: i64) {
    let runs = (0..RUNS).map(|run| RunRecord {
        run_id: format!("run-{run}"),
        protocol_version: "protocol_v1".to_owned(),
        started_at: SystemClock.now(),
        started_by: "ada".to_owned(),
        group_id: Some("study".to_owned()),
        ..RunRecord::default()
    });
    let budgets = [
        calls("each-run", (BudgetScope::Run, "*"), BudgetWindow::Run, of_run),
        calls("group", (BudgetScope::Group, "study"), BudgetWindow::Lifetime, of_group),
        calls("provider", (BudgetScope::Provider, "*"), BudgetWindow::Day, 5 * of_group),
    ];
    let puts = budgets.into_iter().map(BudgetChange::Put).collect();
    change_budgets(store, puts, runs.collect()).await.unwrap();
}

async fn with_agents(store: &SqliteStore) {
    let each = calls("each-agent", (BudgetScope::Agent, "*"), BudgetWindow::Day, OF_AGENT);
    change_budgets(store, vec![BudgetChange::Put(each)], Vec::new()).await.unwrap();
}

/// The group has made all its calls, and no run more than its own.
async fn all_of_the_group(store: &SqliteStore) {
    let recount = store.recount().await.unwrap();
    assert_eq!(recount.differences(), []);
    assert_eq!((recount.rows, recount.leases), (OF_GROUP, 0));
    let runs: Vec<_> = (0..RUNS).map(|run| format!("run-{run}")).collect();
    for (run_id, totals) in store.llm_totals_by_run(&runs).await.unwrap() {
        assert!(totals.calls <= OF_RUN, "{run_id}: {totals:?}");
    }
    let key = |budget: &str, period: &str, part: &str| UseKey {
        budget: budget.to_owned(),
        period: period.to_owned(),
        part: part.to_owned(),
    };
    let group = key("group", "", "study");
    let used = store.budget_uses(std::slice::from_ref(&group)).await.unwrap()[&group];
    assert_eq!((used.settled, used.reserved), (OF_GROUP, 0));
}

async fn all_of_each_agent(store: &SqliteStore) {
    let recount = store.recount().await.unwrap();
    assert_eq!(recount.differences(), []);
    assert_eq!((recount.rows, recount.leases), (AGENTS * OF_AGENT, 0));
    let day = simops::clock::day_of(SystemClock.now()).to_string();
    let (uses, all) = store.largest_uses("each-agent", &[day], 2_000).await.unwrap();
    assert_eq!((uses.len(), all), (1_000, AGENTS));
    for (key, used) in uses {
        assert_eq!((used.settled, used.reserved), (OF_AGENT, 0), "{key:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_under_one_group_budget_in_the_database_while_a_process_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir).await.unwrap();
    with_runs(&store).await;
    let mut racers = race_with_leases_of(10, &dir, "-", "runs", RUNS);
    under_way(&store, 100).await;
    racers.pop().unwrap().kill().await.unwrap();
    finished(racers).await;
    all_of_the_group(&store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_under_one_group_budget_while_redis_is_killed_and_restarted() {
    let dir = tempfile::tempdir().unwrap();
    let (store, mut redis) = (open(&dir).await.unwrap(), RedisServer::start(dir.path()).await);
    with_runs(&store).await;
    let racers = race(&dir, &redis.url(), "runs", RUNS);
    under_way(&store, 100).await;
    redis.kill().await;
    under_way(&store, 400).await;
    redis.restart_empty().await;
    let settled = finished(racers).await;
    assert_eq!(settled, OF_GROUP);
    all_of_the_group(&store).await;
}

/// A budget that is defined while calls are counted in Redis binds within a second, and is spent to the
/// end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_budget_that_is_defined_during_the_race() {
    let dir = tempfile::tempdir().unwrap();
    let (store, redis) = (open(&dir).await.unwrap(), RedisServer::start(dir.path()).await);
    with_runs_of(&store, 1_000_000, 1_000_000).await;
    let racers = race(&dir, &redis.url(), "runs", RUNS);
    under_way(&store, 50).await;
    // More than a second's calls.
    let all = calls("all", (BudgetScope::Deployment, ""), BudgetWindow::Lifetime, ALL);
    change_budgets(&*store, vec![BudgetChange::Put(all)], Vec::new()).await.unwrap();
    let settled = finished(racers).await;
    assert_eq!(settled, ALL);
    assert_eq!(store.recount().await.unwrap().differences(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_agents_with_a_budget_each_in_the_database() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir).await.unwrap();
    with_agents(&store).await;
    finished(race(&dir, "-", "agents", AGENTS)).await;
    all_of_each_agent(&store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_agents_with_a_budget_each_in_redis() {
    let dir = tempfile::tempdir().unwrap();
    let (store, redis) = (open(&dir).await.unwrap(), RedisServer::start(dir.path()).await);
    with_agents(&store).await;
    finished(race(&dir, &redis.url(), "agents", AGENTS)).await;
    all_of_each_agent(&store).await;
}
