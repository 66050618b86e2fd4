//! What the tests share.

use jiff::Timestamp;
use simops::control::{Change, ControlState};
use simops::event::NewEvent;
use simops::store::ControlStore;
use simops_postgres::PostgresStore;

pub(crate) use simops_tests::wait::LIMIT;

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

/// Commits a change.
pub(crate) async fn commit(store: &PostgresStore) {
    let change = change(&store.load().await.unwrap());
    store.commit(&change, None).await.unwrap();
}
