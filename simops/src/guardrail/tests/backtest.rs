//! A backtest finds the same trips as an evaluation every second.

use std::sync::Arc;

use crate::clock::day_of;
use crate::control::Environment;
use crate::guardrail::backtest::{Call, ConditionResult, Outcome, Period, backtest};
use crate::guardrail::{Condition, Observed, evaluate};
use crate::ops::{BacktestQuery, Caller, Ops, OpsOptions, StartRun, StopRun};
use crate::settings::{Effective, Overrides, Registry, key};
use crate::store::UsageStore;
use crate::testing::{ManualClock, MemoryStore};
use crate::usage::{NanoUsd, UsageRow};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use serde_json::json;
use uuid::Uuid;

/// Seconds after a moment shortly before midnight.
fn second(second: i64) -> Timestamp {
    let begin: Timestamp = "2026-03-01T23:55:00Z".parse().unwrap();
    begin + SignedDuration::from_secs(second)
}

fn settings(failures: i64, rate: f64, hard: f64) -> Effective {
    let overrides = Overrides::from([
        (key::STOP_FAILURE_WINDOW.to_owned(), json!(1)),
        (key::STOP_FAILURE_THRESHOLD.to_owned(), json!(failures)),
        (key::STOP_FAILURE_RATE.to_owned(), json!(rate)),
        (key::BUDGET_HARD.to_owned(), json!(hard)),
    ]);
    Effective::of(&Registry::builtin(), &overrides)
}

fn call(at: i64, success: bool) -> Call {
    let at = second(at);
    Call { at, day: day_of(at), own: true, success, cost: NanoUsd(100_000_000) }
}

fn of(condition: &str, results: &[ConditionResult]) -> ConditionResult {
    results.iter().find(|trial| trial.condition == condition).unwrap().clone()
}

/// The figures at `now`, from all calls.
fn at(now: Timestamp, calls: &[Call]) -> Observed {
    let past: Vec<_> = calls.iter().filter(|call| call.at <= now).collect();
    let recent = past.iter().filter(|c| c.own && c.at > now - SignedDuration::from_mins(1));
    let today = past.iter().filter(|call| call.day == day_of(now));
    Observed {
        cost_today: today.map(|call| call.cost).sum(),
        failed_calls: recent.clone().filter(|call| !call.success).count().try_into().unwrap(),
        window_calls: recent.count().try_into().unwrap(),
        ..Observed::default()
    }
}

/// The first second at which each condition trips, and its figures then.
fn naive(
    (from, until): (i64, i64),
    calls: &[Call],
    settings: &Effective,
) -> Vec<Option<(Timestamp, Condition)>> {
    let mut found = vec![None; 3];
    for now in (from..=until).map(second) {
        for (found, condition) in found.iter_mut().zip(evaluate(&at(now, calls), settings)) {
            if condition.trips() {
                found.get_or_insert((now, condition));
            }
        }
    }
    found
}

fn any_call() -> impl Strategy<Value = Call> {
    let nanos = 0..60_000_000_i64;
    (0..600_i64, 0..120_i64, any::<bool>(), prop::bool::weighted(0.6), nanos).prop_map(
        |(recorded, reserved_before, own, success, nanos)| Call {
            at: second(recorded),
            // A call reserved before midnight counts for the day it was reserved.
            day: day_of(second(recorded - reserved_before)),
            own,
            success,
            cost: NanoUsd(nanos),
        },
    )
}

proptest! {
    #[test]
    fn it_equals_an_evaluation_every_second(
        mut calls in prop::collection::vec(any_call(), 0..90),
        from in 0..300_i64, length in 0..400_i64,
        failures in 1..8_i64, rate in 0.0..1.0_f64, hard in 0.0..2.0_f64,
    ) {
        calls.sort_by_key(|call| call.at);
        // A run has made no calls before it started.
        calls.iter_mut().filter(|call| call.at < second(from)).for_each(|call| call.own = false);
        let settings = settings(failures, rate, hard);
        let period = Period { from: second(from), until: second(from + length) };
        let results = backtest(period, calls.iter().copied(), &settings);
        let expected = naive((from, from + length), &calls, &settings);
        for (trial, expected) in results.iter().zip(expected) {
            prop_assert_eq!(trial.would_have_tripped_at, expected.as_ref().map(|(at, _)| *at));
            if let Some((at, condition)) = expected {
                prop_assert_eq!(trial.observed, Some(condition.observed));
                prop_assert_eq!(trial.second_observed, condition.second_observed);
                let own = calls.iter().filter(|call| call.own && call.at <= at).count();
                prop_assert_eq!(trial.calls_before, Some(own.try_into().unwrap()));
            }
        }
    }
}

#[test]
fn a_success_that_leaves_the_window_can_trip_without_any_call() {
    // 3 of 6 failed until the successes of second 0 are a minute old: then it is 3 of 3.
    let calls = [0, 0, 0, 30, 30, 30].map(|at| call(at, at == 0));
    let period = Period { from: second(0), until: second(100) };
    let results = backtest(period, calls, &settings(3, 0.9, 0.0));
    let trial = of("provider_failures_repeated", &results);
    assert_eq!((trial.outcome, trial.would_have_tripped_at), (Outcome::Tripped, Some(second(60))));
    assert_eq!((trial.observed, trial.second_observed), (Some(3.0), Some(1.0)));
}

#[test]
fn a_day_that_others_have_spent_trips_at_the_start_and_a_new_day_does_not() {
    let others = Call { own: false, cost: NanoUsd(2_000_000_000), ..call(0, true) };
    let settings = settings(5, 0.5, 1.0);
    let before = Period { from: second(60), until: second(90) };
    let trial = of("hard_budget_exceeded", &backtest(before, [others], &settings));
    assert_eq!(trial.would_have_tripped_at, Some(second(60)));
    assert_eq!((trial.observed, trial.threshold), (Some(2.0), 1.0));
    assert_eq!((trial.calls_before, trial.cost_usd_before), (Some(0), Some(0.0)));

    let after = Period { from: second(300), until: second(600) };
    let trial = of("hard_budget_exceeded", &backtest(after, [others], &settings));
    assert_eq!((trial.outcome, trial.observed), (Outcome::NotTripped, Some(0.0)));
}

#[test]
fn what_did_not_trip_shows_how_near_it_came() {
    let calls = [0, 5, 10, 200].map(|at| call(at, at == 200));
    let period = Period { from: second(0), until: second(250) };
    let results = backtest(period, calls, &settings(4, 0.5, 1.0));
    let failures = of("provider_failures_repeated", &results);
    assert_eq!((failures.outcome, failures.observed), (Outcome::NotTripped, Some(3.0)));
    let budget = of("hard_budget_exceeded", &results);
    assert_eq!((budget.observed, budget.calls_before), (Some(0.4), None));
}

#[test]
fn what_is_switched_off_or_not_recorded_says_so() {
    let period = Period { from: second(0), until: second(9) };
    let results = backtest(period, [call(1, false)], &settings(1, 0.0, 0.0));
    assert_eq!(of("hard_budget_exceeded", &results).outcome, Outcome::Disabled);
    let pool = of("db_pool_pressure", &results);
    assert_eq!((pool.outcome, pool.observed), (Outcome::NotRecorded, None));
}

#[tokio::test]
async fn a_ledger_of_many_pages_in_no_order_is_replayed_in_the_order_of_time() {
    let (store, clock) = (Arc::new(MemoryStore::new()), Arc::new(ManualClock::at(second(0))));
    let ops = Ops::new(store.clone(), clock.clone(), OpsOptions::of(Environment::Development));
    let start = |run_id: &str| StartRun {
        mode: Some("test".into()),
        run_id: Some(run_id.into()),
        ..StartRun::default()
    };
    ops.writer(&Caller::default()).await.unwrap().start_run(&start("r1")).await.unwrap();
    clock.set(second(3_000));
    ops.writer(&Caller::default()).await.unwrap().stop_run(&StopRun::default()).await.unwrap();
    clock.set(second(4_000));
    ops.writer(&Caller::default()).await.unwrap().start_run(&start("r2")).await.unwrap();
    clock.set(second(5_000));

    // One call a second for a thousandth of a dollar, every other by a run that is not looked at.
    let mut rows: Vec<_> = (0..2_600).map(|place| row(place, place % 2 == 0)).collect();
    rows.reverse();
    store.record_usage(&rows).await.unwrap();

    let query = BacktestQuery { run_id: Some("r1".into()), ..BacktestQuery::default() };
    let answer = ops.backtest(&query).await.unwrap();
    let run = &answer.runs[0];
    assert_eq!((answer.runs.len(), run.calls, run.cost_usd), (1, 1_300, 1.3));
    // Midnight is at second 300; from then on 1000 calls cost a dollar, half of them the run's own.
    let budget = of("hard_budget_exceeded", &run.conditions);
    assert_eq!(budget.would_have_tripped_at, Some(second(1_299)));
    assert_eq!((budget.calls_before, budget.observed), (Some(650), Some(1.0)));

    let query = BacktestQuery { since: Some(second(3_500)), ..BacktestQuery::default() };
    let answer = ops.backtest(&query).await.unwrap();
    assert_eq!((answer.runs.len(), answer.runs[0].run_id.as_str()), (1, "r2"));
    let budget = of("hard_budget_exceeded", &answer.runs[0].conditions);
    assert_eq!(budget.would_have_tripped_at, Some(second(4_000)), "the day's budget was spent");
}

fn row(at: i64, own: bool) -> UsageRow {
    let call = call(at, true);
    UsageRow {
        id: Uuid::now_v7(),
        day: call.day,
        run_id: own.then(|| "r1".to_owned()),
        agent_id: None,
        checkpoint: None,
        provider: "groq".into(),
        model_requested: "m".into(),
        model_resolved: None,
        input_tokens: 1,
        cached_input_tokens: 0,
        output_tokens: 1,
        reasoning_tokens: 0,
        cost: NanoUsd(1_000_000),
        priced: true,
        success: true,
        sent: true,
        over_reservation: false,
        fallback_used: false,
        latency_ms: 1,
        error_type: None,
        created_at: call.at,
    }
}
