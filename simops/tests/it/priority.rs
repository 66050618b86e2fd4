//! Run control goes on while slower writes wait for the store.

use std::sync::Arc;
use std::time::Duration;

use simops::SystemClock;
use simops::control::Environment;
use simops::ops::{Caller, Ops, OpsOptions, RunBody, StartRun};
use simops::testing::{Fault, FaultyStore, MemoryStore};
use tokio::time::timeout;

#[tokio::test(start_paused = true)]
async fn a_pause_does_not_wait_for_the_reads_of_alerts() {
    let store = Arc::new(FaultyStore::new(Arc::new(MemoryStore::new())));
    let options = OpsOptions::of(Environment::Development);
    let ops = Arc::new(Ops::new(store.clone(), Arc::new(SystemClock), options));
    // The control state is read, and the first read of visitors' sums gets no answer.
    let first = store.calls() + 1;
    store.fail(first..first + 1, Fault::Hang);
    let evaluation = tokio::spawn({
        let ops = Arc::clone(&ops);
        async move { ops.system().evaluate_alerts().await }
    });
    while store.calls() <= first {
        tokio::task::yield_now().await;
    }
    assert!(!evaluation.is_finished());
    let control = async {
        let writer = ops.writer(&Caller::default()).await.unwrap();
        let start = StartRun { mode: Some("test".to_owned()), ..StartRun::default() };
        writer.start_run(&start).await.unwrap();
        writer.pause(&RunBody::default()).await.unwrap();
    };
    timeout(Duration::from_secs(60), control).await.expect("run control waits for alerts");
    evaluation.abort();
}
