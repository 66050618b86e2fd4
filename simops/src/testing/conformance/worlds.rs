//! Worlds: epochs, documents and turns.

use std::sync::Arc;

use serde_json::{Value, json};

use super::samples::{at, commit, event, run};
use super::{joined, present};
use crate::control::Change;
use crate::run::RunRecord;
use crate::store::{Documents, EpochStatus, EventFilter, RunStore, TurnCommit, World};
use crate::{ErrorKind, Result};

fn documents<const N: usize>(documents: [(&str, Value); N]) -> Documents {
    documents.into_iter().map(|(name, body)| (name.to_owned(), body)).collect()
}

async fn status(store: &dyn RunStore, epoch: i64) -> Result<EpochStatus> {
    Ok(present(store.epoch(epoch).await?)?.status)
}

/// An epoch that is ready but not current.
async fn built(store: &dyn RunStore, seed: &Documents) -> Result<i64> {
    let epoch = store.request_epoch("main", at(0)).await?;
    assert!(store.claim_epoch(epoch, "host").await?);
    store.finish_epoch(epoch, seed, &json!({ "agents": 2 })).await?;
    Ok(epoch)
}

/// An active epoch, and an open run in it. The commit that activates it also moves the run's gate.
async fn current(store: &dyn RunStore) -> Result<i64> {
    let epoch = built(store, &documents([("laws", json!([])), ("market", json!({}))])).await?;
    commit(store, |change| {
        change.next.worlds.insert("main".to_owned(), epoch);
        move_gate(change);
    })
    .await?;
    Ok(epoch)
}

/// Moves the gate of the run.
fn move_gate(change: &mut Change) {
    change.runs = vec![RunRecord { gate_generation: change.next.generation, ..run("run") }];
}

fn turn(epoch: i64, generation: u64, expected_version: i64) -> TurnCommit {
    TurnCommit {
        run_id: "run".to_owned(),
        generation,
        epoch,
        expected_version,
        documents: documents([("market", json!({ "price": expected_version }))]),
        events: vec![event(Some("run"), "trade")],
    }
}

async fn assert_stale(store: &dyn RunStore, turn: &TurnCommit) -> Result<()> {
    let all = EventFilter { limit: 100, ..EventFilter::default() };
    let before = (store.world(turn.epoch).await?, store.events(&all).await?);
    let refused = store.commit_turn(turn).await;
    assert!(refused.is_err_and(|error| error.kind() == ErrorKind::Stale), "{turn:?}");
    assert_eq!((store.world(turn.epoch).await?, store.events(&all).await?), before);
    Ok(())
}

/// An epoch is requested, building, then ready with its documents.
pub async fn an_epoch_is_requested_claimed_and_finished(store: Arc<dyn RunStore>) -> Result<()> {
    let epoch = store.request_epoch("main", at(5)).await?;
    assert_eq!(status(&*store, epoch).await?, EpochStatus::Requested);
    assert_eq!(present(store.epoch(epoch).await?)?.requested_at, at(5));
    assert!(store.claim_epoch(epoch, "host-1").await?);
    let building = EpochStatus::Building { host_id: "host-1".to_owned() };
    assert_eq!(status(&*store, epoch).await?, building);
    assert_eq!(store.world(epoch).await?, World::default());

    let seed = documents([("agents", json!({ "1": { "food": 3 } })), ("gone", Value::Null)]);
    let result = json!({ "agents": 1 });
    store.finish_epoch(epoch, &seed, &result).await?;
    assert_eq!(status(&*store, epoch).await?, EpochStatus::Ready { result });
    let expected = documents([("agents", json!({ "1": { "food": 3 } }))]);
    assert_eq!(store.world(epoch).await?, World { version: 0, documents: expected });
    assert!(store.request_epoch("main", at(6)).await? > epoch);
    Ok(())
}

/// A failed epoch stores its reason and cannot be claimed again.
pub async fn a_failed_epoch_stores_its_reason(store: Arc<dyn RunStore>) -> Result<()> {
    let epoch = store.request_epoch("main", at(0)).await?;
    store.claim_epoch(epoch, "host").await?;
    store.fail_epoch(epoch, "no seed").await?;
    store.fail_epoch(epoch, "another reason").await?;
    let failed = EpochStatus::Failed { reason: "no seed".to_owned() };
    assert_eq!(status(&*store, epoch).await?, failed);
    assert!(!store.claim_epoch(epoch, "other").await?);
    Ok(())
}

/// Of several concurrent claims of an epoch, one succeeds.
pub async fn of_concurrent_claims_one_wins(store: Arc<dyn RunStore>) -> Result<()> {
    let epoch = store.request_epoch("main", at(0)).await?;
    let mut rivals = Vec::new();
    for number in 0..16 {
        let (store, host_id) = (Arc::clone(&store), format!("host-{number}"));
        rivals.push(tokio::spawn(async move {
            Ok::<_, crate::Error>((store.claim_epoch(epoch, &host_id).await?, host_id))
        }));
    }
    let mut winners = Vec::new();
    for rival in rivals {
        let (won, host_id) = joined(rival).await??;
        winners.extend(won.then_some(EpochStatus::Building { host_id }));
    }
    assert_eq!(winners, [status(&*store, epoch).await?]);
    assert!(!store.claim_epoch(epoch + 1, "host").await?);
    Ok(())
}

/// Ending an epoch that is unknown, unclaimed, or ended differently is a conflict. Ending it in the
/// same way again changes nothing, even after turns.
pub async fn only_an_epoch_that_is_being_built_can_end(store: Arc<dyn RunStore>) -> Result<()> {
    let (seed, result) = (documents([("seed", json!(1))]), json!({}));
    let requested = store.request_epoch("main", at(0)).await?;
    for epoch in [requested, requested + 1] {
        let finished = store.finish_epoch(epoch, &seed, &result).await;
        assert!(finished.is_err_and(|error| error.kind() == ErrorKind::Conflict));
        let failed = store.fail_epoch(epoch, "reason").await;
        assert!(failed.is_err_and(|error| error.kind() == ErrorKind::Conflict));
    }
    assert_eq!(status(&*store, requested).await?, EpochStatus::Requested);

    let ready = current(&*store).await?;
    store.commit_turn(&turn(ready, 1, 0)).await?;
    let world = store.world(ready).await?;
    store.finish_epoch(ready, &seed, &json!("other")).await?;
    assert!(store.fail_epoch(ready, "reason").await.is_err());
    assert_eq!(store.world(ready).await?, world);
    let result = json!({ "agents": 2 });
    assert_eq!(status(&*store, ready).await?, EpochStatus::Ready { result });
    Ok(())
}

/// Unclaimed requests since a time are listed.
pub async fn recent_epoch_requests_are_listed_oldest_first(store: Arc<dyn RunStore>) -> Result<()> {
    let mut epochs = Vec::new();
    for seconds in [0, 10, 20, 30] {
        epochs.push(store.request_epoch("main", at(seconds)).await?);
    }
    let other = store.request_epoch("other", at(30)).await?;
    store.claim_epoch(epochs[2], "host").await?;
    let listed = store.requested_epochs("other", at(10)).await?;
    assert_eq!(
        listed.iter().map(|row| (row.epoch, &*row.world)).collect::<Vec<_>>(),
        [(other, "other")]
    );
    let listed = store.requested_epochs("main", at(10)).await?;
    let numbers: Vec<_> = listed.iter().map(|row| row.epoch).collect();
    assert_eq!(numbers, [epochs[1], epochs[3]]);
    assert!(listed.iter().all(|row| row.status == EpochStatus::Requested));
    Ok(())
}

/// The newest epochs of a world, recent ones, the active one and those of other worlds are kept. Numbers
/// are never reused.
pub async fn old_epochs_are_deleted_except_the_newest_and_the_current(
    store: Arc<dyn RunStore>,
) -> Result<()> {
    let in_state = current(&*store).await?;
    let mut epochs = Vec::new();
    for seconds in [1, 2, 3, 100, 4] {
        epochs.push(store.request_epoch("main", at(seconds)).await?);
    }
    let foreign = store.request_epoch("other", at(5)).await?;
    store.claim_epoch(epochs[1], "host").await?;
    store.finish_epoch(epochs[1], &documents([("a", json!(1))]), &json!({})).await?;
    let [oldest, old, also_old, recent, newest] = epochs[..] else { return Ok(()) };
    assert_eq!(store.delete_epochs("main", at(50), 1).await?, 3);
    for deleted in [oldest, old, also_old] {
        assert_eq!(store.epoch(deleted).await?, None);
        assert_eq!(store.world(deleted).await?, World::default());
    }
    for kept in [in_state, recent, newest, foreign] {
        assert!(store.epoch(kept).await?.is_some());
    }
    assert_eq!(store.world(in_state).await?.documents.len(), 2);
    assert_eq!(store.delete_epochs("main", at(200), 0).await?, 2);
    assert_eq!(store.delete_epochs("other", at(200), 0).await?, 1);
    assert!(store.request_epoch("main", at(300)).await? > foreign);
    Ok(())
}

/// An unknown epoch has no documents and accepts no turn.
pub async fn an_unknown_epoch_is_an_empty_world(store: Arc<dyn RunStore>) -> Result<()> {
    assert_eq!(store.epoch(99).await?, None);
    assert_eq!(store.world(99).await?, World::default());
    let refused = store.commit_turn(&turn(99, 0, 0)).await;
    assert!(refused.is_err_and(|error| error.kind() == ErrorKind::Stale));
    Ok(())
}

/// A turn writes, replaces and removes documents, appends events, and increments the version.
pub async fn a_turn_changes_documents_and_events_together(store: Arc<dyn RunStore>) -> Result<()> {
    let epoch = current(&*store).await?;
    let other = built(&*store, &documents([("market", json!("other"))])).await?;
    let first = TurnCommit {
        documents: documents([("market", json!({ "price": 3 })), ("agents", json!([1]))]),
        events: vec![event(Some("run"), "trade"), event(Some("run"), "work")],
        ..turn(epoch, 1, 0)
    };
    assert_eq!(store.commit_turn(&first).await?, 1);
    let second = TurnCommit {
        documents: documents([("laws", Value::Null), ("nothing", Value::Null)]),
        ..turn(epoch, 1, 1)
    };
    assert_eq!(store.commit_turn(&second).await?, 2);
    let expected = documents([("market", json!({ "price": 3 })), ("agents", json!([1]))]);
    assert_eq!(store.world(epoch).await?, World { version: 2, documents: expected });
    assert_eq!(store.world(other).await?.documents, documents([("market", json!("other"))]));
    let listed = store.events(&EventFilter { limit: 10, ..EventFilter::default() }).await?.items;
    let types: Vec<_> = listed.iter().map(|event| event.event_type.as_str()).collect();
    assert_eq!(types, ["trade", "work", "trade"]);
    Ok(())
}

/// A turn that began before the gate moved changes nothing. A commit that does not move the gate
/// refuses no turn.
pub async fn a_turn_of_an_older_gate_is_stale(store: Arc<dyn RunStore>) -> Result<()> {
    let epoch = current(&*store).await?;
    commit(&*store, |_| {}).await?;
    store.commit_turn(&turn(epoch, 1, 0)).await?;
    commit(&*store, move_gate).await?;
    assert_stale(&*store, &turn(epoch, 1, 1)).await?;
    assert_stale(&*store, &turn(epoch, 2, 1)).await?;
    store.commit_turn(&turn(epoch, 3, 1)).await?;
    Ok(())
}

/// Only the current epoch accepts turns.
pub async fn a_turn_in_another_epoch_is_stale(store: Arc<dyn RunStore>) -> Result<()> {
    let not_yet = built(&*store, &documents([("market", json!({}))])).await?;
    assert_stale(&*store, &turn(not_yet, 0, 0)).await?;
    let epoch = current(&*store).await?;
    assert_stale(&*store, &turn(not_yet, 1, 0)).await?;
    commit(&*store, |change| change.next.worlds = [("main".to_owned(), not_yet)].into()).await?;
    assert_stale(&*store, &turn(epoch, 2, 0)).await?;
    store.commit_turn(&turn(not_yet, 2, 0)).await?;
    Ok(())
}

/// A run's gate concerns its own turns. A turn of a run that does not exist, or has no world, is stale.
pub async fn a_turn_needs_a_run_in_its_world(store: Arc<dyn RunStore>) -> Result<()> {
    let epoch = current(&*store).await?;
    let foreign = RunRecord { world: None, gate_generation: 9, ..run("foreign") };
    let elsewhere = RunRecord { world: Some("other".to_owned()), ..run("elsewhere") };
    commit(&*store, |change| change.runs = vec![foreign, elsewhere]).await?;
    for name in ["foreign", "elsewhere", "unknown"] {
        let turn = TurnCommit { run_id: name.to_owned(), ..turn(epoch, 9, 0) };
        assert_stale(&*store, &turn).await?;
    }
    store.commit_turn(&turn(epoch, 1, 0)).await?;
    Ok(())
}

/// A turn on a past or future version of the world is refused.
pub async fn a_turn_on_another_version_is_stale(store: Arc<dyn RunStore>) -> Result<()> {
    let epoch = current(&*store).await?;
    store.commit_turn(&turn(epoch, 1, 0)).await?;
    for version in [-1, 0, 2] {
        assert_stale(&*store, &turn(epoch, 1, version)).await?;
    }
    Ok(())
}

/// Of several turns on the same version of the world, one is committed.
pub async fn of_concurrent_turns_on_one_version_one_is_done(
    store: Arc<dyn RunStore>,
) -> Result<()> {
    let epoch = current(&*store).await?;
    let mut rivals = Vec::new();
    for _ in 0..16 {
        let (store, turn) = (Arc::clone(&store), turn(epoch, 1, 0));
        rivals.push(tokio::spawn(async move { store.commit_turn(&turn).await }));
    }
    let mut done = 0;
    for rival in rivals {
        match joined(rival).await? {
            Ok(version) => {
                assert_eq!(version, 1);
                done += 1;
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::Stale),
        }
    }
    assert_eq!(done, 1);
    let all = EventFilter { limit: 100, ..EventFilter::default() };
    assert_eq!(store.events(&all).await?.items.len(), 1);
    Ok(())
}
