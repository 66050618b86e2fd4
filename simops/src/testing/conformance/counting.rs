//! Every counter: admission and counting in one step, and ends that are recorded once.

use std::sync::Arc;

use jiff::ToSpan;
use uuid::Uuid;

use super::samples::{at, day, settled};
use super::{joined, present};
use crate::recount::RecountExt;
use crate::store::{ActivityScope, UsageFilter};
use crate::testing::{Counting, History, MemoryStore, replay};
use crate::usage::{Admission, Caps, DayTotals, Lease, NanoUsd, Refused, UsageRow};
use crate::{Error, Result};

const ADMITTED: Admission = Admission::Admitted { degraded: false };

fn refused(reason: Refused, in_flight: bool) -> Admission {
    let caps = Caps::default().list();
    let cap = caps.iter().find(|cap| cap.reason == reason);
    let budget = cap.map_or("", |cap| cap.id).into();
    Admission::Refused { reason, budget, place: "".into(), in_flight }
}

pub(super) fn lease(provider: &str, model: &str, nanos: i64) -> Lease {
    Lease {
        id: Uuid::now_v7(),
        day: day(),
        run_id: Some("run".to_owned()),
        agent_id: Some("Alice".into()),
        checkpoint: Some(1),
        provider: provider.to_owned(),
        model: model.to_owned(),
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

fn dollars(hard: i64) -> Caps {
    Caps { hard: Some(NanoUsd(hard)), ..Caps::default() }
}

impl Counting {
    async fn used(&self) -> Result<(i64, i64)> {
        let day = self.counter.day_use(day()).await?;
        Ok((day.settled.calls_total, day.settled.cost.0))
    }

    async fn reserved(&self) -> Result<(i64, i64)> {
        let day = self.counter.day_use(day()).await?;
        Ok((day.reserved.calls_total, day.reserved.cost.0))
    }

    async fn in_order(&self) -> Result<()> {
        let wrong = self.store.recount().await?.differences();
        if wrong.is_empty() {
            return Ok(());
        }
        Err(Error::internal(format!("counters do not equal the ledger: {wrong:?}")))
    }
}

/// Reserved at the upper bound, then settled at what it cost.
pub async fn a_lease_counts_until_its_row_does(on: Counting) -> Result<()> {
    let lease = lease("groq", "m", 100);
    assert_eq!(on.counter.reserve(&lease, &calls(5)).await?, ADMITTED);
    assert_eq!((on.used().await?, on.reserved().await?), ((0, 0), (1, 100)));
    on.counter.settle(&settled(&lease, 30)).await?;
    assert_eq!((on.used().await?, on.reserved().await?), ((1, 30), (0, 0)));
    let totals = on.store.llm_totals(&ActivityScope::Run("run".to_owned())).await?;
    assert_eq!(totals.calls, 1);
    on.in_order().await
}

/// As if it had never been made.
pub async fn a_released_lease_counts_no_more(on: Counting) -> Result<()> {
    let lease = lease("groq", "m", 100);
    on.counter.reserve(&lease, &calls(1)).await?;
    on.counter.release(lease.id).await?;
    on.counter.release(lease.id).await?;
    on.counter.release(Uuid::now_v7()).await?;
    assert_eq!(on.counter.day_use(day()).await?.reserved, DayTotals::default());
    assert_eq!(on.used().await?, (0, 0));
    on.in_order().await
}

/// A caller that does not know whether a step was done may repeat it.
pub async fn repeated_steps_count_once(on: Counting) -> Result<()> {
    let lease = lease("groq", "m", 100);
    for _ in 0..3 {
        let verdict = on.counter.reserve(&lease, &calls(1)).await?;
        assert!(matches!(verdict, Admission::Admitted { .. }), "admitted again");
    }
    assert_eq!(on.reserved().await?, (1, 100));
    let row = settled(&lease, 30);
    for _ in 0..3 {
        on.counter.settle(&row).await?;
    }
    on.counter.release(lease.id).await?;
    on.counter.settle(&UsageRow { cost: NanoUsd(7_000), ..row }).await?;
    assert_eq!((on.used().await?, on.reserved().await?), ((1, 30), (0, 0)));
    on.in_order().await
}

/// Each call cap for its calls only, and each says its name.
pub async fn each_call_cap_refuses_its_calls(on: Counting) -> Result<()> {
    let caps = Caps {
        total: Some(4),
        openrouter_free: Some(1),
        groq: Some(1),
        gemini: Some(1),
        ..Caps::default()
    };
    let of = [
        ("openrouter", "a/b:free", Refused::MaxCallsOpenrouterFreeReached),
        ("groq", "m", Refused::MaxCallsGroqReached),
        ("gemini", "m", Refused::MaxCallsGeminiReached),
    ];
    for (provider, model, reason) in of {
        let first = lease(provider, model, 0);
        // The second half of a small cap is beyond 85 % of it.
        assert!(matches!(on.counter.reserve(&first, &caps).await?, Admission::Admitted { .. }));
        let second = lease(provider, model, 0);
        assert_eq!(on.counter.reserve(&second, &caps).await?, refused(reason, true));
        on.counter.settle(&settled(&first, 0)).await?;
        assert_eq!(on.counter.reserve(&second, &caps).await?, refused(reason, false));
    }
    let other = lease("mistral", "m", 0);
    assert!(matches!(on.counter.reserve(&other, &caps).await?, Admission::Admitted { .. }));
    let fifth = on.counter.reserve(&lease("mistral", "m", 0), &caps).await?;
    assert_eq!(fifth, refused(Refused::MaxCallsTotalReached, true));
    on.in_order().await
}

/// Upper bounds count while calls are in flight, their real cost afterwards.
pub async fn the_hard_budget_is_held_at_upper_bounds(on: Counting) -> Result<()> {
    let hard = Refused::HardBudgetReached;
    let (first, second) = (lease("p", "m", 60), lease("p", "m", 60));
    assert_eq!(on.counter.reserve(&first, &dollars(100)).await?, ADMITTED);
    assert_eq!(on.counter.reserve(&second, &dollars(100)).await?, refused(hard, true));
    on.counter.settle(&settled(&first, 40)).await?;
    assert_eq!(on.counter.reserve(&second, &dollars(100)).await?, ADMITTED);
    on.counter.settle(&settled(&second, 60)).await?;
    let free = lease("p", "m", 0);
    assert_eq!(on.counter.reserve(&free, &dollars(100)).await?, refused(hard, false));
    assert_eq!(on.counter.reserve(&free, &dollars(101)).await?, ADMITTED, "the cap was raised");
    on.in_order().await
}

/// By cost at the soft cap, by calls at 85 of 100.
pub async fn calls_beyond_the_soft_cap_are_degraded(on: Counting) -> Result<()> {
    let degraded = Admission::Admitted { degraded: true };
    let soft = Caps { soft: Some(NanoUsd(10)), ..Caps::default() };
    let first = lease("p", "m", 10);
    assert_eq!(on.counter.reserve(&first, &soft).await?, ADMITTED);
    assert_eq!(on.counter.reserve(&lease("p", "m", 0), &soft).await?, ADMITTED, "reserved only");
    on.counter.settle(&settled(&first, 10)).await?;
    assert_eq!(on.counter.reserve(&lease("p", "m", 0), &soft).await?, degraded);
    // Three calls so far: 3 of 4 is below, 3 of 3.5 would be at 85 of 100.
    assert_eq!(on.counter.reserve(&lease("p", "m", 0), &calls(5)).await?, ADMITTED);
    assert_eq!(on.counter.reserve(&lease("p", "m", 0), &calls(5)).await?, ADMITTED);
    on.counter.release(first.id).await?;
    on.in_order().await
}

/// An expired lease becomes a row at its upper bound, and no longer counts as reserved.
pub async fn an_expired_lease_becomes_a_row(on: Counting) -> Result<()> {
    let lease = lease("groq", "m", 100);
    on.counter.reserve(&lease, &calls(5)).await?;
    assert_eq!(on.counter.expire(at(59)).await?, 0);
    assert_eq!(on.counter.expire(at(61)).await?, 1);
    assert_eq!(on.counter.expire(at(62)).await?, 0);
    assert_eq!((on.used().await?, on.reserved().await?), ((1, 100), (0, 0)));
    let rows = on.store.usage_rows(&UsageFilter::default(), 10).await?.items;
    let row = present(rows.into_iter().find(|row| row.id == lease.id))?;
    assert!(row.is_expired() && !row.success);
    assert_eq!(
        (row.day, row.cost, row.agent_id.clone()),
        (day(), NanoUsd(100), Some("Alice".into()))
    );
    on.in_order().await
}

/// Real figures replace the upper bound, once.
pub async fn a_late_settle_replaces_the_expired_row(on: Counting) -> Result<()> {
    let lease = lease("groq", "m", 100);
    on.counter.reserve(&lease, &calls(5)).await?;
    on.counter.expire(at(61)).await?;
    let row = settled(&lease, 30);
    on.counter.settle(&row).await?;
    on.counter.settle(&UsageRow { cost: NanoUsd(31), ..row.clone() }).await?;
    on.counter.settle(&lease.expired(at(70))).await?;
    assert_eq!((on.used().await?, on.reserved().await?), ((1, 30), (0, 0)));
    let rows = on.store.usage_rows(&UsageFilter::default(), 10).await?.items;
    assert_eq!(rows, [row]);
    let totals = on.store.llm_totals(&ActivityScope::Run("run".to_owned())).await?;
    assert_eq!((totals.calls, totals.success_calls), (1, 1));
    on.in_order().await
}

/// A call that was never reserved, as one that a breaker refused, leaves its row all the same.
pub async fn a_row_without_a_lease_is_booked(on: Counting) -> Result<()> {
    on.counter.settle(&settled(&lease("groq", "m", 0), 5)).await?;
    assert_eq!((on.used().await?, on.reserved().await?), ((1, 5), (0, 0)));
    on.in_order().await
}

/// A lease counts for the day it was made, whenever it ends.
pub async fn midnight_is_crossed_by_open_leases(on: Counting) -> Result<()> {
    let tomorrow = day().saturating_add(1.day());
    let (late, dead) = (lease("p", "m", 60), lease("p", "m", 60));
    let caps = Caps { hard: Some(NanoUsd(120)), ..calls(2) };
    on.counter.reserve(&late, &caps).await?;
    on.counter.reserve(&dead, &caps).await?;
    let next = Lease { day: tomorrow, ..lease("p", "m", 60) };
    assert_eq!(on.counter.reserve(&next, &caps).await?, ADMITTED, "a new day, a new budget");
    on.counter.settle(&UsageRow { created_at: at(86_400), ..settled(&late, 50) }).await?;
    on.counter.release(next.id).await?;
    on.counter.expire(at(86_401)).await?;
    assert_eq!((on.used().await?, on.reserved().await?), ((2, 110), (0, 0)));
    assert_eq!(on.counter.day_use(tomorrow).await?.settled, DayTotals::default());
    on.in_order().await
}

/// However many callers reserve at once, the cap is not exceeded. Once they are done, the rest of it
/// can be used.
pub async fn concurrent_reservations_never_cross_a_cap(on: Counting) -> Result<()> {
    let on = Arc::new(on);
    let caps = Caps { hard: Some(NanoUsd(4_000)), ..calls(50) };
    let mut callers = Vec::new();
    for caller in 0..16_i64 {
        let on = Arc::clone(&on);
        callers.push(tokio::spawn(async move {
            let mut admitted = 0;
            for round in 0..8 {
                let lease = lease("p", "m", 50 + (caller * 7 + round * 13) % 80);
                match on.counter.reserve(&lease, &caps).await? {
                    Admission::Refused { .. } => continue,
                    Admission::Admitted { .. } => admitted += 1,
                }
                if round % 3 == 0 {
                    on.counter.release(lease.id).await?;
                    admitted -= 1;
                } else {
                    on.counter.settle(&settled(&lease, lease.upper_bound.0 - caller)).await?;
                }
            }
            Ok::<i64, Error>(admitted)
        }));
    }
    let mut admitted = 0;
    for caller in callers {
        admitted += joined(caller).await??;
    }
    let (count, cost) = on.used().await?;
    assert_eq!(count, admitted);
    assert!(count <= 50 && cost <= 4_000, "{count} calls for {cost}");
    // Nothing is in flight, so what is left can be had.
    while let Admission::Admitted { .. } =
        on.counter.reserve(&lease("p", "m", 1), &calls(50)).await?
    {}
    let (count, reserved) = (on.used().await?.0, on.reserved().await?.0);
    assert_eq!(count + reserved, 50);
    on.in_order().await
}

/// The row of an expired lease holds an upper bound. Real figures replace it also if they name
/// another day and run, and the sums follow them.
pub async fn real_figures_replace_the_expired_row_of_another_day_and_run(
    on: Counting,
) -> Result<()> {
    let lease = lease("groq", "m", 100);
    on.counter.reserve(&lease, &calls(5)).await?;
    on.counter.expire(at(61)).await?;
    let tomorrow = day().saturating_add(1.day());
    let (created_at, run_id) = (at(86_400), Some("other".to_owned()));
    let row = UsageRow { day: tomorrow, run_id, created_at, ..settled(&lease, 30) };
    on.counter.settle(&row).await?;
    assert_eq!((on.used().await?, on.reserved().await?), ((0, 0), (0, 0)));
    let next = on.counter.day_use(tomorrow).await?.settled;
    assert_eq!((next.calls_total, next.cost), (1, NanoUsd(30)));
    for (run_id, calls) in [("run", 0), ("other", 1)] {
        let totals = on.store.llm_totals(&ActivityScope::Run(run_id.to_owned())).await?;
        assert_eq!(totals.calls, calls, "{run_id}");
    }
    assert_eq!(on.store.usage_rows(&UsageFilter::default(), 10).await?.items, [row]);
    on.in_order().await
}

/// A row with real figures is final, whatever day and run a later one names.
pub async fn a_settled_row_stands(on: Counting) -> Result<()> {
    let lease = lease("groq", "m", 100);
    on.counter.reserve(&lease, &calls(5)).await?;
    let row = settled(&lease, 30);
    on.counter.settle(&row).await?;
    let tomorrow = day().saturating_add(1.day());
    on.counter.settle(&UsageRow { day: tomorrow, run_id: None, ..settled(&lease, 31) }).await?;
    on.counter.settle(&lease.expired(at(70))).await?;
    assert_eq!(on.used().await?, (1, 30));
    assert_eq!(on.counter.day_use(tomorrow).await?.settled, DayTotals::default());
    assert_eq!(on.store.usage_rows(&UsageFilter::default(), 10).await?.items, [row]);
    on.in_order().await
}

/// A late repeat of a reservation opens no second lease: the row counts already.
pub async fn a_reservation_that_is_repeated_after_its_end_counts_once(on: Counting) -> Result<()> {
    let (done, dead) = (lease("groq", "m", 100), lease("groq", "m", 50));
    on.counter.reserve(&done, &calls(2)).await?;
    on.counter.reserve(&dead, &calls(2)).await?;
    on.counter.settle(&settled(&done, 30)).await?;
    on.counter.expire(at(61)).await?;
    let without_lease = settled(&lease("groq", "m", 0), 5);
    on.counter.settle(&without_lease).await?;
    let unreserved = Lease { id: without_lease.id, ..lease("groq", "m", 9) };
    for lease in [&done, &dead, &unreserved] {
        // The cap is used up, so only a known call is admitted.
        let verdict = on.counter.reserve(lease, &calls(2)).await?;
        assert_eq!(verdict, Admission::Admitted { degraded: true });
    }
    assert_eq!((on.used().await?, on.reserved().await?), ((3, 85), (0, 0)));
    on.counter.release(done.id).await?;
    assert_eq!(on.counter.expire(at(9_999)).await?, 0);
    assert_eq!((on.used().await?, on.reserved().await?), ((3, 85), (0, 0)));
    on.in_order().await
}

/// The first reservation of an id stands.
pub async fn a_repeated_reservation_changes_no_figures(on: Counting) -> Result<()> {
    let first = lease("groq", "m", 100);
    on.counter.reserve(&first, &calls(1)).await?;
    let tomorrow = day().saturating_add(1.day());
    let other = Lease { day: tomorrow, upper_bound: NanoUsd(7), run_id: None, ..first.clone() };
    for repeated in [&other, &Lease { upper_bound: NanoUsd(900), ..first.clone() }] {
        let verdict = on.counter.reserve(repeated, &dollars(100)).await?;
        assert_eq!(verdict, ADMITTED);
    }
    assert_eq!(on.reserved().await?, (1, 100));
    assert_eq!(on.counter.day_use(tomorrow).await?.reserved, DayTotals::default());
    on.counter.expire(at(61)).await?;
    assert_eq!((on.used().await?, on.reserved().await?), ((1, 100), (0, 0)));
    on.in_order().await
}

/// A released id is free: the call was never made.
pub async fn a_released_id_may_be_reserved_again(on: Counting) -> Result<()> {
    let first = lease("groq", "m", 100);
    on.counter.reserve(&first, &calls(1)).await?;
    on.counter.release(first.id).await?;
    let again = Lease { upper_bound: NanoUsd(7), ..first };
    assert!(matches!(on.counter.reserve(&again, &calls(1)).await?, Admission::Admitted { .. }));
    assert_eq!(on.reserved().await?, (1, 7));
    on.in_order().await
}

/// Random histories give the outcomes, rows and sums of the memory store.
pub async fn a_random_history_equals_that_of_the_memory_store(on: Counting) -> Result<()> {
    let store = Arc::new(MemoryStore::new());
    let memory = Counting { counter: store.clone(), store };
    replay(History::new(1, at(0)), 150, &[("memory", memory), ("the counter", on)]).await
}
