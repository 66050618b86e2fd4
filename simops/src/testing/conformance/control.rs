//! Control state, and everything that one commit changes.

use std::sync::Arc;

use serde_json::json;

use super::samples::{answer, at, change, commit, commit_run, day, event, run};
use super::{joined, present};
use crate::control::ControlState;
use crate::run::{EndedBy, RunRecord};
use crate::settings::key;
use crate::store::{ActivityScope, Commit, EventFilter, RunFilter, RunStore, World};
use crate::usage::DayTotals;
use crate::{ErrorKind, Result};

/// A new store has generation 0 and no data, and responds to a ping.
pub async fn a_new_store_is_empty(store: Arc<dyn RunStore>) -> Result<()> {
    assert_eq!(store.load().await?, ControlState::default());
    assert_eq!(store.idempotency_record("key").await?, None);
    assert_eq!(store.runs(&RunFilter::page(None, 10)).await?.items, []);
    assert_eq!(store.audit(10, 0).await?.count, 0);
    assert_eq!(store.audit_after(0, 10).await?, []);
    let all = EventFilter { limit: 10, ..EventFilter::default() };
    assert_eq!(store.events(&all).await?.items, []);
    assert_eq!(store.count_events(&ActivityScope::Since(at(0))).await?, []);
    assert_eq!(store.hosts(at(0)).await?, []);
    assert_eq!(store.day_totals(day()).await?, DayTotals::default());
    assert_eq!(store.epoch(1).await?, None);
    assert_eq!(store.requested_epochs("main", at(0)).await?, []);
    assert_eq!(store.world(1).await?, World::default());
    store.ping().await?;
    assert!(!store.backend().is_empty());
    assert!((0.0..=1.0).contains(&store.pool_utilization()));
    Ok(())
}

/// The state, run record, audit rows, events and idempotency record are stored together.
pub async fn a_commit_stores_all_of_its_parts(store: Arc<dyn RunStore>) -> Result<()> {
    let mut change = change(&store.load().await?);
    change.next.production_mark = true;
    change.next.worlds = [("main".to_owned(), 4), ("élan".to_owned(), 7)].into();
    change.next.overrides.insert(key::RUN_ID.to_owned(), json!("run-1"));
    change.next.overrides.insert(key::BUDGET_SOFT.to_owned(), json!(0.25));
    change.next.run = Some(run("run-1"));
    change.runs = vec![run("run-1")];
    change.events = vec![event(Some("run-1"), "run_started"), event(Some("run-1"), "other")];
    let (key, recorded) = answer("key-1", json!({ "ok": true }));
    assert_eq!(store.commit(&change, Some((&key, &recorded))).await?, Commit::Done);

    assert_eq!(store.load().await?, change.next);
    assert_eq!(store.run("run-1").await?, Some(run("run-1")));
    assert_eq!(store.audit(10, 0).await?.items, change.audit);
    let events = store.events(&EventFilter { limit: 10, ..EventFilter::default() }).await?.items;
    let types: Vec<_> = events.iter().rev().map(|event| event.event_type.as_str()).collect();
    assert_eq!(types, ["run_started", "other"]);
    assert_eq!(store.idempotency_record("key-1").await?, Some(recorded));
    Ok(())
}

/// A commit on a past or future generation stores nothing.
pub async fn a_commit_on_another_generation_changes_nothing(
    store: Arc<dyn RunStore>,
) -> Result<()> {
    let stale = change(&ControlState::default());
    let now = commit(&*store, |_| {}).await?.next;
    for expected_generation in [0, 2, 99] {
        let mut refused = stale.clone();
        refused.expected_generation = expected_generation;
        refused.next.generation = expected_generation + 1;
        refused.runs = vec![run("refused")];
        refused.events = vec![event(None, "refused")];
        let (key, recorded) = answer("refused", json!(1));
        let outcome = store.commit(&refused, Some((&key, &recorded))).await?;
        assert_eq!(outcome, Commit::Conflict);
    }
    assert_eq!(store.load().await?, now);
    assert_nothing_refused(&*store).await
}

/// A commit whose idempotency key has a record stores nothing.
pub async fn a_commit_with_a_used_idempotency_key_changes_nothing(
    store: Arc<dyn RunStore>,
) -> Result<()> {
    let (key, first) = answer("key", json!("first"));
    assert_eq!(store.save_idempotency(&key, &first).await?, Commit::Done);
    let now = commit(&*store, |_| {}).await?.next;
    let mut refused = change(&now);
    refused.runs = vec![run("refused")];
    refused.events = vec![event(None, "refused")];
    let (_, second) = answer("key", json!("second"));
    assert_eq!(store.commit(&refused, Some((&key, &second))).await?, Commit::Conflict);

    assert_eq!(store.load().await?, now);
    assert_eq!(store.idempotency_record("key").await?, Some(first));
    assert_nothing_refused(&*store).await
}

async fn assert_nothing_refused(store: &dyn RunStore) -> Result<()> {
    assert_eq!(store.run("refused").await?, None);
    assert_eq!(store.idempotency_record("refused").await?, None);
    assert_eq!(store.audit(10, 0).await?.count, 1);
    let all = EventFilter { limit: 10, ..EventFilter::default() };
    assert_eq!(store.events(&all).await?.items, []);
    Ok(())
}

/// The first commit on a generation succeeds; the others conflict and store nothing.
pub async fn of_concurrent_commits_on_one_generation_one_is_done(
    store: Arc<dyn RunStore>,
) -> Result<()> {
    let before = store.load().await?;
    let mut rivals = Vec::new();
    for number in 0..64 {
        let (store, mut change) = (Arc::clone(&store), change(&before));
        change.runs = vec![run(&format!("run-{number}"))];
        change.events = vec![event(None, "started")];
        rivals.push(tokio::spawn(async move { store.commit(&change, None).await }));
    }
    let mut done = 0;
    for rival in rivals {
        done += usize::from(joined(rival).await?? == Commit::Done);
    }
    assert_eq!(done, 1);
    assert_eq!(store.load().await?.generation, 1);
    assert_eq!(store.runs(&RunFilter::page(None, 100)).await?.items.len(), 1);
    assert_eq!(store.audit(100, 0).await?.count, 1);
    let all = EventFilter { limit: 100, ..EventFilter::default() };
    assert_eq!(store.events(&all).await?.items.len(), 1);
    Ok(())
}

/// Commits that are retried after a conflict all succeed; the audit trail has no gap.
pub async fn concurrent_commits_that_retry_all_succeed(store: Arc<dyn RunStore>) -> Result<()> {
    let mut rivals = Vec::new();
    for _ in 0..8 {
        let store = Arc::clone(&store);
        rivals.push(tokio::spawn(async move {
            loop {
                let change = change(&store.load().await?);
                if store.commit(&change, None).await? == Commit::Done {
                    return Ok::<_, crate::Error>(());
                }
            }
        }));
    }
    for rival in rivals {
        joined(rival).await??;
    }
    let state = store.load().await?;
    assert_eq!(state.generation, 8);
    let rows = store.audit_after(0, 100).await?;
    let verified = crate::control::audit::verify(&rows, [state.audit_head.clone()]);
    assert_eq!(verified, Ok(state.audit_head));
    Ok(())
}

/// The state contains the latest record of the run named by `SIMULATION_RUN_ID`.
pub async fn the_current_run_is_the_one_that_the_setting_names(
    store: Arc<dyn RunStore>,
) -> Result<()> {
    commit_run(&*store, &run("run-1")).await?;
    let ended = run("run-1").ended(at(60), EndedBy::Operator, "enough");
    commit(&*store, |change| change.runs = vec![ended.clone()]).await?;
    assert_eq!(store.load().await?.run, Some(ended));

    commit_run(&*store, &run("run-2")).await?;
    assert_eq!(present(store.load().await?.run)?.run_id, "run-2");
    commit(&*store, |change| {
        change.next.overrides.remove(key::RUN_ID);
    })
    .await?;
    assert_eq!(store.load().await?.run, None);
    commit(&*store, |change| {
        change.next.overrides.insert(key::RUN_ID.to_owned(), json!("no such run"));
    })
    .await?;
    assert_eq!(store.load().await?.run, None);
    Ok(())
}

/// Open runs other than the current one are part of the state, in the order of their starts.
pub async fn every_open_run_is_part_of_the_state(store: Arc<dyn RunStore>) -> Result<()> {
    let foreign = |name: &str| RunRecord { world: None, ..run(name) };
    commit_run(&*store, &run("current")).await?;
    for name in ["z", "a", "m"] {
        commit(&*store, |change| change.runs = vec![foreign(name)]).await?;
    }
    let in_other_world = RunRecord { world: Some("other".to_owned()), ..run("b") };
    commit(&*store, |change| change.runs = vec![in_other_world.clone()]).await?;
    let state = store.load().await?;
    assert_eq!(state.run, Some(run("current")));
    let others = [foreign("z"), foreign("a"), foreign("m"), in_other_world.clone()];
    assert_eq!(state.other_runs, others);

    // Several change in one commit. One that ends makes room for another in its world.
    let ended = |run: &RunRecord| run.ended(at(9), EndedBy::Operator, "enough");
    let next = RunRecord { run_id: "next".to_owned(), ..in_other_world.clone() };
    let paused = RunRecord { paused: true, gate_generation: 6, ..foreign("a") };
    commit(&*store, |change| {
        change.runs =
            vec![next.clone(), ended(&foreign("z")), paused.clone(), ended(&in_other_world)];
    })
    .await?;
    assert_eq!(store.load().await?.other_runs, [paused, foreign("m"), next]);
    assert_eq!(store.run("z").await?, Some(ended(&foreign("z"))));
    Ok(())
}

/// The store itself refuses a second open run of a world.
pub async fn a_second_open_run_of_a_world_is_refused(store: Arc<dyn RunStore>) -> Result<()> {
    let first = commit_run(&*store, &run("run-1")).await?;
    let mut second = change(&first.next);
    second.runs = vec![run("run-2")];
    let refused = store.commit(&second, None).await;
    assert!(refused.is_err_and(|error| error.kind() == ErrorKind::Internal));
    assert_eq!(store.load().await?, first.next);
    assert_eq!(store.run("run-2").await?, None);

    let ended = run("run-1").ended(at(60), EndedBy::Operator, "enough");
    commit_run(&*store, &ended).await?;
    commit_run(&*store, &run("run-2")).await?;
    let mut reopened = change(&store.load().await?);
    reopened.runs = vec![ended.reopened()];
    assert!(store.commit(&reopened, None).await.is_err());
    assert_eq!(store.run("run-1").await?, Some(ended));
    Ok(())
}
