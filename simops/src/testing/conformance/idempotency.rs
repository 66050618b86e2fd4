//! Idempotency records.

use std::sync::Arc;

use serde_json::json;

use super::samples::{answer, at};
use super::{joined, present};
use crate::Result;
use crate::store::{Commit, IdempotencyRecord, RunStore};

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

/// Records created before a time are deleted, one created at that time stays; a deleted key can be
/// used again.
pub async fn old_idempotency_records_are_deleted(store: Arc<dyn RunStore>) -> Result<()> {
    for (name, seconds) in [("old", 0), ("at", 10), ("new", 20)] {
        let (key, recorded) = answer(name, json!(name));
        store
            .save_idempotency(&key, &IdempotencyRecord { created_at: at(seconds), ..recorded })
            .await?;
    }
    assert_eq!(store.delete_idempotency_before(at(10)).await?, 1);
    assert_eq!(store.delete_idempotency_before(at(10)).await?, 0);
    assert_eq!(store.idempotency_record("old").await?, None);
    assert!(store.idempotency_record("at").await?.is_some());
    assert!(store.idempotency_record("new").await?.is_some());
    let (key, again) = answer("old", json!("again"));
    assert_eq!(store.save_idempotency(&key, &again).await?, Commit::Done);
    Ok(())
}
