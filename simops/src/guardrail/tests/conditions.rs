//! Stop conditions: exact at their boundaries, monotone, off when switched off.

use std::sync::Arc;

use crate::enforcement::Observer;
use crate::guardrail::{Observed, SpentBudget, evaluate};
use crate::settings::{Effective, Overrides, Registry, key};
use crate::testing::{Fault, FaultyStore, MemoryStore};
use crate::usage::NanoUsd;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use serde_json::json;

fn settings(overrides: &[(&str, serde_json::Value)]) -> Effective {
    let overrides: Overrides =
        overrides.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    Effective::of(&Registry::builtin(), &overrides)
}

fn trips(observed: &Observed, settings: &Effective) -> Vec<String> {
    let conditions = evaluate(observed, settings);
    conditions.into_iter().filter(|c| c.trips()).map(|c| c.condition).collect()
}

#[test]
fn each_condition_trips_exactly_at_its_threshold() {
    let settings = settings(&[]);
    let below = Observed { cost_today: NanoUsd(999_999_999), ..Observed::default() };
    assert!(trips(&below, &settings).is_empty());
    let at = Observed { cost_today: NanoUsd(1_000_000_000), ..Observed::default() };
    assert_eq!(trips(&at, &settings), ["hard_budget_exceeded"]);

    let failures = |failed, calls| Observed {
        failed_calls: failed,
        window_calls: calls,
        ..Observed::default()
    };
    assert!(trips(&failures(24, 24), &settings).is_empty());
    assert!(trips(&failures(25, 51), &settings).is_empty());
    assert_eq!(trips(&failures(25, 50), &settings), ["provider_failures_repeated"]);

    let pool = |share, checks| Observed {
        pool_utilization: share,
        pool_checks: checks,
        ..Observed::default()
    };
    assert!(trips(&pool(0.95, 2), &settings).is_empty());
    assert!(trips(&pool(0.94, 3), &settings).is_empty());
    assert_eq!(trips(&pool(0.95, 3), &settings), ["db_pool_pressure"]);
}

#[tokio::test]
async fn a_pool_so_full_that_the_store_does_not_answer_is_counted_all_the_same() {
    let store = FaultyStore::new(Arc::new(MemoryStore::new()));
    let (observer, settings) = (Observer::default(), settings(&[]));
    let check = async |second: i64| {
        let at = Timestamp::UNIX_EPOCH + SignedDuration::from_secs(second);
        observer.observe(&store, None, &settings, at).await
    };
    store.fill_pool(true);
    store.fail(0..u64::MAX, Fault::Before);
    for second in 0..3 {
        assert!(check(second).await.is_err());
    }
    store.recover();
    assert_eq!(trips(&check(3).await.unwrap(), &settings), ["db_pool_pressure"]);
    store.fill_pool(false);
    assert!(trips(&check(4).await.unwrap(), &settings).is_empty());
}

#[test]
fn a_budget_of_zero_and_enforcement_switched_off_stop_nothing() {
    let ruin = Observed {
        cost_today: NanoUsd(i64::MAX),
        failed_calls: 900,
        window_calls: 900,
        ..Observed::default()
    };
    let no_budget = settings(&[(key::BUDGET_HARD, json!(0.0))]);
    assert_eq!(trips(&ruin, &no_budget), ["provider_failures_repeated"]);
    assert!(trips(&ruin, &settings(&[(key::STOP_ENABLED, json!(false))])).is_empty());
}

#[test]
fn a_refused_call_trips_the_budget_until_the_cap_can_pay_for_it() {
    let observed = Observed {
        cost_today: NanoUsd(990_000_000),
        refused_call: Some(NanoUsd(10_000_001)),
        ..Observed::default()
    };
    let cap = |hard: f64| settings(&[(key::BUDGET_HARD, json!(hard))]);
    assert_eq!(trips(&observed, &cap(1.0)), ["hard_budget_exceeded"]);
    let budget = &evaluate(&observed, &cap(1.0))[0];
    assert!(budget.distance > 0.0, "the distance to the cap: {budget:?}");
    for raised in [1.01, 0.0] {
        assert!(trips(&observed, &cap(raised)).is_empty());
    }
    assert!(trips(&Observed { refused_call: None, ..observed.clone() }, &cap(1.0)).is_empty());
    let off = settings(&[(key::STOP_ENABLED, json!(false))]);
    assert!(trips(&observed, &off).is_empty());
}

#[test]
fn another_budget_that_is_spent_trips_it_with_its_own_figures() {
    let spent = SpentBudget { id: "b".to_owned(), spent: 12.0, hard: 12.0 };
    let observed = Observed { spent_budget: Some(spent), ..Observed::default() };
    let no_cap = settings(&[(key::BUDGET_HARD, json!(0.0)), (key::BUDGET_SOFT, json!(0.0))]);
    assert_eq!(trips(&observed, &no_cap), ["hard_budget_exceeded"]);
    let budget = &evaluate(&observed, &no_cap)[0];
    assert_eq!((budget.observed, budget.threshold), (12.0, 12.0));
    assert!(trips(&observed, &settings(&[(key::STOP_ENABLED, json!(false))])).is_empty());
}

proptest! {
    #[test]
    fn worse_figures_never_untrip_a_condition(
        cost in 0..2_000_000_000_i64, failed in 0..60_i64, fine in 0..60_i64,
        share in 0.0..1.0_f64, checks in 0..6_i64,
        refused in 0..300_000_000_i64,
        (more_cost, more_failed, more_share, more_checks) in (0..1_000_000_000_i64, 0..60_i64, 0.0..1.0_f64, 0..6_i64),
    ) {
        let observed = |cost, failed, share, checks| Observed {
            cost_today: NanoUsd(cost),
            refused_call: Some(NanoUsd(refused)),
            spent_budget: None,
            failed_calls: failed,
            window_calls: failed + fine,
            pool_utilization: share,
            pool_checks: checks,
        };
        let settings = settings(&[]);
        let before = trips(&observed(cost, failed, share, checks), &settings);
        let worse = observed(cost + more_cost, failed + more_failed, f64::min(share + more_share, 1.0), checks + more_checks);
        let after = trips(&worse, &settings);
        prop_assert!(before.iter().all(|reason| after.contains(reason)), "{before:?} {after:?}");
        for condition in evaluate(&worse, &settings) {
            prop_assert_eq!(condition.distance, condition.threshold - condition.observed);
        }
    }
}
