//! Several handles to the same content, as in several processes.

use std::time::Duration;

use serde_json::json;
use tokio::sync::watch;

use super::samples::{at, call, change, commit, commit_run, day, event, host, run};
use super::{StoreBuilder, present};
use crate::store::{
    Commit, ControlStore, Documents, EventFilter, EventStore, HostStore, UsageStore, WorldStore,
};
use crate::{Error, Result};

/// Limit for a notification to arrive; normally far sooner.
const NOTIFY_TIMEOUT: Duration = Duration::from_secs(5);

/// Every handle sees a write once it has returned.
pub async fn another_handle_sees_what_was_written<B: StoreBuilder>(builder: &B) -> Result<()> {
    let (one, guard) = builder.build().await?;
    let Some(other) = builder.open_again(&guard).await? else { return Ok(()) };
    for number in 1..=5 {
        let written = commit(&one, |change| change.events = vec![event(None, "written")]).await?;
        assert_eq!(other.load().await?, written.next);
        assert_eq!(other.audit(100, 0).await?.count, number * 2 - 1);
        let written = commit(&other, |_| {}).await?;
        assert_eq!(one.load().await?, written.next);
    }
    let all = EventFilter { limit: 100, ..EventFilter::default() };
    assert_eq!(other.events(&all).await?, one.events(&all).await?);
    Ok(())
}

/// The watched revision moves after another handle's write, which can then be read.
pub async fn another_handle_is_notified_of_changes<B: StoreBuilder>(builder: &B) -> Result<()> {
    let (one, guard) = builder.build().await?;
    let Some(other) = builder.open_again(&guard).await? else { return Ok(()) };
    let mut watch = other.watch();
    commit(&one, |_| {}).await?;
    wait_until(&mut watch, async || Ok(other.load().await?.generation == 1)).await?;
    one.report(&host("host", 0)).await?;
    wait_until(&mut watch, async || Ok(other.hosts(at(0)).await?.len() == 1)).await?;
    let epoch = one.request_epoch("main", at(0)).await?;
    wait_until(&mut watch, async || Ok(other.epoch(epoch).await?.is_some())).await?;
    one.claim_epoch(epoch, "host").await?;
    wait_until(&mut watch, async || Ok(other.requested_epochs("main", at(0)).await?.is_empty()))
        .await?;
    Ok(())
}

/// Checks `condition` each time the watch moves, until it is true.
async fn wait_until(
    watch: &mut watch::Receiver<u64>,
    condition: impl AsyncFn() -> Result<bool>,
) -> Result<()> {
    let waiting = async {
        loop {
            let moved = watch.changed().await;
            moved.map_err(|_| Error::internal("the watch has ended"))?;
            if condition().await? {
                return Ok(());
            }
        }
    };
    let late = |_| Error::internal("the watch did not report a change");
    tokio::time::timeout(NOTIFY_TIMEOUT, waiting).await.map_err(late)?
}

/// Of two commits on one generation through different handles, one conflicts.
pub async fn conflicting_commits_of_two_handles_are_detected<B: StoreBuilder>(
    builder: &B,
) -> Result<()> {
    let (one, guard) = builder.build().await?;
    let Some(other) = builder.open_again(&guard).await? else { return Ok(()) };
    for _ in 0..20 {
        let rival = change(&one.load().await?);
        let (first, second) = tokio::join!(one.commit(&rival, None), other.commit(&rival, None));
        let mut outcomes = [first?, second?];
        outcomes.sort_by_key(|outcome| *outcome == Commit::Conflict);
        assert_eq!(outcomes, [Commit::Done, Commit::Conflict]);
    }
    assert_eq!(other.load().await?.generation, 20);
    Ok(())
}

/// Closing and reopening a store loses nothing.
pub async fn what_was_written_survives_reopening<B: StoreBuilder>(builder: &B) -> Result<()> {
    let (store, guard) = builder.build().await?;
    let epoch = store.request_epoch("main", at(0)).await?;
    store.claim_epoch(epoch, "host").await?;
    let documents = Documents::from([("laws".to_owned(), json!(["no theft"]))]);
    store.finish_epoch(epoch, &documents, &json!({})).await?;
    let state = commit_run(&store, &run("run")).await?.next;
    store.append(&[event(Some("run"), "work")]).await?;
    store.record_usage(&[call(Some("run"), "groq", "m", 5)]).await?;
    store.report(&host("host", 0)).await?;
    drop(store);

    let Some(store) = builder.open_again(&guard).await? else { return Ok(()) };
    assert_eq!(store.load().await?, state);
    assert_eq!(store.world(epoch).await?.documents, documents);
    let all = EventFilter { limit: 10, ..EventFilter::default() };
    assert_eq!(present(store.events(&all).await?.items.first())?.event_type, "work");
    assert_eq!(store.day_totals(day()).await?.calls_groq, 1);
    assert_eq!(store.hosts(at(0)).await?, [host("host", 0)]);
    commit(&store, |_| {}).await?;
    Ok(())
}
