//! Several handles on one content, as several processes have them.

use std::time::Duration;

use serde_json::json;
use tokio::sync::watch;

use super::samples::{at, call, change, commit, commit_run, day, event, host, run};
use super::{StoreBuilder, present};
use crate::store::{
    Commit, ControlStore, Documents, EventFilter, EventStore, HostStore, UsageStore, WorldStore,
};
use crate::{Error, Result};

/// Normally far sooner; the deadline only ends a case that failed.
const TOLD_WITHIN: Duration = Duration::from_secs(5);

/// A write that has returned is seen by every handle.
pub async fn another_handle_sees_what_was_written<B: StoreBuilder>(builder: &B) -> Result<()> {
    let (one, guard) = builder.build().await?;
    let Some(other) = builder.open_again(&guard).await? else { return Ok(()) };
    for number in 1..=5 {
        let written = commit(&one, |change| change.events = vec![event(None, "told")]).await?;
        assert_eq!(other.load().await?, written.next);
        assert_eq!(other.audit(100, 0).await?.count, number * 2 - 1);
        let written = commit(&other, |_| {}).await?;
        assert_eq!(one.load().await?, written.next);
    }
    let all = EventFilter { limit: 100, ..EventFilter::default() };
    assert_eq!(other.events(&all).await?, one.events(&all).await?);
    Ok(())
}

/// A watch moves by what another handle writes, and what it tells of is there to be read.
pub async fn another_handle_is_told_of_changes<B: StoreBuilder>(builder: &B) -> Result<()> {
    let (one, guard) = builder.build().await?;
    let Some(other) = builder.open_again(&guard).await? else { return Ok(()) };
    let mut watch = other.watch();
    commit(&one, |_| {}).await?;
    until_told(&mut watch, async || Ok(other.load().await?.generation == 1)).await?;
    one.report(&host("host", 0)).await?;
    until_told(&mut watch, async || Ok(other.hosts(at(0)).await?.len() == 1)).await?;
    let epoch = one.request_epoch(at(0)).await?;
    until_told(&mut watch, async || Ok(other.epoch(epoch).await?.is_some())).await?;
    one.claim_epoch(epoch, "host").await?;
    until_told(&mut watch, async || Ok(other.requested_epochs(at(0)).await?.is_empty())).await?;
    Ok(())
}

/// Looks whenever the watch moves, and only then, until `there`.
async fn until_told(
    watch: &mut watch::Receiver<u64>,
    there: impl AsyncFn() -> Result<bool>,
) -> Result<()> {
    let told = async {
        loop {
            let moved = watch.changed().await;
            moved.map_err(|_| Error::internal("the watch has ended"))?;
            if there().await? {
                return Ok(());
            }
        }
    };
    let late = |_| Error::internal("a change was never told");
    tokio::time::timeout(TOLD_WITHIN, told).await.map_err(late)?
}

/// Decisions of two handles on one generation exclude each other.
pub async fn handles_do_not_outdate_each_other_unseen<B: StoreBuilder>(builder: &B) -> Result<()> {
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

/// Closing a store loses nothing.
pub async fn what_was_written_survives_reopening<B: StoreBuilder>(builder: &B) -> Result<()> {
    let (store, guard) = builder.build().await?;
    let epoch = store.request_epoch(at(0)).await?;
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
