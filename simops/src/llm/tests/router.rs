//! The router: the order of routes, the ledger rows of attempts, and refusals.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::ErrorKind;
use crate::clock::day_of;
use crate::llm::{
    CallError, Limits, LlmError, LlmErrorKind, LlmProvider, RouterOptions, ScriptedProvider, Spent,
};
use crate::roster::AgentRoster;
use crate::testing::{ManualClock, MemoryStore};
use crate::usage::{NanoUsd, Refused, Tokens, UnpricedPolicy};
use crate::{Clock, settings::key};
use serde_json::json;

use super::scene::{Asked, BOUND, Fake, Naive, answer, book, builder, context, request, router};

const SECOND: Duration = Duration::from_secs(1);

fn counter() -> Arc<Naive> {
    Arc::default()
}

fn fails(kind: LlmErrorKind) -> Asked {
    Err(LlmError::unsent(kind, "no"))
}

#[tokio::test(start_paused = true)]
async fn an_answer_leaves_one_row_with_its_tokens_its_cost_and_whom_it_was_for() {
    let (counter, cached) = (
        counter(),
        crate::llm::ChatResponse {
            tokens: Tokens { input: 10, cached_input: 4, output: 5 },
            reasoning_tokens: 2,
            ..answer(10, 5)
        },
    );
    let fake = Fake::new("groq", move |_, _| {
        let cached = cached.clone();
        async move {
            tokio::time::sleep(Duration::from_millis(250)).await;
            Ok(cached)
        }
    });
    let router = router(&counter, &[&fake]);
    let got = router.chat(&context(&[]), &request()).await.unwrap();
    assert_eq!((got.response.text.as_str(), got.attempts, got.fallback_used), ("hello", 1, false));
    assert_eq!(got.cost, NanoUsd(10 * 1_000 + 5 * 2_000));
    let rows = counter.rows();
    let [row] = &rows[..] else { panic!("{rows:?}") };
    assert_eq!(
        (row.run_id.as_deref(), row.agent_id.clone(), row.checkpoint),
        (Some("r"), Some(3.into()), Some(7))
    );
    assert_eq!((&*row.provider, &*row.model_requested), ("groq", "m"));
    assert_eq!(row.model_resolved.as_deref(), Some("m-resolved"));
    let tokens =
        (row.input_tokens, row.cached_input_tokens, row.output_tokens, row.reasoning_tokens);
    assert_eq!(tokens, (10, 4, 5, 2));
    assert_eq!((row.cost, row.priced, row.latency_ms), (got.cost, true, 250));
    assert_eq!(row.day, day_of(ManualClock::default().now()));
    assert!(counter.leases().is_empty());
    assert_eq!(fake.asked()[0].model, "m");
}

#[tokio::test(start_paused = true)]
async fn calls_of_agents_beyond_those_that_a_run_keeps_are_those_of_the_others() {
    let counter = counter();
    let roster = AgentRoster::with_limit(Arc::new(MemoryStore::new()), 1);
    let fake = Fake::listed("groq", vec![Ok(answer(10, 5))]);
    let provider = Arc::clone(&fake) as Arc<dyn LlmProvider>;
    let router = builder(&counter).provider(provider, Limits::default()).route("groq", "m");
    let router = router.agents(Arc::new(roster)).build().unwrap();
    for agent in ["Ann", "Bob", "0", "Ann"] {
        let context = context(&[]).for_agent(agent, None);
        router.chat(&context, &request()).await.unwrap();
    }
    let recorded: Vec<_> =
        counter.rows().iter().map(|row| row.agent_id.as_ref().unwrap().to_string()).collect();
    assert_eq!(recorded, ["Ann", "_other", "0", "Ann"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_retryable_is_retried_and_every_attempt_leaves_a_row() {
    let counter = counter();
    let outcomes =
        vec![fails(LlmErrorKind::ServerError), fails(LlmErrorKind::RateLimited), Ok(answer(1, 1))];
    let fake = Fake::listed("groq", outcomes);
    let got = router(&counter, &[&fake]).chat(&context(&[]), &request()).await.unwrap();
    assert_eq!((got.attempts, got.fallback_used), (3, false));
    assert_eq!(counter.outcomes(), ["server_error", "rate_limited", "ok"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_retryable_goes_to_the_next_route_at_once() {
    use LlmErrorKind::*;
    for kind in [Timeout, Auth, PaymentRequired, BadRequest, InvalidResponse, Cancelled] {
        let counter = counter();
        let first = Fake::listed("openrouter", vec![fails(kind)]);
        let second = Fake::listed("groq", vec![Ok(answer(1, 1))]);
        let router = router(&counter, &[&first, &second]);
        let got = router.chat(&context(&[]), &request()).await.unwrap();
        assert_eq!((&*got.route.provider, got.attempts, got.fallback_used), ("groq", 2, true));
        assert_eq!(counter.outcomes(), [kind.as_str(), "ok"]);
        let marks: Vec<_> = counter.rows().iter().map(|row| row.fallback_used).collect();
        assert_eq!(marks, [false, true]);
    }
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_honoured_within_the_calls_time_and_otherwise_the_route_is_left() {
    let asked = |wait: u64| {
        let error = LlmError::unsent(LlmErrorKind::RateLimited, "slower");
        Err(error.with_retry_after(Some(Duration::from_secs(wait))))
    };
    let (counter, fake) = (counter(), Fake::listed("groq", vec![asked(7), Ok(answer(1, 1))]));
    let began = tokio::time::Instant::now();
    router(&counter, &[&fake]).chat(&context(&[]), &request()).await.unwrap();
    assert!((7 * SECOND..9 * SECOND).contains(&began.elapsed()), "{:?}", began.elapsed());

    let fake = Fake::listed("groq", vec![asked(3_600), Ok(answer(1, 1))]);
    let router = router(&counter, &[&fake]);
    let began = tokio::time::Instant::now();
    let error = router.chat(&context(&[]), &request()).await.unwrap_err();
    let CallError::Failed { attempts: 1, error, .. } = error else { panic!("{error:?}") };
    assert_eq!(error.retry_after, Some(3_600 * SECOND));
    assert!(began.elapsed() < SECOND, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_failure_costs_what_is_known_and_at_most_what_was_reserved_when_nothing_is() {
    let used = Tokens { input: 10, cached_input: 0, output: 5 };
    let flood = Tokens { input: 1_000, cached_input: 0, output: 500 };
    let known = 10 * 1_000 + 5 * 2_000;
    for (spent, cost) in [
        (Spent::Nothing, 0),
        (Spent::Exactly(used), known),
        (Spent::Unknown, BOUND),
        (Spent::AtLeast(used), BOUND),
        (Spent::AtLeast(flood), 1_000 * 1_000 + 500 * 2_000),
    ] {
        let counter = counter();
        let error = LlmError::new(LlmErrorKind::InvalidResponse, "half").with_spent(spent);
        let fake = Fake::listed("groq", vec![Err(error)]);
        router(&counter, &[&fake]).chat(&context(&[]), &request()).await.unwrap_err();
        assert_eq!(counter.rows()[0].cost, NanoUsd(cost), "{spent:?}");
    }
    let silent = crate::llm::ChatResponse { usage_reported: false, ..answer(0, 0) };
    let (counter, fake) = (counter(), Fake::listed("groq", vec![Ok(silent)]));
    let got = router(&counter, &[&fake]).chat(&context(&[]), &request()).await.unwrap();
    assert_eq!(got.cost, NanoUsd(BOUND));
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_hangs_is_left_after_the_time_out() {
    let counter = counter();
    let hangs = Fake::new("openrouter", |_, _| std::future::pending());
    let second = Fake::listed("groq", vec![Ok(answer(1, 1))]);
    let began = tokio::time::Instant::now();
    let router = router(&counter, &[&hangs, &second]);
    router.chat(&context(&[]), &request()).await.unwrap();
    assert_eq!(began.elapsed(), RouterOptions::default().attempt_timeout);
    assert_eq!(counter.outcomes(), ["timeout", "ok"]);
    assert_eq!(counter.rows()[0].cost, NanoUsd(BOUND));
    assert_eq!(counter.rows()[0].latency_ms, 20_000);
}

#[tokio::test(start_paused = true)]
async fn the_whole_call_ends_within_its_time() {
    let counter = counter();
    let fake = Fake::new("groq", |_, _| std::future::pending());
    let other = Fake::new("gemini", |_, _| std::future::pending());
    let router = router(&counter, &[&fake, &other]);
    let began = tokio::time::Instant::now();
    let context = context(&[]).with_timeout(10 * SECOND);
    let error = router.chat(&context, &request()).await.unwrap_err();
    assert!(matches!(error, CallError::Failed { .. }), "{error:?}");
    assert_eq!(began.elapsed(), 10 * SECOND);
    assert_eq!(counter.outcomes(), ["timeout"], "no attempt begins without time to be answered");
}

#[tokio::test(start_paused = true)]
async fn the_cheapest_route_is_first_when_that_is_forced() {
    let counter = counter();
    let expensive = Fake::listed("openrouter", vec![Ok(answer(1, 1))]);
    let cheap = Fake::listed("groq", vec![Ok(answer(1, 1))]);
    let router = builder(&counter)
        .provider(expensive, Limits::default())
        .provider(cheap, Limits::default())
        .route("openrouter", "m")
        .route("groq", "cheap")
        .build()
        .unwrap();
    let first = router.chat(&context(&[]), &request()).await.unwrap();
    assert_eq!(&*first.route.provider, "openrouter");
    let forced = context(&[(key::FORCE_CHEAPEST_ROUTE, json!(true))]);
    let got = router.chat(&forced, &request()).await.unwrap();
    assert_eq!((&*got.route.provider, got.fallback_used), ("groq", false));
}

#[tokio::test(start_paused = true)]
async fn from_the_soft_cap_on_calls_are_smaller_and_marked() {
    let (counter, fake) = (counter(), Fake::listed("groq", vec![Ok(answer(1, 1))]));
    let router = router(&counter, &[&fake]);
    // The first call costs 3,000 nano-dollars; the soft cap is that.
    let context = context(&[(key::BUDGET_SOFT, json!(0.000003)), (key::BUDGET_HARD, json!(1.0))]);
    assert!(!router.chat(&context, &request()).await.unwrap().degraded);
    let got = router.chat(&context, &request()).await.unwrap();
    assert!(got.degraded && got.fallback_used);
    let asked: Vec<_> = fake.asked().iter().map(|r| (r.max_tokens, r.temperature)).collect();
    assert_eq!(asked, [(100, 0.7), (50, 0.5)]);
    let marks: Vec<_> = counter.rows().iter().map(|row| row.fallback_used).collect();
    assert_eq!(marks, [false, true]);
}

#[tokio::test(start_paused = true)]
async fn a_spent_hard_budget_refuses_and_the_run_is_remembered() {
    let (counter, fake) = (counter(), Fake::listed("groq", vec![Ok(answer(10, 10))]));
    let router = router(&counter, &[&fake]);
    let day = day_of(ManualClock::default().now());
    let context = context(&[(key::BUDGET_HARD, json!(0.00031)), (key::BUDGET_SOFT, json!(0.0))]);
    router.chat(&context, &request()).await.unwrap();
    assert!(router.refusals().on_day("r", day).is_none());
    let error = router.chat(&context, &request()).await.unwrap_err();
    let reason = Refused::HardBudgetReached;
    let budget = "llm_daily_budget_usd".into();
    assert_eq!(error, CallError::Refused { reason, budget, place: "".into(), retry_after: None });
    assert_eq!(
        error.to_string(),
        "a budget refuses the call: hard_budget_reached (llm_daily_budget_usd)"
    );
    assert_eq!(crate::Error::from(error).kind(), ErrorKind::Rejected);
    assert!(
        router.refusals().on_day("r", day).is_some()
            && router.refusals().on_day("q", day).is_none()
    );
    assert!(router.refusals().on_day("r", day.tomorrow().unwrap()).is_none());
    assert_eq!(router.refusals().on_day("r", day).unwrap().needed_of_day(), Some(NanoUsd(BOUND)));
    assert!(
        router.refusals().remove("r").is_some() && router.refusals().on_day("r", day).is_none()
    );
    assert_eq!((counter.rows().len(), fake.asked().len()), (1, 1), "a refused call is not made");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_by_calls_in_flight_says_when_to_ask_again_and_is_not_remembered() {
    let (counter, fake) = (counter(), Fake::new("groq", |_, _| std::future::pending()));
    let router = router(&counter, &[&fake]);
    let caps = [(key::BUDGET_HARD, json!(0.0003)), (key::BUDGET_SOFT, json!(0.0))];
    let first = {
        let (router, context) = (router.clone(), context(&caps));
        tokio::spawn(async move { router.chat(&context, &request()).await })
    };
    while fake.asked().is_empty() {
        tokio::task::yield_now().await;
    }
    let impatient = context(&caps).with_timeout(SECOND);
    let error = router.chat(&impatient, &request()).await.unwrap_err();
    assert!(matches!(error, CallError::Refused { retry_after: Some(_), .. }), "{error:?}");
    assert!(error.is_retryable());
    assert!(router.refusals().on_day("r", day_of(ManualClock::default().now())).is_none());
    first.abort();
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_the_caps_refuse_leaves_the_failure_as_the_answer() {
    let (counter, fake) = (counter(), Fake::listed("groq", vec![fails(LlmErrorKind::ServerError)]));
    let context = context(&[(key::MAX_CALLS_TOTAL, json!(1))]);
    let error = router(&counter, &[&fake]).chat(&context, &request()).await.unwrap_err();
    assert!(matches!(error, CallError::Failed { attempts: 1, .. }), "{error:?}");
    assert_eq!(counter.outcomes(), ["server_error"]);
}

#[tokio::test(start_paused = true)]
async fn a_cap_on_one_provider_leaves_the_others() {
    let counter = counter();
    let groq = Fake::listed("groq", vec![Ok(answer(1, 1))]);
    let gemini = Fake::listed("gemini", vec![Ok(answer(1, 1))]);
    let router = router(&counter, &[&groq, &gemini]);
    let context = context(&[(key::MAX_CALLS_GROQ, json!(1))]);
    let mut by = Vec::new();
    for _ in 0..3 {
        by.push(router.chat(&context, &request()).await.unwrap().route.provider);
    }
    assert_eq!(by, ["groq", "gemini", "gemini"]);
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_is_skipped_and_without_another_route_it_is_a_failed_call_of_cost_0() {
    let counter = counter();
    let broken = Fake::listed("openrouter", vec![fails(LlmErrorKind::Auth)]);
    let well = Fake::listed("groq", vec![Ok(answer(1, 1))]);
    let both = router(&counter, &[&broken, &well]);
    for _ in 0..8 {
        both.chat(&context(&[]), &request()).await.unwrap();
    }
    assert_eq!(broken.asked().len(), 5, "five failures open it");
    assert_eq!(counter.rows().len(), 5 + 8, "a route that is skipped leaves no row");

    let (counter, alone) =
        (Arc::<Naive>::default(), Fake::listed("groq", vec![fails(LlmErrorKind::Auth)]));
    let router = router(&counter, &[&alone]);
    for _ in 0..7 {
        let _ = router.chat(&context(&[]), &request()).await;
    }
    let error = router.chat(&context(&[]), &request()).await.unwrap_err();
    assert!(matches!(error, CallError::CircuitOpen { .. }) && error.is_retryable());
    assert_eq!(alone.asked().len(), 5);
    assert_eq!(counter.outcomes()[5..], ["circuit_open", "circuit_open", "circuit_open"]);
    for row in &counter.rows()[5..] {
        assert_eq!(
            (row.sent, row.cost, row.input_tokens, row.output_tokens),
            (false, NanoUsd(0), 0, 0)
        );
    }
    assert!(counter.leases().is_empty());
    tokio::time::sleep(11 * SECOND).await;
    let _ = router.chat(&context(&[]), &request()).await;
    assert_eq!(alone.asked().len(), 6, "one probe after the cool-down");
}

#[tokio::test(start_paused = true)]
async fn openrouter_is_called_as_often_a_minute_as_the_setting_says_at_call_time() {
    let (counter, fake) = (counter(), Fake::listed("openrouter", vec![Ok(answer(1, 1))]));
    let router = router(&counter, &[&fake]);
    let limit = |n: i64| context(&[(key::OPENROUTER_RPM_LIMIT, json!(n))]);
    for _ in 0..3 {
        router.chat(&limit(3), &request()).await.unwrap();
    }
    let error = router.chat(&limit(3), &request()).await.unwrap_err();
    let CallError::Busy { retry_after: Some(wait), .. } = error else { panic!("{error:?}") };
    assert!(wait > 50 * SECOND, "{wait:?}");
    router.chat(&limit(4), &request()).await.unwrap();
    assert_eq!(counter.rows().len(), 4, "a call that waits in vain leaves no row");
    let began = tokio::time::Instant::now();
    router.chat(&limit(4).with_timeout(120 * SECOND), &request()).await.unwrap();
    assert!((59 * SECOND..61 * SECOND).contains(&began.elapsed()), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn no_more_calls_run_at_once_than_the_provider_gets() {
    let counter = counter();
    let fake = Fake::new("groq", |_, _| async {
        tokio::time::sleep(SECOND).await;
        Ok(answer(1, 1))
    });
    let limits = Limits { concurrency: 2, per_minute: None };
    let router = builder(&counter).provider(fake.clone(), limits).route("groq", "m").build();
    let (router, context) = (router.unwrap(), context(&[]));
    let asking = (0..6).map(|_| {
        let (router, context) = (router.clone(), context.clone());
        tokio::spawn(async move { router.chat(&context, &request()).await })
    });
    let asking: Vec<_> = asking.collect();
    tokio::time::sleep(SECOND / 2).await;
    assert_eq!((fake.asked().len(), router.in_flight()), (2, 2));
    let began = tokio::time::Instant::now();
    for task in asking {
        task.await.unwrap().unwrap();
    }
    assert_eq!(began.elapsed(), 5 * SECOND / 2);
}

#[tokio::test(start_paused = true)]
async fn no_call_begins_once_the_gate_has_moved() {
    let (counter, current) = (counter(), Arc::new(AtomicBool::new(true)));
    let stopper = Arc::clone(&current);
    let fake = Fake::new("groq", move |_, _| {
        stopper.store(false, Ordering::SeqCst);
        std::future::ready(fails(LlmErrorKind::ServerError))
    });
    let gate = Arc::clone(&current);
    let context = context(&[]).while_current(move || gate.load(Ordering::SeqCst));
    let router = router(&counter, &[&fake]);
    let error = router.chat(&context, &request()).await.unwrap_err();
    assert_eq!(error, CallError::Cancelled);
    assert_eq!(fake.asked().len(), 1, "the retry does not begin");
    assert_eq!(router.chat(&context, &request()).await.unwrap_err(), CallError::Cancelled);
    assert_eq!((counter.rows().len(), counter.leases().len()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_router_without_routes_is_empty_and_says_so() {
    let router = builder(&counter()).build().unwrap();
    assert!(router.is_empty());
    let error = router.chat(&context(&[]), &request()).await.unwrap_err();
    assert_eq!(error, CallError::NoProvider);
}

#[tokio::test(start_paused = true)]
async fn a_router_that_makes_no_sense_is_not_built() {
    let fake = || Fake::listed("groq", vec![Ok(answer(1, 1))]);
    let unknown = builder(&counter()).route("groq", "m").build();
    assert_eq!(unknown.err().unwrap().kind(), ErrorKind::Rejected);
    let twice = builder(&counter())
        .provider(fake(), Limits::default())
        .provider(fake(), Limits::default())
        .build();
    assert_eq!(twice.err().unwrap().kind(), ErrorKind::Rejected);
}

#[tokio::test(start_paused = true)]
async fn a_model_without_a_price_is_charged_at_the_fallback_or_refused_as_the_policy_says() {
    let counter = counter();
    let make = |unpriced| {
        let script = ScriptedProvider::new(|_| Ok("one two".to_owned())).named("groq");
        builder(&counter)
            .options(RouterOptions { unpriced, ..RouterOptions::default() })
            .provider(Arc::new(script), Limits::default())
            .route("groq", "nobody-knows")
            .build()
            .unwrap()
    };
    let refused = make(UnpricedPolicy::Refuse).chat(&context(&[]), &request()).await;
    assert!(matches!(refused, Err(CallError::Unpriced(_))), "{refused:?}");
    let got = make(UnpricedPolicy::Fallback).chat(&context(&[]), &request()).await.unwrap();
    assert_eq!(got.cost, NanoUsd(6 * 500 + 2 * 1_500));
    let priced: Vec<_> = counter.rows().iter().map(|row| row.priced).collect();
    assert_eq!(priced, [false]);
    assert_eq!(book().source, "a test");
}
