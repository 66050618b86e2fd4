//! What the tests share.

use std::process::Stdio;
use std::time::Duration;

use jiff::Timestamp;
use simops::alert::Notices;
use simops::control::{Change, ControlState};
use simops::event::NewEvent;
use simops::store::ControlStore;
use simops_postgres::PostgresStore;
use simops_tests::postgres::TestDatabase;
use tokio::process::{Child, Command};

pub(crate) const SOON: Duration = Duration::from_secs(20);

pub(crate) fn event(description: &str) -> NewEvent {
    NewEvent::new("tick", description, Timestamp::from_second(1_767_225_600).unwrap())
}

/// A change of `state` that tells one event.
pub(crate) fn change(state: &ControlState) -> Change {
    let next = ControlState { generation: state.generation + 1, ..state.clone() };
    Change {
        expected_generation: state.generation,
        next,
        run: None,
        digest: None,
        audit: vec![],
        events: vec![event("changed")],
        notices: Notices::default(),
    }
}

/// Commits a change.
pub(crate) async fn commit(store: &PostgresStore) {
    let change = change(&store.load().await.unwrap());
    store.commit(&change, None).await.unwrap();
}

/// Another program that holds a table for itself until it is dropped.
pub(crate) async fn holding(database: &TestDatabase, table: &str) -> Child {
    let statement = format!("BEGIN; LOCK TABLE {table}; SELECT pg_sleep(3600)");
    let child = Command::new("psql")
        .args(["-X", "-q", "-c", &statement, &database.url()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let held = format!(
        "SELECT count(*) FROM pg_locks WHERE relation = '{table}'::regclass \
         AND mode = 'AccessExclusiveLock' AND granted"
    );
    simops_tests::eventually("the table is held", SOON, async || {
        (database.sql(&held).trim() == "1").then_some(())
    })
    .await;
    child
}

/// Ends what holds a table.
pub(crate) async fn let_go(database: &TestDatabase, mut holder: Child) {
    database.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(3600)%' AND pid <> pg_backend_pid() AND datname = current_database()");
    let _ = holder.kill().await;
}
