//! Where calls are counted, and who may hold leases that only Redis knows.

use std::sync::Arc;

use uuid::Uuid;

use super::samples::{at, call, day, settled};
use super::{joined, present};
use crate::store::RunStore;
use crate::usage::{
    Admission, Caps, CountedIn, DayTotals, Fence, Lease, Member, NanoUsd, Refused, UsageRow,
};
use crate::{ErrorKind, Result};

fn lease(nanos: i64) -> Lease {
    let row = call(None, "groq", "m", nanos);
    Lease {
        id: row.id,
        day: day(),
        run_id: None,
        agent_id: None,
        checkpoint: None,
        provider: row.provider,
        model: row.model_requested,
        upper_bound: NanoUsd(nanos),
        priced: true,
        created_at: at(0),
        expires_at: at(60),
    }
}

fn calls(total: i64) -> Caps {
    Caps { total: Some(total), ..Caps::default() }
}

fn member(generation: u64, calls: i64, until: i64) -> Member {
    Member {
        id: Uuid::now_v7(),
        generation,
        promise: DayTotals { calls_total: calls, cost: NanoUsd(10), ..DayTotals::default() },
        until: at(until),
    }
}

async fn moved(store: &dyn RunStore, to: CountedIn) -> Result<Fence> {
    let before = store.fence().await?;
    let fence = before.moved(to, at(1));
    assert!(store.move_fence(before.generation, &fence).await?);
    Ok(fence)
}

/// A new store counts in itself; every field of a move is kept, but for the namespace.
pub async fn a_fence_is_kept(store: Arc<dyn RunStore>) -> Result<()> {
    let first = store.fence().await?;
    assert_eq!((first.generation, first.counted_in), (0, CountedIn::Database));
    assert!(!first.namespace.is_empty() && first.reason.is_none());
    let fence = Fence {
        redis: Some("one".to_owned()),
        reason: Some("because".to_owned()),
        ..first.moved(CountedIn::Redis, at(5))
    };
    assert!(store.move_fence(0, &fence).await?);
    assert_eq!(store.fence().await?, fence);
    Ok(())
}

/// Of those who move it from one generation, one does.
pub async fn of_concurrent_moves_one_is_done(store: Arc<dyn RunStore>) -> Result<()> {
    let first = store.fence().await?;
    let mut movers = Vec::new();
    for _ in 0..8 {
        let (store, to) = (Arc::clone(&store), first.moved(CountedIn::Rebuilding, at(1)));
        movers.push(tokio::spawn(async move { store.move_fence(0, &to).await }));
    }
    let mut done = 0;
    for mover in movers {
        done += i32::from(joined(mover).await??);
    }
    assert_eq!(done, 1);
    assert_eq!(store.fence().await?.generation, 1);
    Ok(())
}

/// Watchers hear of a move: it changes the status.
pub async fn a_move_moves_the_watch(store: Arc<dyn RunStore>) -> Result<()> {
    let mut watch = store.watch();
    watch.mark_unchanged();
    moved(&*store, CountedIn::Rebuilding).await?;
    let patience = std::time::Duration::from_secs(5);
    let told = tokio::time::timeout(patience, watch.changed()).await;
    assert!(matches!(told, Ok(Ok(()))));
    Ok(())
}

/// The store admits nothing while calls are counted elsewhere; ends are booked all the same.
pub async fn calls_counted_elsewhere_are_not_admitted_here(store: Arc<dyn RunStore>) -> Result<()> {
    let open = lease(5);
    store.reserve(&open, &calls(9)).await?;
    for counted_in in [CountedIn::Rebuilding, CountedIn::Redis] {
        moved(&*store, counted_in).await?;
        let refused = store.reserve(&lease(1), &calls(9)).await;
        assert!(refused.is_err_and(|error| error.kind() == ErrorKind::Stale));
    }
    store.settle(&settled(&open, 3)).await?;
    assert_eq!(store.day_totals(day()).await?.cost, NanoUsd(3));
    moved(&*store, CountedIn::Database).await?;
    assert!(matches!(store.reserve(&lease(1), &calls(9)).await?, Admission::Admitted { .. }));
    Ok(())
}

/// Leases handed over count as if the store had admitted them; those that ended do not.
pub async fn leases_are_handed_over_once(store: Arc<dyn RunStore>) -> Result<()> {
    let (open, ended) = (lease(5), lease(7));
    store.settle(&settled(&ended, 6)).await?;
    let fence = moved(&*store, CountedIn::Database).await?;
    let member = member(fence.generation, 0, 90);
    for _ in 0..2 {
        let seen = store.confirm(&member, &[open.clone(), ended.clone()]).await?;
        assert_eq!(seen, fence);
    }
    assert_eq!(store.open_leases().await?, std::slice::from_ref(&open));
    let day_use = store.day_use(day()).await?;
    assert_eq!((day_use.reserved.calls_total, day_use.reserved.cost), (1, NanoUsd(5)));
    assert_eq!((day_use.settled.calls_total, day_use.settled.cost), (1, NanoUsd(6)));
    store.settle(&UsageRow { cost: NanoUsd(4), ..settled(&open, 4) }).await?;
    assert_eq!(store.day_use(day()).await?.reserved, DayTotals::default());
    assert!(store.recount().await?.differences().is_empty());
    Ok(())
}

/// A member that is behind counts with its promise, until it has confirmed or is over.
pub async fn a_member_that_is_behind_counts_with_its_promise(
    store: Arc<dyn RunStore>,
) -> Result<()> {
    let behind = member(0, 3, 90);
    store.confirm(&behind, &[]).await?;
    store.confirm(&member(0, 100, -1), &[]).await?;
    let full = Admission::Refused { reason: Refused::MaxCallsTotalReached, in_flight: true };
    assert!(matches!(store.reserve(&lease(1), &calls(4)).await?, Admission::Admitted { .. }));
    let fence = moved(&*store, CountedIn::Database).await?;
    assert_eq!(store.reserve(&lease(1), &calls(4)).await?, full);
    let hard = Caps { hard: Some(NanoUsd(15)), ..Caps::default() };
    let broke = Admission::Refused { reason: Refused::HardBudgetReached, in_flight: true };
    assert_eq!(store.reserve(&lease(5), &hard).await?, broke);

    let caught_up = Member { generation: fence.generation, ..behind.clone() };
    store.confirm(&caught_up, &[lease(1)]).await?;
    assert!(matches!(store.reserve(&lease(1), &calls(4)).await?, Admission::Admitted { .. }));
    assert_eq!(store.members().await?.len(), 2);
    assert_eq!(present(store.members().await?.into_iter().find(|m| m.id == behind.id))?, caught_up);
    store.forget_member(behind.id).await?;
    assert_eq!(store.members().await?.len(), 1);
    Ok(())
}
