//! Admission: caps are never crossed, and a refusal says whether waiting helps.

use crate::usage::admission::is_degraded;
use crate::usage::{Admission, Caps, DayTotals, DayUse, Line, NanoUsd, Refused, admit};
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Step {
    Reserve { provider: usize, bound: i64 },
    Settle { which: usize, share: f64 },
    Release { which: usize },
}

const PROVIDERS: [(&str, &str); 4] =
    [("openrouter", "a/b:free"), ("openrouter", "a/b"), ("groq", "m"), ("gemini", "m")];

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..4_usize, 0..30_i64).prop_map(|(provider, bound)| Step::Reserve { provider, bound }),
        2 => (any::<usize>(), 0.0..=1.0_f64).prop_map(|(which, share)| Step::Settle { which, share }),
        1 => any::<usize>().prop_map(|which| Step::Release { which }),
    ]
}

fn caps() -> impl Strategy<Value = Caps> {
    let calls = || proptest::option::of(1..12_i64);
    let money = || proptest::option::of((1..200_i64).prop_map(NanoUsd));
    (money(), money(), calls(), calls(), calls(), calls()).prop_map(
        |(soft, hard, total, openrouter_free, groq, gemini)| Caps {
            soft,
            hard,
            total,
            openrouter_free,
            groq,
            gemini,
        },
    )
}

fn sum(calls: &[(usize, i64)]) -> DayTotals {
    calls.iter().fold(DayTotals::default(), |sum, (provider, cost)| {
        let (provider, model) = PROVIDERS[*provider];
        sum + DayTotals::of_call(provider, model, true, NanoUsd(*cost))
    })
}

fn counts(totals: &DayTotals) -> [i64; 4] {
    [totals.calls_total, totals.calls_openrouter_free, totals.calls_groq, totals.calls_gemini]
}

proptest! {
    #[test]
    fn no_interleaving_of_reserve_settle_and_release_crosses_a_cap(
        caps in caps(),
        steps in proptest::collection::vec(step(), 1..80),
    ) {
        let limits = [caps.total, caps.openrouter_free, caps.groq, caps.gemini];
        let mut open = Vec::<(usize, i64)>::new();
        let mut settled = Vec::<(usize, i64)>::new();
        for step in steps {
            match step {
                Step::Reserve { provider, bound } => {
                    let day = DayUse { settled: sum(&settled), reserved: sum(&open), version: 0 };
                    let ask = sum(&[(provider, bound)]);
                    let verdict = admit(&caps.lines(&day, &ask));
                    // The rule once more, in the plainest words.
                    let all = day.settled + day.reserved;
                    let full = |used: &DayTotals| {
                        limits.iter().zip(counts(used)).zip(counts(&ask)).any(|((limit, used), asked)| {
                            asked > 0 && limit.is_some_and(|limit| used + asked > limit)
                        }) || caps.hard.is_some_and(|hard| used.cost + ask.cost > hard || day.settled.cost >= hard)
                    };
                    match verdict {
                        Admission::Admitted { degraded } => {
                            prop_assert!(!full(&all));
                            prop_assert_eq!(degraded, is_degraded(&caps.lines(&day, &ask)));
                            open.push((provider, bound));
                        }
                        Admission::Refused { reason, in_flight, .. } => {
                            prop_assert!(full(&all));
                            if !full(&day.settled) {
                                prop_assert!(in_flight, "{reason:?}: waiting would help");
                            }
                        }
                    }
                }
                Step::Settle { which, share } if !open.is_empty() => {
                    let (provider, bound) = open.swap_remove(which % open.len());
                    settled.push((provider, (bound as f64 * share) as i64));
                }
                Step::Release { which } if !open.is_empty() => {
                    open.swap_remove(which % open.len());
                }
                _ => {}
            }
            let all = sum(&settled) + sum(&open);
            for (limit, used) in limits.iter().zip(counts(&all)) {
                prop_assert!(limit.is_none_or(|limit| used <= limit));
            }
            prop_assert!(caps.hard.is_none_or(|hard| all.cost <= hard));
        }
    }
}

#[test]
fn a_refusal_distinguishes_reservations_from_a_spent_cap() {
    let caps = Caps { total: Some(2), ..Caps::default() };
    let one = DayTotals::of_call("groq", "m", true, NanoUsd(0));
    let two = one + one;
    let day = DayUse { settled: one, reserved: one, version: 0 };
    let (reason, budget) = (Refused::MaxCallsTotalReached, "llm_max_calls_per_day_total");
    let refused = |in_flight| Admission::Refused {
        reason,
        budget: budget.into(),
        place: "".into(),
        in_flight,
    };
    assert_eq!(admit(&caps.lines(&day, &one)), refused(true));
    let spent = DayUse { settled: two, ..DayUse::default() };
    assert_eq!(admit(&caps.lines(&spent, &one)), refused(false));
}

#[test]
fn a_call_larger_than_a_whole_limit_is_refused_by_itself() {
    let caps = Caps { hard: Some(NanoUsd(100)), ..Caps::default() };
    let call = |nanos| DayTotals::of_call("groq", "m", true, NanoUsd(nanos));
    let day = |settled| DayUse { settled: call(settled), ..DayUse::default() };
    let reason = |settled, nanos| match admit(&caps.lines(&day(settled), &call(nanos))) {
        Admission::Refused { reason, in_flight: false, .. } => Some(reason),
        _ => None,
    };
    assert_eq!(reason(0, 100), None);
    assert_eq!(reason(0, 101), Some(Refused::CallExceedsBudget));
    assert_eq!(reason(60, 101), Some(Refused::CallExceedsBudget));
    assert_eq!(reason(60, 41), Some(Refused::HardBudgetReached));
    assert_eq!(reason(100, 101), Some(Refused::HardBudgetReached));
}

#[test]
fn the_first_budget_in_order_of_id_is_named() {
    let line = |id, settled| Line {
        id,
        place: String::new(),
        reason: Refused::BudgetReached,
        adds: Some(1),
        soft: None,
        hard: Some(10),
        settled,
        reserved: 0,
        soft_includes_reserved: true,
        is_counted: true,
    };
    let named = |lines: &[Line<'_>]| match admit(lines) {
        Admission::Refused { budget, .. } => Some(budget.to_string()),
        Admission::Admitted { .. } => None,
    };
    assert_eq!(named(&[line("c", 9), line("b", 10), line("a", 10)]).as_deref(), Some("a"));
    assert_eq!(named(&[line("c", 10), line("b", 9)]).as_deref(), Some("c"));
    let uncounted = Line { is_counted: false, ..line("new", 0) };
    assert_eq!(named(&[uncounted]).as_deref(), Some("new"));
}

#[test]
fn calls_are_degraded_from_85_percent_of_a_cap_and_from_the_soft_budget_on() {
    let calls = |n| DayTotals { calls_total: n, ..DayTotals::default() };
    let caps = Caps { total: Some(100), soft: Some(NanoUsd(50)), ..Caps::default() };
    let day = |settled, reserved| DayUse { settled, reserved, version: 0 };
    let is_degraded = |day: &DayUse| is_degraded(&caps.lines(day, &calls(1)));
    assert!(!is_degraded(&day(calls(60), calls(24))));
    assert!(is_degraded(&day(calls(60), calls(25))));
    let cost = |n| DayTotals { cost: NanoUsd(n), ..DayTotals::default() };
    assert!(!is_degraded(&day(cost(49), cost(1_000))));
    assert!(is_degraded(&day(cost(50), cost(0))));
}
