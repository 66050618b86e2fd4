//! How long a response is repeated.

use std::sync::Arc;

use jiff::SignedDuration;
use simops::control::Environment;
use simops::ops::{Caller, Ops, OpsOptions, RunBody, StartRun};
use simops::store::{ControlStore, IDEMPOTENCY_PERIOD, IdempotencyKey};
use simops::testing::{ManualClock, MemoryStore};
use simops::{ErrorKind, Result};

fn caller(fingerprint: &str) -> Caller {
    let (key, fingerprint) = ("key".to_owned(), fingerprint.to_owned());
    Caller {
        actor: "ada".to_owned(),
        idempotency: Some(IdempotencyKey { key, fingerprint }),
        ..Caller::default()
    }
}

async fn pause(ops: &Ops, fingerprint: &str) -> Result<bool> {
    let writer = ops.writer(&caller(fingerprint)).await?;
    writer.pause(&RunBody::default()).await.map(|paused| paused.simulation_paused)
}

async fn is_paused(ops: &Ops) -> bool {
    ops.status().await.unwrap().viewer_ops.simulation_paused
}

#[tokio::test]
async fn a_response_is_repeated_for_24_hours_and_then_forgotten() {
    let (store, clock) = (Arc::new(MemoryStore::new()), Arc::new(ManualClock::default()));
    let options = OpsOptions::of(Environment::Development);
    let ops = Ops::new(store.clone(), clock.clone(), options);
    let keyless = Caller::default();
    let start = StartRun { mode: Some("test".to_owned()), ..StartRun::default() };
    ops.writer(&keyless).await.unwrap().start_run(&start).await.unwrap();
    assert!(pause(&ops, "one").await.unwrap());
    ops.writer(&keyless).await.unwrap().resume(&RunBody::default()).await.unwrap();

    let step = SignedDuration::from_micros(1);
    clock.advance(IDEMPOTENCY_PERIOD - step);
    assert!(pause(&ops, "one").await.unwrap());
    assert!(!is_paused(&ops).await, "the first response is repeated");
    assert_eq!(pause(&ops, "other").await.unwrap_err().kind(), ErrorKind::Invalid);
    assert!(!ops.system().delete_expired_responses().await.unwrap());
    assert!(store.idempotency_record("key").await.unwrap().is_some());

    clock.advance(step);
    assert!(pause(&ops, "other").await.unwrap());
    assert!(is_paused(&ops).await, "the key is free");

    clock.advance(IDEMPOTENCY_PERIOD);
    assert!(!ops.system().delete_expired_responses().await.unwrap());
    assert_eq!(store.idempotency_record("key").await.unwrap(), None);
}
