//! The watched revision.

use std::sync::Arc;

use serde_json::json;

use super::samples::{at, call, commit, commit_run, event, host, run};
use crate::Result;
use crate::control::{HostReport, HostState};
use crate::store::{Documents, RunStore, TurnCommit};

/// A commit moves the watch, and its state can then be read.
pub async fn a_commit_moves_the_watch(store: Arc<dyn RunStore>) -> Result<()> {
    let mut watch = store.watch();
    for generation in 1..=3 {
        watch.mark_unchanged();
        commit(&*store, |_| {}).await?;
        assert!(watch.has_changed().unwrap_or_default());
        assert_eq!(store.load().await?.generation, generation);
    }
    Ok(())
}

/// The first report, a change of state or generation, and leaving move the watch; the time and the
/// calls in flight do not.
pub async fn a_host_moves_the_watch_by_a_change_but_not_by_a_heartbeat(
    store: Arc<dyn RunStore>,
) -> Result<()> {
    let mut watch = store.watch();
    let first = host("host", 0);
    let heartbeat = HostReport { last_seen: at(2), in_flight_calls: 9, ..first.clone() };
    let other_state = HostReport { state: HostState::Quiescing, ..heartbeat.clone() };
    let other_generation = HostReport { generation: 8, ..other_state.clone() };
    let other_run = HostReport { run_id: None, ..other_generation.clone() };
    for (report, moves) in [
        (&first, true),
        (&first, false),
        (&heartbeat, false),
        (&other_state, true),
        (&other_state, false),
        (&other_generation, true),
        (&other_run, true),
        (&other_run, false),
    ] {
        watch.mark_unchanged();
        store.report(report).await?;
        assert_eq!(watch.has_changed().unwrap_or_default(), moves, "{report:?}");
    }
    watch.mark_unchanged();
    store.leave("host").await?;
    assert!(watch.has_changed().unwrap_or_default());
    watch.mark_unchanged();
    store.leave("host").await?;
    assert!(!watch.has_changed().unwrap_or_default());
    Ok(())
}

/// Requesting, claiming, finishing and failing an epoch each move the watch once.
pub async fn every_step_of_an_epoch_moves_the_watch(store: Arc<dyn RunStore>) -> Result<()> {
    let mut watch = store.watch();
    let mut moved = || {
        let moved = watch.has_changed().unwrap_or_default();
        watch.mark_unchanged();
        moved
    };
    let built = store.request_epoch("main", at(0)).await?;
    assert!(moved());
    assert!(store.claim_epoch(built, "host").await?);
    assert!(moved());
    assert!(!store.claim_epoch(built, "other").await?);
    assert!(!moved());
    store.finish_epoch(built, &Documents::new(), &json!({})).await?;
    assert!(moved());
    store.finish_epoch(built, &Documents::new(), &json!({})).await?;
    assert!(!moved());

    let failed = store.request_epoch("main", at(0)).await?;
    store.claim_epoch(failed, "host").await?;
    assert!(moved());
    store.fail_epoch(failed, "no seed").await?;
    assert!(moved());
    Ok(())
}

/// Frequent writes do not move the watch.
pub async fn turns_events_and_usage_do_not_move_the_watch(store: Arc<dyn RunStore>) -> Result<()> {
    let epoch = store.request_epoch("main", at(0)).await?;
    store.claim_epoch(epoch, "host").await?;
    store.finish_epoch(epoch, &Documents::new(), &json!({})).await?;
    commit_run(&*store, &run("run")).await?;
    commit(&*store, |change| change.next.worlds = [("main".to_owned(), epoch)].into()).await?;
    let mut watch = store.watch();
    watch.mark_unchanged();
    let turn = TurnCommit {
        run_id: "run".to_owned(),
        generation: 1,
        epoch,
        expected_version: 0,
        documents: Documents::new(),
        events: vec![event(None, "work")],
    };
    store.commit_turn(&turn).await?;
    store.append(&[event(None, "work")]).await?;
    store.record_usage(&[call(None, "groq", "m", 1)]).await?;
    assert!(!watch.has_changed().unwrap_or_default());
    Ok(())
}
