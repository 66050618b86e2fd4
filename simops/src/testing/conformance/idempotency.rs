//! Idempotency records.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::json;

use super::samples::{answer, at, change};
use super::{joined, present};
use crate::Result;
use crate::store::{Commit, IDEMPOTENCY_PERIOD, IdempotencyRecord, RunStore};

/// The first record of a key is never replaced.
pub async fn an_idempotency_record_is_stored_once(store: Arc<dyn RunStore>) -> Result<()> {
    let (key, first) = answer("key", json!({ "first": [1, null] }));
    assert_eq!(store.save_idempotency(&key, &first).await?, Commit::Done);
    let (_, second) = answer("key", json!("second"));
    assert_eq!(store.save_idempotency(&key, &second).await?, Commit::Conflict);
    assert_eq!(store.idempotency_record("key").await?, Some(first));
    assert_eq!(store.idempotency_record("KEY").await?, None);
    Ok(())
}

/// Of several concurrent records of one key, one is stored.
pub async fn of_concurrent_records_of_one_key_one_is_stored(
    store: Arc<dyn RunStore>,
) -> Result<()> {
    let mut rivals = Vec::new();
    for number in 0..16 {
        let (store, (key, recorded)) = (Arc::clone(&store), answer("key", json!(number)));
        rivals.push(tokio::spawn(async move {
            Ok::<_, crate::Error>((store.save_idempotency(&key, &recorded).await?, recorded))
        }));
    }
    let mut kept = Vec::new();
    for rival in rivals {
        let (outcome, recorded) = joined(rival).await??;
        if outcome == Commit::Done {
            kept.push(recorded);
        }
    }
    assert_eq!(kept, [present(store.idempotency_record("key").await?)?]);
    Ok(())
}

/// Stores a response under a key, created some seconds after the start of the tests.
async fn save(store: &dyn RunStore, name: &str, seconds: i64) -> Result<Commit> {
    let (key, recorded) = answer(name, json!(seconds));
    let recorded = IdempotencyRecord { created_at: at(seconds), ..recorded };
    store.save_idempotency(&key, &recorded).await
}

async fn stored_at(store: &dyn RunStore, name: &str) -> Result<Option<Timestamp>> {
    Ok(store.idempotency_record(name).await?.map(|recorded| recorded.created_at))
}

/// After 24 hours, and no earlier, a key is free: its record is replaced, alone or in a commit.
pub async fn an_expired_idempotency_record_is_replaced(store: Arc<dyn RunStore>) -> Result<()> {
    let period = IDEMPOTENCY_PERIOD.as_secs();
    assert_eq!(period, 24 * 60 * 60);
    for name in ["alone", "commit"] {
        assert_eq!(save(&*store, name, 0).await?, Commit::Done);
        assert_eq!(save(&*store, name, period - 1).await?, Commit::Conflict);
    }
    let (key, recorded) = answer("commit", json!("again"));
    let again = |seconds| IdempotencyRecord { created_at: at(seconds), ..recorded.clone() };
    let change = change(&store.load().await?);
    let early = again(period - 1);
    assert_eq!(store.commit(&change, Some((&key, &early))).await?, Commit::Conflict);
    assert_eq!(store.load().await?.generation, 0);
    assert_eq!(store.commit(&change, Some((&key, &again(period)))).await?, Commit::Done);
    assert_eq!(store.idempotency_record("commit").await?, Some(again(period)));

    assert_eq!(save(&*store, "alone", period).await?, Commit::Done);
    assert_eq!(stored_at(&*store, "alone").await?, Some(at(period)));
    assert_eq!(save(&*store, "alone", period + 1).await?, Commit::Conflict);
    Ok(())
}

/// Expired records are deleted, the oldest first and no more than wanted.
pub async fn expired_idempotency_records_are_deleted_in_pieces(
    store: Arc<dyn RunStore>,
) -> Result<()> {
    for (name, seconds) in [("third", 10), ("first", 0), ("second", 5), ("fourth", 11)] {
        save(&*store, name, seconds).await?;
    }
    let now = at(10) + IDEMPOTENCY_PERIOD;
    assert_eq!(store.delete_expired_idempotency(now, 2).await?, 2);
    for (name, is_kept) in [("first", false), ("second", false), ("third", true)] {
        assert_eq!(stored_at(&*store, name).await?.is_some(), is_kept, "{name}");
    }
    assert_eq!(store.delete_expired_idempotency(now, 2).await?, 1);
    assert_eq!(store.delete_expired_idempotency(now, 2).await?, 0);
    assert_eq!(stored_at(&*store, "fourth").await?, Some(at(11)));
    assert_eq!(save(&*store, "first", 20).await?, Commit::Done);
    Ok(())
}
