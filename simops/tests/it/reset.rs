//! Who is asked to build a new world.

use std::sync::Arc;
use std::time::Duration;

use simops::control::HostState;
use simops::control::{Environment, HostReport};
use simops::ops::{Caller, Ops, OpsOptions, RunBody};
use simops::store::HostStore;
use simops::testing::{ManualClock, MemoryStore};
use simops::{Clock, ErrorKind};

fn desk() -> (Arc<MemoryStore>, Arc<ManualClock>, Ops) {
    let (store, clock) = (Arc::new(MemoryStore::new()), Arc::new(ManualClock::default()));
    let ops = Ops::new(store.clone(), clock.clone(), OpsOptions::of(Environment::Development));
    (store, clock, ops)
}

#[tokio::test(start_paused = true)]
async fn a_host_that_has_just_started_is_waited_for() {
    let (store, clock, ops) = desk();
    let reset = tokio::spawn(async move {
        ops.writer(&Caller::default())
            .await
            .unwrap()
            .reset_world(&RunBody::default())
            .await
            .unwrap_err()
    });
    tokio::time::sleep(Duration::from_millis(900)).await;
    let report = HostReport {
        id: "h".to_owned(),
        version: simops::VERSION.to_owned(),
        last_seen: clock.now(),
        generation: 0,
        state: HostState::Idle,
        in_flight_calls: 0,
        kind: "commons".to_owned(),
        world: Some("main".to_owned()),
        run_id: None,
    };
    store.report(&report).await.unwrap();
    // It was asked, and this one never builds.
    let refused = reset.await.unwrap();
    assert_eq!(refused.kind(), ErrorKind::Unavailable, "{refused}");
}

#[tokio::test(start_paused = true)]
async fn without_a_host_a_reset_is_refused() {
    let (_store, _clock, ops) = desk();
    let refused = ops
        .writer(&Caller::default())
        .await
        .unwrap()
        .reset_world(&RunBody::default())
        .await
        .unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    assert!(refused.detail().contains("no live host"), "{refused}");
}
