//! Every counter: admission and counting in one step, and ends that are written once.

use std::sync::Arc;

use jiff::ToSpan;
use uuid::Uuid;

use super::samples::{at, day, settled};
use super::{joined, present};
use crate::store::{ActivityScope, RunStore, UsageFilter};
use crate::testing::MemoryStore;
use crate::usage::{
    Admission, Caps, DayTotals, DayUse, Lease, NanoUsd, Refused, UsageCounter, UsageRow,
};
use crate::{Error, Result};

/// A counter, and the store that its ledger is in.
pub struct Counting {
    /// The counter.
    pub counter: Arc<dyn UsageCounter>,
    /// What it books in.
    pub store: Arc<dyn RunStore>,
}

const ADMITTED: Admission = Admission::Admitted { degraded: false };

fn refused(reason: Refused, in_flight: bool) -> Admission {
    Admission::Refused { reason, in_flight }
}

fn lease(provider: &str, model: &str, nanos: i64) -> Lease {
    Lease {
        id: Uuid::now_v7(),
        day: day(),
        run_id: Some("run".to_owned()),
        agent_id: Some(3),
        checkpoint: Some(1),
        provider: provider.to_owned(),
        model: model.to_owned(),
        upper_bound: NanoUsd(nanos),
        priced: true,
        created_at: at(0),
        expires_at: at(60),
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

/// As if it had never been.
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

/// Each step may be repeated by who does not know whether it was done.
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

/// A row that says so, with the reserved cost; the lease counts no more.
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
    assert_eq!((row.day, row.cost, row.agent_id), (day(), NanoUsd(100), Some(3)));
    on.in_order().await
}

/// Whatever it was charged with, the real figures take its place, once.
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

/// Not one more than the cap, however many ask at once, and all of it once they are done.
pub async fn concurrent_reservations_never_cross_a_cap(on: Counting) -> Result<()> {
    let on = Arc::new(on);
    let caps = Caps { hard: Some(NanoUsd(4_000)), ..calls(50) };
    let mut askers = Vec::new();
    for asker in 0..16_i64 {
        let on = Arc::clone(&on);
        askers.push(tokio::spawn(async move {
            let mut admitted = 0;
            for round in 0..8 {
                let lease = lease("p", "m", 50 + (asker * 7 + round * 13) % 80);
                match on.counter.reserve(&lease, &caps).await? {
                    Admission::Refused { .. } => continue,
                    Admission::Admitted { .. } => admitted += 1,
                }
                if round % 3 == 0 {
                    on.counter.release(lease.id).await?;
                    admitted -= 1;
                } else {
                    on.counter.settle(&settled(&lease, lease.upper_bound.0 - asker)).await?;
                }
            }
            Ok::<i64, Error>(admitted)
        }));
    }
    let mut admitted = 0;
    for asker in askers {
        admitted += joined(asker).await??;
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

/// One random history on this counter and on the plain one: the same answers and sums throughout.
pub async fn a_random_history_counts_as_the_plain_one_does(on: Counting) -> Result<()> {
    let plain = MemoryStore::new();
    // A multiplicative generator (Lehmer): the same history each time.
    let mut random = 20_260_711_u64;
    let mut next = |below: u64| {
        random = random * 48_271 % 2_147_483_647;
        random % below
    };
    let providers = ["openrouter", "groq", "gemini", "mistral"];
    let caps = Caps {
        soft: Some(NanoUsd(1_500)),
        hard: Some(NanoUsd(3_000)),
        total: Some(60),
        openrouter_free: Some(14),
        groq: Some(20),
        gemini: Some(25),
    };
    let mut leases = Vec::new();
    for step in 0..250 {
        let now = at(step);
        let picked = usize::try_from(next(1 + leases.len() as u64)).unwrap_or(0);
        match (next(10), leases.get(picked).cloned()) {
            (0..=5, _) | (_, None) => {
                let provider = providers.get(usize::try_from(next(4)).unwrap_or(0));
                let model = if next(2) == 0 { "m" } else { "m:free" };
                let bound = i64::try_from(next(120)).unwrap_or(0);
                let lease = Lease {
                    day: day().saturating_add(i64::from(next(8) == 0).days()),
                    created_at: now,
                    expires_at: at(step + 40),
                    priced: next(3) > 0,
                    ..lease(provider.copied().unwrap_or("groq"), model, bound)
                };
                let verdict = on.counter.reserve(&lease, &caps).await?;
                assert_eq!(verdict, plain.reserve(&lease, &caps).await?, "step {step}");
                leases.push(lease);
            }
            (6..=7, Some(lease)) => {
                let row = settled(&lease, lease.upper_bound.0 / 2);
                on.counter.settle(&row).await?;
                plain.settle(&row).await?;
            }
            (8, Some(lease)) => {
                on.counter.release(lease.id).await?;
                plain.release(lease.id).await?;
            }
            (_, _) => {
                assert_eq!(on.counter.expire(now).await?, plain.expire(now).await?, "step {step}");
            }
        }
        for day in [day(), day().saturating_add(1.day())] {
            let bare = |day: DayUse| DayUse { version: 0, ..day };
            let (here, there) = (on.counter.day_use(day).await?, plain.day_use(day).await?);
            assert_eq!(bare(here), bare(there), "step {step}");
        }
    }
    on.in_order().await
}
