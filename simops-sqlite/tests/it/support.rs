//! What the tests share.

use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::Connection;
use simops::control::{Change, ControlState};
use simops::event::NewEvent;
use simops::store::ControlStore;
use simops::{Error, ErrorKind, Result};
use simops_sqlite::{SqliteOptions, SqliteStore};
use simops_tests::wait::LIMIT;
use tempfile::TempDir;

pub(crate) fn path_in(folder: &TempDir) -> PathBuf {
    folder.path().join("simops.db")
}

pub(crate) fn url_in(folder: &TempDir) -> String {
    format!("sqlite://{}", path_in(folder).display())
}

/// A connection of another program.
pub(crate) fn stranger(folder: &TempDir) -> Connection {
    Connection::open(path_in(folder)).unwrap()
}

/// A store that gives up on locks soon.
pub(crate) async fn impatient(folder: &TempDir) -> SqliteStore {
    let options =
        SqliteOptions { busy_timeout: Duration::from_millis(100), ..SqliteOptions::default() };
    SqliteStore::open_with(&url_in(folder), options).await.unwrap()
}

pub(crate) fn event(description: &str) -> NewEvent {
    NewEvent::new("tick", description, Timestamp::from_second(1_767_225_600).unwrap())
}

/// A change of `state` with one event.
pub(crate) fn change(state: &ControlState) -> Change {
    let next = ControlState { generation: state.generation + 1, ..state.clone() };
    Change {
        expected_generation: state.generation,
        next,
        events: vec![event("changed")],
        ..Change::default()
    }
}

pub(crate) fn refusal<T>(result: Result<T>) -> Error {
    result.err().expect("it should be refused")
}

pub(crate) fn assert_unavailable<T>(result: Result<T>, saying: &str) {
    let error = refusal(result);
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    assert!(error.detail().contains(saying), "{error:?}");
}

/// Waits until the store can be written again.
pub(crate) async fn until_it_writes(store: &SqliteStore) {
    let writes = async {
        loop {
            let state = match store.load().await {
                Ok(state) => state,
                Err(_) => continue,
            };
            if store.commit(&change(&state), None).await.is_ok() {
                return;
            }
        }
    };
    tokio::time::timeout(LIMIT, writes).await.expect("no recovery");
}
