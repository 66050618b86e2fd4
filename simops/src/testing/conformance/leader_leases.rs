//! What one process at a time does for all.

use std::sync::Arc;

use uuid::Uuid;

use super::joined;
use crate::Result;
use crate::store::{LeaderLease, RunStore};

fn held(name: &str, fence: u64, renewals: u64) -> LeaderLease {
    LeaderLease { name: name.to_owned(), holder: Some(Uuid::now_v7()), fence, renewals }
}

/// Nobody has a duty at first; then every field of who has it is kept, also that nobody does.
pub async fn a_tenure_is_kept(store: Arc<dyn RunStore>) -> Result<()> {
    assert_eq!(store.leader_lease("timers").await?, None);
    let (one, other) = (held("timers", 1, 0), held("other", 7, 9));
    assert!(store.replace_leader_lease(None, &one).await?);
    assert!(store.replace_leader_lease(None, &other).await?);
    assert_eq!(store.leader_lease("timers").await?, Some(one.clone()));
    let vacant = LeaderLease { holder: None, renewals: 1, ..one.clone() };
    assert!(store.replace_leader_lease(Some(&one), &vacant).await?);
    assert_eq!(store.leader_lease("timers").await?, Some(vacant));
    assert_eq!(store.leader_lease("other").await?, Some(other));
    Ok(())
}

/// A lease moves only from the one that was seen, in each of its fields.
pub async fn a_tenure_that_has_moved_is_not_replaced(store: Arc<dyn RunStore>) -> Result<()> {
    let now = held("timers", 2, 3);
    assert!(store.replace_leader_lease(None, &now).await?);
    let unseen = [
        None,
        Some(LeaderLease { holder: None, ..now.clone() }),
        Some(LeaderLease { holder: Some(Uuid::now_v7()), ..now.clone() }),
        Some(LeaderLease { fence: 1, ..now.clone() }),
        Some(LeaderLease { renewals: 2, ..now.clone() }),
    ];
    for seen in &unseen {
        assert!(!store.replace_leader_lease(seen.as_ref(), &held("timers", 9, 0)).await?);
    }
    assert_eq!(store.leader_lease("timers").await?, Some(now));
    Ok(())
}

/// Of those who take a duty at once, one has it.
pub async fn of_concurrent_takers_one_has_the_duty(store: Arc<dyn RunStore>) -> Result<()> {
    let mut seen = None;
    for fence in 1..=5 {
        let mut takers = Vec::new();
        for _ in 0..8 {
            let (store, seen, next) = (Arc::clone(&store), seen.clone(), held("timers", fence, 0));
            takers.push(tokio::spawn(async move {
                Ok((
                    store.replace_leader_lease(Some(&seen).and_then(Option::as_ref), &next).await?,
                    next,
                ))
            }));
        }
        let mut won = Vec::new();
        for taker in takers {
            let (done, next): (bool, LeaderLease) = joined::<Result<_>>(taker).await??;
            won.extend(done.then_some(next));
        }
        assert_eq!(won.len(), 1);
        seen = won.pop();
        assert_eq!(store.leader_lease("timers").await?, seen);
    }
    Ok(())
}
