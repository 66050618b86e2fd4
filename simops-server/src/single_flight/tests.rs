//! One computation for all who ask at once.

use std::sync::atomic::{AtomicU64, Ordering};

use super::*;

#[tokio::test]
async fn is_computed_once_for_concurrent_callers_and_again_when_the_revision_moves() {
    let fresh = SingleFlight::new(Duration::from_secs(60));
    let (revision, computed) = (AtomicU64::new(1), AtomicU64::new(0));
    let ask = async || {
        let now = || revision.load(Ordering::SeqCst);
        let compute = async || {
            tokio::task::yield_now().await;
            Ok(computed.fetch_add(1, Ordering::SeqCst))
        };
        fresh.get(now, compute).await.unwrap()
    };
    let (first, second) = tokio::join!(ask(), ask());
    assert_eq!((first, second), (0, 0));
    revision.store(2, Ordering::SeqCst);
    assert_eq!(ask().await, 1);
}

#[tokio::test]
async fn a_failure_is_shared_only_with_the_callers_that_waited() {
    let fresh = SingleFlight::<u64>::new(Duration::from_secs(60));
    let tried = AtomicU64::new(0);
    let ask = async || {
        let compute = async || {
            tokio::task::yield_now().await;
            tried.fetch_add(1, Ordering::SeqCst);
            Err(Problem::no_such_path())
        };
        fresh.get(|| 1, compute).await.unwrap_err()
    };
    tokio::join!(ask(), ask(), ask());
    assert_eq!(tried.load(Ordering::SeqCst), 1);
    ask().await;
    assert_eq!(tried.load(Ordering::SeqCst), 2);
}
