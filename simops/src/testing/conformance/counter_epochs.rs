//! The counter's epoch, and clients that may hold leases which only Redis knows.

use std::sync::Arc;

use uuid::Uuid;

use super::samples::{at, call, day, settled};
use super::{joined, present};
use crate::recount::RecountExt;
use crate::store::RunStore;
use crate::usage::{
    Admission, Allotment, Caps, CounterBackend, CounterClient, CounterEpoch, DayTotals, Lease,
    NanoUsd, Refused, UsageRow,
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
        input_tokens: 10,
        output_tokens: 5,
    }
}

fn calls(total: i64) -> Caps {
    Caps { total: Some(total), ..Caps::default() }
}

fn refused(reason: Refused, budget: &str) -> Admission {
    Admission::Refused { reason, budget: budget.into(), place: "".into(), in_flight: true }
}

fn client(generation: u64, calls: i64, until: i64) -> CounterClient {
    CounterClient {
        id: Uuid::now_v7(),
        generation,
        allotment: Allotment {
            totals: DayTotals { calls_total: calls, cost: NanoUsd(10), ..DayTotals::default() },
            tokens: 50,
        },
        until: at(until),
        sequence: 1,
    }
}

async fn changed(store: &dyn RunStore, to: CounterBackend) -> Result<CounterEpoch> {
    let before = store.counter_epoch().await?;
    let epoch = before.next(to, at(1));
    assert!(store.advance_counter_epoch(before.generation, &epoch).await?);
    Ok(epoch)
}

/// A new store counts itself. Every field of a new epoch is stored.
pub async fn a_counter_epoch_is_kept(store: Arc<dyn RunStore>) -> Result<()> {
    let first = store.counter_epoch().await?;
    assert_eq!((first.generation, first.backend), (0, CounterBackend::Database));
    assert!(!first.namespace.is_empty() && first.reason.is_none());
    let epoch = CounterEpoch {
        redis: Some("one".to_owned()),
        reason: Some("because".to_owned()),
        ..first.next(CounterBackend::Redis, at(5))
    };
    assert!(store.advance_counter_epoch(0, &epoch).await?);
    assert_eq!(store.counter_epoch().await?, epoch);
    Ok(())
}

/// Of concurrent changes of one epoch, one succeeds.
pub async fn of_concurrent_epoch_changes_one_succeeds(store: Arc<dyn RunStore>) -> Result<()> {
    let first = store.counter_epoch().await?;
    let mut changers = Vec::new();
    for _ in 0..8 {
        let (store, to) = (Arc::clone(&store), first.next(CounterBackend::Rebuilding, at(1)));
        changers.push(tokio::spawn(async move { store.advance_counter_epoch(0, &to).await }));
    }
    let mut done = 0;
    for changer in changers {
        done += i32::from(joined(changer).await??);
    }
    assert_eq!(done, 1);
    assert_eq!(store.counter_epoch().await?.generation, 1);
    Ok(())
}

/// A new epoch wakes watchers, because it changes the status.
pub async fn a_new_counter_epoch_wakes_watchers(store: Arc<dyn RunStore>) -> Result<()> {
    let mut watch = store.watch();
    watch.mark_unchanged();
    changed(&*store, CounterBackend::Rebuilding).await?;
    let timeout = std::time::Duration::from_secs(5);
    let woken = tokio::time::timeout(timeout, watch.changed()).await;
    assert!(matches!(woken, Ok(Ok(()))));
    Ok(())
}

/// The store admits no calls while another backend counts, but it records ends.
pub async fn no_calls_are_admitted_while_another_backend_counts(
    store: Arc<dyn RunStore>,
) -> Result<()> {
    let open = lease(5);
    store.reserve(&open, &calls(9)).await?;
    for backend in [CounterBackend::Rebuilding, CounterBackend::Redis] {
        changed(&*store, backend).await?;
        let refused = store.reserve(&lease(1), &calls(9)).await;
        assert!(refused.is_err_and(|error| error.kind() == ErrorKind::Stale));
    }
    store.settle(&settled(&open, 3)).await?;
    assert_eq!(store.day_totals(day()).await?.cost, NanoUsd(3));
    changed(&*store, CounterBackend::Database).await?;
    assert!(matches!(store.reserve(&lease(1), &calls(9)).await?, Admission::Admitted { .. }));
    Ok(())
}

/// Transferred leases count as if the store had admitted them, unless they have ended.
pub async fn leases_are_transferred_once(store: Arc<dyn RunStore>) -> Result<()> {
    let (open, ended) = (lease(5), lease(7));
    store.settle(&settled(&ended, 6)).await?;
    let epoch = changed(&*store, CounterBackend::Database).await?;
    let client = client(epoch.generation, 0, 90);
    for _ in 0..2 {
        let seen = store.heartbeat(&client, &[open.clone(), ended.clone()]).await?;
        assert_eq!(seen, epoch);
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

/// A client that is behind counts with its allotment, until it has confirmed or is over.
pub async fn the_allotment_of_an_outdated_client_counts(store: Arc<dyn RunStore>) -> Result<()> {
    let behind = client(0, 3, 90);
    store.heartbeat(&behind, &[]).await?;
    store.heartbeat(&client(0, 100, -1), &[]).await?;
    let full = refused(Refused::MaxCallsTotalReached, "llm_max_calls_per_day_total");
    assert!(matches!(store.reserve(&lease(1), &calls(4)).await?, Admission::Admitted { .. }));
    let epoch = changed(&*store, CounterBackend::Database).await?;
    assert_eq!(store.reserve(&lease(1), &calls(4)).await?, full);
    let hard = Caps { hard: Some(NanoUsd(15)), ..Caps::default() };
    let broke = refused(Refused::HardBudgetReached, "llm_daily_budget_usd");
    assert_eq!(store.reserve(&lease(5), &hard).await?, broke);

    let caught_up = CounterClient { generation: epoch.generation, sequence: 2, ..behind.clone() };
    store.heartbeat(&caught_up, &[lease(1)]).await?;
    assert!(matches!(store.reserve(&lease(1), &calls(4)).await?, Admission::Admitted { .. }));
    assert_eq!(store.counter_clients().await?.len(), 2);
    assert_eq!(
        present(store.counter_clients().await?.into_iter().find(|m| m.id == behind.id))?,
        caught_up
    );
    store.remove_counter_client(behind.id).await?;
    assert_eq!(store.counter_clients().await?.len(), 1);
    Ok(())
}
