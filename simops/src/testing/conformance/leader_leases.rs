//! Leader leases.

use std::sync::Arc;

use uuid::Uuid;

use super::joined;
use crate::Result;
use crate::store::{LeaderLease, RunStore};

fn lease(name: &str, fence: u64, renewals: u64) -> LeaderLease {
    LeaderLease { name: name.to_owned(), holder: Some(Uuid::now_v7()), fence, renewals }
}

/// There is no lease at first; then every field is stored, also a missing holder.
pub async fn a_leader_lease_is_stored(store: Arc<dyn RunStore>) -> Result<()> {
    assert_eq!(store.leader_lease("timers").await?, None);
    let (one, other) = (lease("timers", 1, 0), lease("other", 7, 9));
    assert!(store.replace_leader_lease(None, &one).await?);
    assert!(store.replace_leader_lease(None, &other).await?);
    assert_eq!(store.leader_lease("timers").await?, Some(one.clone()));
    let released = LeaderLease { holder: None, renewals: 1, ..one.clone() };
    assert!(store.replace_leader_lease(Some(&one), &released).await?);
    assert_eq!(store.leader_lease("timers").await?, Some(released));
    assert_eq!(store.leader_lease("other").await?, Some(other));
    Ok(())
}

/// A lease is replaced only if every field equals the expected lease.
pub async fn a_changed_leader_lease_is_not_replaced(store: Arc<dyn RunStore>) -> Result<()> {
    let now = lease("timers", 2, 3);
    assert!(store.replace_leader_lease(None, &now).await?);
    let outdated = [
        None,
        Some(LeaderLease { holder: None, ..now.clone() }),
        Some(LeaderLease { holder: Some(Uuid::now_v7()), ..now.clone() }),
        Some(LeaderLease { fence: 1, ..now.clone() }),
        Some(LeaderLease { renewals: 2, ..now.clone() }),
    ];
    for seen in &outdated {
        assert!(!store.replace_leader_lease(seen.as_ref(), &lease("timers", 9, 0)).await?);
    }
    assert_eq!(store.leader_lease("timers").await?, Some(now));
    Ok(())
}

/// Of several candidates that acquire a lease at once, one succeeds.
pub async fn of_concurrent_candidates_one_acquires_the_lease(
    store: Arc<dyn RunStore>,
) -> Result<()> {
    let mut seen = None;
    for fence in 1..=5 {
        let mut candidates = Vec::new();
        for _ in 0..8 {
            let (store, seen, next) = (Arc::clone(&store), seen.clone(), lease("timers", fence, 0));
            candidates.push(tokio::spawn(async move {
                Ok((
                    store.replace_leader_lease(Some(&seen).and_then(Option::as_ref), &next).await?,
                    next,
                ))
            }));
        }
        let mut won = Vec::new();
        for candidate in candidates {
            let (done, next): (bool, LeaderLease) = joined::<Result<_>>(candidate).await??;
            won.extend(done.then_some(next));
        }
        assert_eq!(won.len(), 1);
        seen = won.pop();
        assert_eq!(store.leader_lease("timers").await?, seen);
    }
    Ok(())
}
