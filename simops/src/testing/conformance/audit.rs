//! The audit trail.

use std::sync::Arc;

use serde_json::json;

use super::samples::{change_to, commit};
use crate::Result;
use crate::control::audit::verify;
use crate::store::{Commit, RunStore};

async fn write_rows(store: &dyn RunStore, rows: usize) -> Result<()> {
    for _ in 0..rows {
        commit(store, |_| {}).await?;
    }
    Ok(())
}

/// Pages are newest first, start after an offset, and contain the total count.
pub async fn audit_rows_are_paged_newest_first(store: Arc<dyn RunStore>) -> Result<()> {
    write_rows(&*store, 5).await?;
    for (limit, offset, expected) in [
        (2, 0, vec![5, 4]),
        (2, 2, vec![3, 2]),
        (10, 4, vec![1]),
        (10, 5, vec![]),
        (10, 99, vec![]),
    ] {
        let page = store.audit(limit, offset).await?;
        assert_eq!(page.count, 5);
        let ids: Vec<_> = page.items.iter().map(|row| row.id).collect();
        assert_eq!(ids, expected, "limit {limit}, offset {offset}");
    }
    Ok(())
}

/// Rows after an id are read oldest first.
pub async fn audit_rows_are_read_oldest_first_from_an_id(store: Arc<dyn RunStore>) -> Result<()> {
    write_rows(&*store, 5).await?;
    for (after, limit, expected) in
        [(0, 2, vec![1, 2]), (2, 10, vec![3, 4, 5]), (5, 10, vec![]), (99, 10, vec![])]
    {
        let rows = store.audit_after(after, limit).await?;
        assert_eq!(rows.iter().map(|row| row.id).collect::<Vec<_>>(), expected);
    }
    Ok(())
}

/// The hash chain of the stored rows verifies for any values.
pub async fn the_stored_trail_verifies(store: Arc<dyn RunStore>) -> Result<()> {
    let values = [
        json!(null),
        json!(true),
        json!(0.1 + 0.2),
        json!(1e-7),
        json!(2.0),
        json!(u64::MAX),
        json!("„ü\u{1F980}' \"\\"),
        json!({ "b": [1, 2.5], "a": {} }),
    ];
    for value in values {
        let change = change_to(&store.load().await?, value);
        assert_eq!(store.commit(&change, None).await?, Commit::Done);
    }
    let head = store.load().await?.audit_head;
    let rows = store.audit_after(0, 100).await?;
    assert_eq!(verify(&rows, [head.clone()]), Ok(head));
    Ok(())
}
