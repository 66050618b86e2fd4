//! The pure parts of model calls: breaker, back-off, upper bound, limits, configuration.

use std::time::Duration;

use crate::Secret;
use crate::llm::breaker::{Breaker, BreakerPolicy, CallOutcome, Permit};
use crate::llm::limits::RateWindow;
use crate::llm::retry::RetryPolicy;
use crate::llm::{ChatRequest, LlmError, LlmErrorKind, ProviderConfig, bound};
use crate::usage::{PriceBook, Tokens, UnpricedPolicy};
use proptest::prelude::*;

const SECOND: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy)]
enum Step {
    Enter,
    Tell { which: usize, outcome: CallOutcome },
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let outcome = prop_oneof![
        2 => Just(CallOutcome::Responded),
        5 => proptest::option::of(0..400_u64).prop_map(|s| CallOutcome::Failed(s.map(Duration::from_secs))),
        1 => Just(CallOutcome::NotSent),
    ];
    prop_oneof![
        4 => Just(Step::Enter),
        4 => (any::<usize>(), outcome).prop_map(|(which, outcome)| Step::Tell { which, outcome }),
        2 => (0..200_u64).prop_map(Step::Wait),
    ]
}

#[derive(Debug, Clone, Copy)]
enum Model {
    Closed {
        failures: u32,
    },
    /// No call before this, at the earliest.
    Open {
        at: Duration,
    },
    Probing,
}

proptest! {
    #[test]
    fn a_breaker_opens_on_failures_in_a_row_and_lets_one_probe_through_at_a_time(
        threshold in 1..5_u32,
        steps in proptest::collection::vec(step(), 1..200),
    ) {
        let policy = BreakerPolicy {
            failures: threshold,
            cool_down: 10 * SECOND,
            max_cool_down: 80 * SECOND,
        };
        let (mut breaker, mut now) = (Breaker::new(policy), Duration::ZERO);
        // The model: each change increments the generation, and only outcomes of calls of that generation count.
        let (mut state, mut generation) = (Model::Closed { failures: 0 }, 0);
        let mut under_way: Vec<(Permit, u32)> = Vec::new();
        for step in steps {
            match step {
                Step::Wait(seconds) => now += Duration::from_secs(seconds),
                Step::Enter => match (breaker.try_acquire(now), state) {
                    (Ok(permit), Model::Closed { .. }) => under_way.push((permit, generation)),
                    (Ok(permit), Model::Open { at }) => {
                        prop_assert!(now >= at, "let through too early");
                        (state, generation) = (Model::Probing, generation + 1);
                        under_way.push((permit, generation));
                    }
                    (Err(wait), Model::Open { at }) => {
                        prop_assert!(now < at || wait > Duration::ZERO);
                        prop_assert!(wait <= policy.max_cool_down);
                    }
                    (Err(_), Model::Probing) => {}
                    (got, state) => prop_assert!(false, "{got:?} while {state:?}"),
                },
                Step::Tell { which, outcome } if !under_way.is_empty() => {
                    let (permit, begun) = under_way.swap_remove(which % under_way.len());
                    let before = breaker.clone();
                    breaker.record(permit, outcome, now);
                    if begun != generation {
                        prop_assert_eq!(&breaker, &before, "the outcome of a call of an earlier generation counted");
                        continue;
                    }
                    let next = match (state, outcome) {
                        (Model::Closed { failures }, CallOutcome::Failed(_)) if failures + 1 < threshold => {
                            Model::Closed { failures: failures + 1 }
                        }
                        (_, CallOutcome::Failed(asked)) => {
                            let least = policy.cool_down.max(asked.unwrap_or_default());
                            Model::Open { at: now + least.min(policy.max_cool_down) }
                        }
                        (_, CallOutcome::Responded) => Model::Closed { failures: 0 },
                        (Model::Probing, CallOutcome::NotSent) => Model::Open { at: now },
                        (state, CallOutcome::NotSent) => state,
                    };
                    generation += u32::from(std::mem::discriminant(&next) != std::mem::discriminant(&state));
                    state = next;
                    let refused = matches!(state, Model::Open { at } if at > now);
                    prop_assert_eq!(breaker.retry_after(now).is_some(), refused);
                }
                Step::Tell { .. } => {}
            }
        }
    }

    #[test]
    fn cool_downs_double_up_to_their_limit_and_reset_after_a_success(failed in 0..12_u32) {
        let policy = BreakerPolicy { failures: 1, cool_down: SECOND, max_cool_down: 60 * SECOND };
        let mut breaker = Breaker::new(policy);
        let mut now = Duration::ZERO;
        for round in 0..=failed {
            let permit = breaker.try_acquire(now).unwrap();
            breaker.record(permit, CallOutcome::Failed(None), now);
            let rest = breaker.retry_after(now).unwrap();
            prop_assert_eq!(rest, (SECOND * 2_u32.pow(round)).min(60 * SECOND));
            now += rest;
        }
        let permit = breaker.try_acquire(now).unwrap();
        breaker.record(permit, CallOutcome::Responded, now);
        let permit = breaker.try_acquire(now).unwrap();
        breaker.record(permit, CallOutcome::Failed(None), now);
        prop_assert_eq!(breaker.retry_after(now), Some(SECOND));
    }

    #[test]
    fn a_pause_is_jittered_bounded_and_never_shorter_than_asked(
        (made, entropy) in (1..40_u32, any::<u32>()),
        (base, cap, left) in (1..2_000_u64, 1..10_000_u64, 0..60_000_u64),
        asked in proptest::option::of(0..60_000_u64),
        kind in prop_oneof![
            Just(LlmErrorKind::RateLimited), Just(LlmErrorKind::ServerError),
            Just(LlmErrorKind::Connection), Just(LlmErrorKind::Timeout),
            Just(LlmErrorKind::BadRequest), Just(LlmErrorKind::Auth),
            Just(LlmErrorKind::InvalidResponse),
        ],
    ) {
        let [base, cap, left] = [base, cap, left].map(Duration::from_millis);
        let asked = asked.map(Duration::from_millis);
        let policy = RetryPolicy { attempts: 5, base, cap };
        let error = LlmError::new(kind, "no").with_retry_after(asked);
        let whole = base.saturating_mul(1 << (made - 1).min(20)).min(cap);
        match policy.pause(made, &error, entropy, left) {
            Some(pause) => {
                prop_assert!(kind.is_retryable() && made < 5 && pause < left);
                prop_assert!(pause >= asked.unwrap_or_default());
                prop_assert!(pause >= whole / 2);
                prop_assert!(pause <= whole.max(asked.unwrap_or_default() + whole / 2));
            }
            None => {
                let longest = whole.max(asked.unwrap_or_default() + whole / 2);
                prop_assert!(!kind.is_retryable() || made >= 5 || longest >= left);
            }
        }
    }

    #[test]
    fn the_upper_bound_is_above_what_any_tokenizer_makes_of_the_request(
        (system, prompt) in (".{0,80}", ".{0,80}"),
        (max_tokens, input_share, cached_share, output_share) in
            (1..3_000_i64, 0.0..=1.0_f64, 0.0..=1.0_f64, 0.0..=1.0_f64),
        (p_in, p_cached, p_out) in (0..5_000_u32, 0..5_000_u32, 0..5_000_u32),
        degraded in any::<bool>(),
    ) {
        let usd = |thousandths: u32| format!("{}.{:03}", thousandths / 1000, thousandths % 1000);
        let text = format!(
            r#"{{"source": "t", "retrieved": "2026-11-23", "prices": [{{"provider": "groq",
               "model": "m", "input": "{}", "cached_input": "{}", "output": "{}"}}]}}"#,
            usd(p_in), usd(p_cached), usd(p_out),
        );
        let day = jiff::civil::date(2026, 11, 24);
        let book = PriceBook::from_json(&text).unwrap();
        let price = book.quote("groq", "m", day, UnpricedPolicy::Refuse).unwrap().price;
        let bytes = (system.len() + prompt.len()) as f64;
        let mut request =
            ChatRequest { model: "m".to_owned(), system, prompt, max_tokens, temperature: 0.9 };
        let most = bound::cost(bound::tokens(&request), price);
        if degraded {
            bound::degrade(&mut request);
            prop_assert!(request.max_tokens <= max_tokens && request.temperature <= 0.5);
            prop_assert_eq!(request.max_tokens, (max_tokens / 2).max(16).min(max_tokens));
        }
        let input = (bytes * input_share) as i64;
        let used = Tokens {
            input,
            cached_input: (input as f64 * cached_share) as i64,
            output: (request.max_tokens as f64 * output_share) as i64,
        };
        prop_assert!(price.of(used) <= most);
    }

    #[test]
    fn no_minute_sees_more_calls_than_its_limit(
        limit in 1..10_u32,
        steps in proptest::collection::vec((0..30_000_u64, any::<bool>()), 1..100),
    ) {
        let (mut window, mut now) = (RateWindow::default(), Duration::ZERO);
        let mut begun: Vec<Duration> = Vec::new();
        for (pause, gives_back) in steps {
            now += Duration::from_millis(pause);
            let recent = |begun: &[Duration], now: Duration| {
                begun.iter().filter(|at| now - **at < Duration::from_secs(60)).count()
            };
            match window.try_begin(now, limit) {
                Ok(()) if gives_back => window.cancel(now),
                Ok(()) => begun.push(now),
                Err(wait) => {
                    prop_assert_eq!(recent(&begun, now), limit as usize);
                    let just_before = now + wait - Duration::from_nanos(1);
                    prop_assert_eq!(recent(&begun, just_before), limit as usize);
                    prop_assert!(recent(&begun, now + wait) < limit as usize);
                }
            }
            prop_assert!(recent(&begun, now) <= limit as usize);
        }
    }
}

#[test]
fn a_probe_that_was_never_sent_allows_another() {
    let policy = BreakerPolicy { failures: 1, ..BreakerPolicy::default() };
    let mut breaker = Breaker::new(policy);
    let permit = breaker.try_acquire(Duration::ZERO).unwrap();
    breaker.record(permit, CallOutcome::Failed(None), Duration::ZERO);
    let probe = breaker.try_acquire(policy.cool_down).unwrap();
    assert!(breaker.try_acquire(policy.cool_down).is_err());
    breaker.record(probe, CallOutcome::NotSent, policy.cool_down);
    assert!(breaker.try_acquire(policy.cool_down).is_ok());
}

#[test]
fn a_breaker_stays_open_for_as_long_as_the_provider_asks() {
    let policy = BreakerPolicy { failures: 1, ..BreakerPolicy::default() };
    let mut breaker = Breaker::new(policy);
    let permit = breaker.try_acquire(Duration::ZERO).unwrap();
    breaker.record(permit, CallOutcome::Failed(Some(77 * SECOND)), Duration::ZERO);
    assert_eq!(breaker.retry_after(Duration::ZERO), Some(77 * SECOND));
}

fn configure(vars: &[(&str, &str)]) -> crate::Result<Vec<ProviderConfig>> {
    ProviderConfig::from_lookup(|name| {
        vars.iter().find(|(var, _)| *var == name).map(|(_, value)| (*value).to_owned())
    })
}

#[test]
fn a_key_or_a_base_url_alone_configures_a_provider() {
    assert_eq!(configure(&[("GROQ_API_KEY", " "), ("PATH", "/bin")]).unwrap(), []);
    let both =
        configure(&[("MISTRAL_BASE_URL", "http://127.0.0.1:11434/v1/"), ("GROQ_API_KEY", " k-1 ")])
            .unwrap();
    let [groq, mistral] = &both[..] else { panic!("{both:?}") };
    assert_eq!((&*groq.name, &*groq.base_url), ("groq", "https://api.groq.com/openai/v1"));
    assert_eq!(groq.key, Some(Secret::new("k-1")));
    assert_eq!((&*mistral.name, &*mistral.base_url), ("mistral", "http://127.0.0.1:11434/v1"));
    assert_eq!(mistral.key, None);
}

#[test]
fn every_default_model_has_a_price() {
    let (book, day) = (PriceBook::shipped().unwrap(), jiff::civil::date(2026, 11, 24));
    let names = ["OPENROUTER", "GROQ", "MISTRAL", "GEMINI"].map(|n| format!("{n}_API_KEY"));
    let vars: Vec<_> = names.iter().map(|name| (name.as_str(), "k")).collect();
    let configs = configure(&vars).unwrap();
    assert_eq!(configs.len(), 4);
    for config in configs {
        let quote = book.quote(&config.name, &config.model, day, UnpricedPolicy::Refuse);
        assert!(quote.is_ok(), "{} {}", config.name, config.model);
    }
}

#[test]
fn what_cannot_be_used_is_named_and_no_secret_is_shown() {
    let error = configure(&[
        ("GROQ_API_KEY", "sk-hush hush"),
        ("GEMINI_BASE_URL", "ftp://models"),
        ("MISTRAL_BASE_URL", "https://me:sk-hush@models/v1"),
        ("OPENROUTER_BASE_URL", "https://models/v1?key=sk-hush"),
        ("OPENROUTER_MODEL", "two words"),
    ])
    .unwrap_err();
    let fields: Vec<_> = error.fields().iter().map(|field| field.field.as_str()).collect();
    assert_eq!(
        fields,
        [
            "OPENROUTER_BASE_URL",
            "OPENROUTER_MODEL",
            "GROQ_API_KEY",
            "MISTRAL_BASE_URL",
            "GEMINI_BASE_URL"
        ]
    );
    assert!(error.detail().contains("ftp://models"), "{error}");
    assert!(!format!("{error} {error:?}").contains("hush"), "{error:?}");
}

#[test]
fn a_secret_shows_in_no_format() {
    let secret = Secret::new("sk-hush");
    assert_eq!(
        format!("{secret} {secret:?} {:?}", Some(&secret)),
        "*** Secret(***) Some(Secret(***))"
    );
    assert_eq!(secret.scrub("wrong key sk-hush!"), "wrong key ***!");
}
