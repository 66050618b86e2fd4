//! Commits of the control state while hosts take turns.

use std::sync::Arc;
use std::time::Duration;

use simops::run::RunRecord;
use simops::store::{Commit, ControlStore, EventFilter, EventStore, RunStore, WorldStore};
use simops_postgres::{PostgresOptions, PostgresStore};
use simops_tests::network::{Network, Proxy};
use simops_tests::postgres::{PostgresServer, TestDatabase};
use simops_tests::turns::{Operator, Turns};
use simops_tests::wait::eventually;
use sqlx::Connection;
use sqlx::postgres::PgConnection;

use crate::support::change;

/// Processes with hosts, and hosts of each.
const PROCESSES: usize = 4;
const HOSTS: usize = 8;

async fn open(url: &str, max_connections: u32) -> Arc<PostgresStore> {
    let options = PostgresOptions { max_connections, ..PostgresOptions::default() };
    Arc::new(PostgresStore::open_with(url, options).await.unwrap())
}

/// A turn that has its lock and is not over.
async fn begun_turn(url: &str) -> PgConnection {
    let mut turn = PgConnection::connect(url).await.unwrap();
    let begin = "BEGIN; \
         SELECT pg_advisory_xact_lock_shared(hashtext('simops gate'), 'control'::regclass::oid::int)";
    sqlx::raw_sql(begin).execute(&mut turn).await.unwrap();
    turn
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_pause_is_granted_while_many_distant_hosts_take_turns() {
    let database = PostgresServer::shared().database();
    let proxy = Proxy::before(PostgresServer::shared().port()).await;
    let url = database.url_at(proxy.port());
    let store = open(&url, 4).await;
    let operator = Operator::of_new_run(store.clone()).await;
    let mut hosts: Vec<Arc<dyn RunStore>> = Vec::new();
    for _ in 0..PROCESSES {
        let process = open(&url, u32::try_from(HOSTS).unwrap()).await;
        hosts.extend((0..HOSTS).map(|_| process.clone() as Arc<dyn RunStore>));
    }
    proxy.set(Network::Delayed(Duration::from_micros(2_500)));
    let turns = Turns::start(hosts);
    for _ in 0..10 {
        let before = turns.committed();
        eventually("turns are taken", async || (turns.committed() > before).then_some(())).await;
        operator.pause().await;
        operator.resume().await;
    }
}

/// The number of locks in this database that some session waits for.
fn waiting(database: &TestDatabase) -> usize {
    let waiting = "SELECT count(*) FROM pg_stat_activity \
                   WHERE datname = current_database() AND wait_event_type = 'Lock'";
    database.sql(waiting).trim().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_waits_goes_before_later_turns() {
    let database = PostgresServer::shared().database();
    let store = open(&database.url(), 10).await;
    let _operator = Operator::of_new_run(store.clone()).await;
    let state = store.load().await.unwrap();
    let epoch = state.world_epoch().unwrap();
    let mut turn = begun_turn(&database.url()).await;
    let mut pause = change(&state);
    let gate_generation = pause.next.generation;
    pause.runs = vec![RunRecord { gate_generation, ..state.run.clone().unwrap() }];
    let commit = {
        let (store, pause) = (store.clone(), pause.clone());
        tokio::spawn(async move { store.commit(&pause, None).await })
    };
    eventually("the commit waits", async || (waiting(&database) == 1).then_some(())).await;
    let turns = Turns::start([store.clone() as Arc<dyn RunStore>]);
    eventually("a turn waits as well", async || (waiting(&database) == 2).then_some(())).await;
    assert_eq!(store.world(epoch).await.unwrap().version, 0);
    sqlx::raw_sql("COMMIT").execute(&mut turn).await.unwrap();
    assert_eq!(commit.await.unwrap().unwrap(), Commit::Done);
    eventually("turns go on", async || (turns.committed() > 0).then_some(())).await;
    let filter = EventFilter { limit: 500, ..EventFilter::default() };
    let events = store.events(&filter).await.unwrap().items;
    let paused = events.iter().rposition(|event| event.event_type == "tick").unwrap();
    assert!(events[paused..].iter().all(|event| event.event_type != "work"), "{events:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_stops_answering_within_a_turn_cannot_hold_up_a_commit() {
    let database = PostgresServer::shared().database();
    let proxy = Proxy::before(PostgresServer::shared().port()).await;
    let store = open(&database.url(), 4).await;
    let _operator = Operator::of_new_run(store.clone()).await;
    let process = open(&database.url_at(proxy.port()), 4).await;
    // The turn waits within its transaction, and then its network is gone.
    let holder = database.hold("documents").await;
    let turns = tokio::spawn(async move {
        let turns = Turns::start([process as Arc<dyn RunStore>]);
        std::future::pending::<()>().await;
        drop(turns);
    });
    eventually("a turn waits", async || (waiting(&database) == 1).then_some(())).await;
    proxy.set(Network::Silent);
    drop(holder);
    eventually("the turn is idle", async || {
        let idle = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                    AND state = 'idle in transaction'";
        (database.sql(idle).trim() == "1").then_some(())
    })
    .await;
    let pause = change(&store.load().await.unwrap());
    assert_eq!(store.commit(&pause, None).await.unwrap(), Commit::Done);
    turns.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_gates_of_two_schemas_are_apart() {
    let database = PostgresServer::shared().database();
    database.sql("CREATE SCHEMA one; CREATE SCHEMA two");
    let url = |schema| format!("{}?options[search_path]={schema}", database.url());
    let mut stores = Vec::new();
    for schema in ["one", "two"] {
        stores.push(open(&url(schema), 4).await);
    }
    let turn = begun_turn(&url("one")).await;
    let commit = async |store: &PostgresStore| {
        store.commit(&change(&store.load().await.unwrap()), None).await.unwrap()
    };
    assert_eq!(commit(&stores[1]).await, Commit::Done);
    let one = stores[0].clone();
    let waits = tokio::spawn(async move {
        one.commit(&change(&one.load().await.unwrap()), None).await.unwrap()
    });
    eventually("the commit in the same schema waits", async || {
        (waiting(&database) == 1).then_some(())
    })
    .await;
    drop(turn);
    assert_eq!(waits.await.unwrap(), Commit::Done);
}
