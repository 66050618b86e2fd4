//! No call is lost and no permit leaks: unavailable stores, dropped callers, panics and races.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::Clock;
use crate::clock::day_of;
use crate::llm::breaker::BreakerPolicy;
use crate::llm::{CallError, Limits, LlmError, LlmErrorKind, Router, RouterOptions};
use crate::settings::key;
use crate::testing::ManualClock;
use crate::usage::{NanoUsd, UsageCounter};
use serde_json::json;

use super::scene::{Fake, Naive, answer, builder, context, request, router};

const SECOND: Duration = Duration::from_secs(1);

fn counter() -> Arc<Naive> {
    Arc::default()
}

/// Responds after a second of tokio's time.
fn slow() -> Arc<Fake> {
    Fake::new("groq", |_, _| async {
        tokio::time::sleep(SECOND).await;
        Ok(answer(1, 1))
    })
}

#[tokio::test(start_paused = true)]
async fn a_response_is_returned_although_its_row_is_recorded_later() {
    let (counter, fake) = (counter(), slow());
    let router = router(&counter, &[&fake]);
    counter.settling_fails.store(true, Ordering::SeqCst);
    let got = router.chat(&context(&[]), &request()).await.unwrap();
    assert_eq!(got.response.text, "hello");
    assert_eq!((counter.rows().len(), counter.leases().len(), router.pending()), (0, 1, 1));
    assert_eq!(router.flush(5 * SECOND).await, Err(1));
    counter.settling_fails.store(false, Ordering::SeqCst);
    router.flush(30 * SECOND).await.unwrap();
    assert_eq!((counter.outcomes().len(), counter.leases().len(), router.pending()), (1, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_late_row_replaces_the_row_of_its_expired_lease() {
    let (counter, fake) = (counter(), slow());
    let router = router(&counter, &[&fake]);
    counter.settling_fails.store(true, Ordering::SeqCst);
    let got = router.chat(&context(&[]), &request()).await.unwrap();
    let much_later = ManualClock::default().now() + jiff::SignedDuration::from_hours(1);
    assert_eq!(counter.expire(much_later).await.unwrap(), 1);
    assert_eq!(counter.outcomes(), ["lease_expired"]);
    counter.settling_fails.store(false, Ordering::SeqCst);
    router.flush(30 * SECOND).await.unwrap();
    assert_eq!(counter.outcomes(), ["ok"]);
    assert_eq!(counter.rows()[0].cost, got.cost);
}

#[tokio::test(start_paused = true)]
async fn without_a_counter_no_call_is_made() {
    let (counter, fake) = (counter(), slow());
    let router = router(&counter, &[&fake]);
    for fault in [&counter.unavailable, &counter.hangs] {
        fault.store(true, Ordering::SeqCst);
        let error = router.chat(&context(&[]), &request()).await.unwrap_err();
        assert!(
            matches!(error, CallError::CounterUnavailable(_)) && error.is_retryable(),
            "{error:?}"
        );
        fault.store(false, Ordering::SeqCst);
    }
    assert!(fake.asked().is_empty());
    router.flush(30 * SECOND).await.unwrap();
    assert_eq!((counter.rows().len(), counter.leases().len()), (0, 0));
    router.chat(&context(&[]), &request()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_reservation_of_unknown_outcome_is_released() {
    let (counter, fake) = (counter(), slow());
    let router = router(&counter, &[&fake]);
    *counter.reserving.lock().unwrap() = 5 * SECOND;
    let error = router.chat(&context(&[]), &request()).await.unwrap_err();
    assert!(matches!(error, CallError::CounterUnavailable(_)), "{error:?}");
    assert_eq!(counter.leases().len(), 1);
    router.flush(10 * SECOND).await.unwrap();
    assert_eq!((fake.asked().len(), counter.rows().len(), counter.leases().len()), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_the_store_blocks_no_permit_and_takes_bounded_memory() {
    let (counter, fake) = (counter(), slow());
    let options = RouterOptions { max_pending: 3, ..RouterOptions::default() };
    let limits = Limits { concurrency: 1, per_minute: None };
    let router = builder(&counter).options(options).provider(fake.clone(), limits);
    let router = router.route("groq", "m").build().unwrap();
    counter.settling_fails.store(true, Ordering::SeqCst);
    for _ in 0..3 {
        router.chat(&context(&[]), &request()).await.unwrap();
    }
    let error = router.chat(&context(&[]), &request()).await.unwrap_err();
    assert!(matches!(error, CallError::CounterUnavailable(_)), "{error:?}");
    assert_eq!(fake.asked().len(), 3);
    counter.settling_fails.store(false, Ordering::SeqCst);
    router.flush(30 * SECOND).await.unwrap();
    assert_eq!(counter.outcomes(), ["ok", "ok", "ok"]);
}

#[tokio::test(start_paused = true)]
async fn the_call_of_a_dropped_caller_is_recorded_with_its_actual_cost() {
    let (counter, fake) = (counter(), slow());
    let router = router(&counter, &[&fake]);
    let (asking, context) = (request(), context(&[]));
    let dropped = tokio::time::timeout(SECOND / 2, router.chat(&context, &asking)).await;
    assert!(dropped.is_err());
    assert_eq!((fake.asked().len(), router.in_flight()), (1, 1));
    router.flush(10 * SECOND).await.unwrap();
    assert_eq!(counter.outcomes(), ["ok"]);
    assert_eq!(counter.rows()[0].cost, NanoUsd(3_000));
    assert_eq!((router.in_flight(), counter.leases().len()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_caller_dropped_before_the_request_is_sent_costs_nothing() {
    let (counter, fake) = (counter(), slow());
    let router = router(&counter, &[&fake]);
    *counter.reserving.lock().unwrap() = SECOND;
    let (asking, context) = (request(), context(&[]));
    let dropped = tokio::time::timeout(SECOND / 2, router.chat(&context, &asking)).await;
    assert!(dropped.is_err());
    assert_eq!(router.pending(), 1);
    router.flush(10 * SECOND).await.unwrap();
    assert_eq!((fake.asked().len(), counter.rows().len(), counter.leases().len()), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_panics_fails_its_attempt_and_leaks_no_permit() {
    let counter = counter();
    let fake = Fake::new("groq", |n, _| async move {
        assert!(n > 0, "a bug of the provider");
        Ok(answer(1, 1))
    });
    let limits = Limits { concurrency: 1, per_minute: None };
    let router = builder(&counter).provider(fake, limits).route("groq", "m").build().unwrap();
    let error = router.chat(&context(&[]), &request()).await.unwrap_err();
    let CallError::Failed { error, .. } = error else { panic!("{error:?}") };
    assert_eq!(error.kind, LlmErrorKind::Panicked);
    router.chat(&context(&[]), &request()).await.unwrap();
    assert_eq!(counter.outcomes(), ["provider_panicked", "ok"]);
    assert_eq!((router.in_flight(), router.pending(), counter.leases().len()), (0, 0, 0));
}

/// 64 tasks of `calls` calls each, on a provider that fails now and then; then calls one by one
/// until a cap is spent, since in the storm calls in flight may have refused the last ones. How
/// many attempts were made.
async fn storm(router: &Router, overrides: &[(&str, serde_json::Value)], calls: usize) -> usize {
    let tasks = (0..64).map(|_| {
        let (router, context) = (router.clone(), context(overrides));
        tokio::spawn(async move {
            let mut attempts = 0;
            for _ in 0..calls {
                attempts += match router.chat(&context, &request()).await {
                    Ok(answer) => answer.attempts as usize,
                    Err(CallError::Failed { attempts, .. }) => attempts as usize,
                    Err(CallError::Refused { .. }) => 0,
                    Err(error) => panic!("{error:?}"),
                };
            }
            attempts
        })
    });
    let mut attempts = 0;
    for task in tasks.collect::<Vec<_>>() {
        attempts += task.await.unwrap();
    }
    let context = context(overrides);
    loop {
        match router.chat(&context, &request()).await {
            Ok(_) | Err(CallError::Failed { .. }) => attempts += 1,
            Err(CallError::Refused { retry_after: None, .. }) => break,
            Err(error) => panic!("{error:?}"),
        }
    }
    router.flush(60 * SECOND).await.unwrap();
    attempts
}

/// A router whose breaker never opens.
fn patient(counter: &Arc<Naive>, fake: &Arc<Fake>) -> Router {
    let breaker = BreakerPolicy { failures: u32::MAX, ..BreakerPolicy::default() };
    let options = RouterOptions { breaker, ..RouterOptions::default() };
    let limits = Limits { concurrency: 64, per_minute: None };
    let router = builder(counter).options(options).provider(Arc::clone(fake) as _, limits);
    router.route("groq", "m").build().unwrap()
}

fn flaky() -> Arc<Fake> {
    Fake::new("groq", |n, request| async move {
        for _ in 0..n % 7 {
            tokio::task::yield_now().await;
        }
        match n % 5 {
            0 => Err(LlmError::new(LlmErrorKind::InvalidResponse, "half an answer")),
            1 => Err(LlmError::unsent(LlmErrorKind::BadRequest, "no")),
            _ => Ok(answer(n as i64 % 91, request.max_tokens.min(n as i64 % 101))),
        }
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cap_on_calls_holds_under_64_tasks_and_every_attempt_is_in_the_ledger() {
    let (counter, fake) = (counter(), flaky());
    let router = patient(&counter, &fake);
    let caps = [
        (key::MAX_CALLS_TOTAL, json!(200)),
        (key::BUDGET_HARD, json!(0)),
        (key::BUDGET_SOFT, json!(0)),
    ];
    let attempts = storm(&router, &caps, 8).await;
    // All 200 calls are used: no reservation leaked.
    assert_eq!((attempts, counter.rows().len(), fake.asked().len()), (200, 200, 200));
    assert_eq!((counter.leases().len(), counter.settles()), (0, 200));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_hard_budget_holds_under_64_tasks() {
    let (counter, fake) = (counter(), flaky());
    let router = patient(&counter, &fake);
    let caps = [(key::BUDGET_HARD, json!(0.01)), (key::BUDGET_SOFT, json!(0.005))];
    let attempts = storm(&router, &caps, 8).await;
    assert_eq!((counter.rows().len(), fake.asked().len()), (attempts, attempts));
    let day = day_of(ManualClock::default().now());
    let used = counter.day_use(day).await.unwrap();
    assert!(used.settled.cost <= NanoUsd::from_dollars(0.01), "{used:?}");
    // The remaining budget is smaller than one more call.
    assert!(used.settled.cost.0 + super::scene::BOUND > 10_000_000, "{used:?}");
    assert!(router.refusals().on_day("r", day).is_some());
    assert!(counter.rows().iter().any(|row| row.fallback_used));
}
