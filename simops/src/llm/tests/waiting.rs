//! Calls that wait for room in a budget: within their time, in order of arrival, and the budget is used.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::scene::{BOUND, Fake, Naive, answer, builder, context, request, router};
use crate::llm::{BudgetReservation, CallError, ChatRequest, Limits, RouterOptions};
use crate::settings::key;
use crate::usage::Refused;

const SECOND: Duration = Duration::from_secs(1);

/// A hard budget that pays for this many calls at their upper bound.
fn pays_for(calls: f64) -> [(&'static str, Value); 2] {
    let hard = calls * BOUND as f64 / 1e9;
    [(key::BUDGET_HARD, json!(hard)), (key::BUDGET_SOFT, json!(0.0))]
}

/// A provider that answers each call after a second, at a quarter of its upper bound.
fn slow() -> Arc<Fake> {
    Fake::new("groq", |_, _| async {
        tokio::time::sleep(SECOND).await;
        Ok(answer(20, 25))
    })
}

#[tokio::test(start_paused = true)]
async fn a_call_waits_for_those_in_flight_and_is_made() {
    let (counter, fake) = (Arc::<Naive>::default(), slow());
    let (router, context) = (router(&counter, &[&fake]), context(&pays_for(1.5)));
    let request = request();
    let (first, second) =
        tokio::join!(router.chat(&context, &request), router.chat(&context, &request));
    assert!(first.is_ok() && second.is_ok(), "{first:?} {second:?}");
    assert_eq!(counter.rows().len(), 2);
    assert!(counter.leases().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_call_waits_no_longer_than_its_time_and_is_refused_then() {
    let (counter, fake) =
        (Arc::<Naive>::default(), Fake::new("groq", |_, _| std::future::pending()));
    let router = router(&counter, &[&fake]);
    let context = context(&pays_for(1.5));
    let hanging = tokio::spawn({
        let (router, context) = (router.clone(), context.clone());
        async move { router.chat(&context, &request()).await }
    });
    while fake.asked().is_empty() {
        tokio::task::yield_now().await;
    }
    let began = tokio::time::Instant::now();
    let impatient = context.clone().with_timeout(4 * SECOND);
    let error = router.chat(&impatient, &request()).await.unwrap_err();
    assert!(matches!(error, CallError::Refused { retry_after: Some(_), .. }), "{error:?}");
    assert!((2 * SECOND..=4 * SECOND).contains(&began.elapsed()), "{:?}", began.elapsed());
    hanging.abort();
}

#[tokio::test(start_paused = true)]
async fn a_call_that_no_end_of_others_makes_room_for_does_not_wait() {
    let (counter, fake) = (Arc::<Naive>::default(), slow());
    let router = router(&counter, &[&fake]);
    let began = tokio::time::Instant::now();
    let error = router.chat(&context(&pays_for(0.9)), &request()).await.unwrap_err();
    let reason = Refused::CallExceedsBudget;
    assert!(matches!(&error, CallError::Refused { reason: r, .. } if *r == reason), "{error:?}");
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert!(router.refusals().remove("r").is_none(), "it trips nothing");
}

#[tokio::test(start_paused = true)]
async fn calls_are_made_in_order_of_arrival() {
    let (counter, fake) = (Arc::<Naive>::default(), slow());
    let (router, context) = (router(&counter, &[&fake]), context(&pays_for(3.0)));
    let mut calls = Vec::new();
    for number in 0..10 {
        let (router, context) = (router.clone(), context.clone());
        let request = ChatRequest { prompt: format!("number {number}"), ..request() };
        calls.push(tokio::spawn(async move { router.chat(&context, &request).await }));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for call in calls {
        // The last ones no longer fit.
        let _ = call.await.unwrap();
    }
    let asked: Vec<_> = fake.asked().into_iter().map(|request| request.prompt).collect();
    let in_order: Vec<_> = (0..asked.len()).map(|number| format!("number {number}")).collect();
    assert_eq!(asked, in_order);
    assert!(asked.len() >= 6, "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_run_was_paused_waits_no_longer() {
    let (counter, fake) = (Arc::<Naive>::default(), slow());
    let router = router(&counter, &[&fake]);
    let runs = Arc::new(AtomicBool::new(true));
    let context = context(&pays_for(1.5));
    let paused = context.clone().while_current({
        let runs = Arc::clone(&runs);
        move || runs.load(Ordering::SeqCst)
    });
    let first = tokio::spawn({
        let router = router.clone();
        async move { router.chat(&context, &request()).await }
    });
    while fake.asked().is_empty() {
        tokio::task::yield_now().await;
    }
    let waiting = tokio::spawn({
        let router = router.clone();
        async move { router.chat(&paused, &request()).await }
    });
    tokio::time::sleep(SECOND / 2).await;
    runs.store(false, Ordering::SeqCst);
    assert!(first.await.unwrap().is_ok());
    waiting.await.unwrap().unwrap_err();
    assert_eq!(fake.asked().len(), 1, "no call begins after the pause");
}

/// Calls of random cost, eight at once, until the budget of fifty calls at their upper bound ends. Returns
/// the share of the budget that is spent, and by how much calls cost more than they had reserved.
async fn spend(reservation: BudgetReservation, seed: u64) -> (f64, f64) {
    let counter = Arc::<Naive>::default();
    let random = Arc::new(AtomicU64::new(seed * 7_919 + 1));
    let fake = Fake::new("groq", move |_, _| {
        let next = |x: u64| Some(x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(99));
        let x = random.fetch_update(Ordering::SeqCst, Ordering::SeqCst, next).unwrap_or(0) >> 33;
        let (wait, output) = (50 + x % 900, i64::try_from(x / 7 % 80).unwrap());
        async move {
            tokio::time::sleep(Duration::from_millis(wait)).await;
            Ok(answer(20, 5 + output))
        }
    });
    let options = RouterOptions { reservation, ..RouterOptions::default() };
    let limits = Limits { concurrency: 64, per_minute: None };
    let router = builder(&counter).provider(fake as _, limits).route("groq", "m");
    let (router, context) = (router.options(options).build().unwrap(), context(&pays_for(50.0)));
    let callers = (0..8).map(|_| {
        let (router, context) = (router.clone(), context.clone());
        tokio::spawn(async move {
            loop {
                match router.chat(&context, &request()).await {
                    Ok(_) => {}
                    Err(CallError::Refused { retry_after: None, .. }) => return,
                    Err(error) => panic!("{error}"),
                }
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.unwrap();
    }
    let dollars = |nanos: i64| nanos as f64 / (50.0 * BOUND as f64);
    let rows = counter.rows();
    let spent = rows.iter().map(|row| row.cost.0).sum();
    let over = rows.iter().filter(|row| row.over_reservation).map(|row| row.cost.0).sum();
    (dollars(spent), dollars(over))
}

#[tokio::test(start_paused = true)]
async fn a_budget_is_used_up_before_it_refuses() {
    for reservation in BudgetReservation::ALL {
        let mut shares = Vec::new();
        for seed in 0..20 {
            let (share, over) = spend(reservation, seed).await;
            assert!(share < 1.01, "{reservation:?} {seed}: {share}");
            if reservation == BudgetReservation::Bound {
                assert!(share <= 1.0 && over == 0.0, "{seed}: {share} {over}");
            }
            shares.push(share);
        }
        let mean = shares.iter().sum::<f64>() / shares.len() as f64;
        assert!(mean >= 0.97, "{reservation:?}: {mean} {shares:?}");
    }
}

/// Answers of 10 tokens, until fifty are known; then one of 90.
#[tokio::test(start_paused = true)]
async fn a_call_reserves_what_others_have_used_and_its_row_says_that_it_cost_more() {
    let counter = Arc::<Naive>::default();
    let fake = Fake::new("groq", |number, _| async move {
        tokio::time::sleep(SECOND).await;
        Ok(answer(20, if number == 51 { 90 } else { 10 }))
    });
    let (router, context) = (router(&counter, &[&fake]), context(&pays_for(100.0)));
    let mut reserved = Vec::new();
    for _ in 0..53 {
        let call = tokio::spawn({
            let (router, context) = (router.clone(), context.clone());
            async move { router.chat(&context, &request()).await }
        });
        tokio::time::sleep(SECOND / 2).await;
        reserved.extend(counter.leases().iter().map(|lease| lease.upper_bound.0));
        call.await.unwrap().unwrap();
    }
    assert!(reserved[..50].iter().all(|nanos| *nanos == BOUND), "{reserved:?}");
    // For 20 tokens sent, with the margin and rounded up, and for 10 received.
    assert_eq!(reserved[50..52], [27_000 + 13 * 2_000; 2]);
    let over: Vec<_> = counter.rows().iter().map(|row| row.over_reservation).collect();
    assert_eq!(over.iter().position(|over| *over), Some(51));
    assert_eq!(over.iter().filter(|over| **over).count(), 1);
    // One in fifty-two calls is more than one in a hundred.
    assert_eq!(reserved[52], 27_000 + 100 * 2_000);
}
