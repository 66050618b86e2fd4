//! The forecast of the day's caps, against a day played forward minute by minute.

use crate::usage::forecast::{Forecast, forecast};
use crate::usage::series::{Bucket, Series};
use crate::usage::{Caps, DayTotals, NanoUsd};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

fn midnight() -> Timestamp {
    "2026-03-02T00:00:00Z".parse().unwrap()
}

fn bucket(at: Timestamp, calls: i64, cost: i64) -> Bucket {
    Bucket { at, provider: "groq".to_owned(), calls, failed: 0, cost: NanoUsd(cost) }
}

/// A day that ends at midnight, asked at `minutes` before that.
fn ask(minutes: i64, lately: &[Bucket], used: NanoUsd, hard: i64) -> Forecast {
    let now = midnight() - SignedDuration::from_mins(minutes);
    let used = DayTotals { cost: used, ..DayTotals::default() };
    let caps = Caps { hard: Some(NanoUsd(hard)), ..Caps::default() };
    forecast(lately, &used, &caps, now, midnight())
}

#[test]
fn a_steady_rate_reaches_the_cap_when_a_person_would_say() {
    let now = midnight() - SignedDuration::from_hours(5);
    // 0.10 USD and 60 calls in the last hour.
    let lately = [bucket(now - SignedDuration::from_mins(60), 60, 100_000_000)];
    let used = DayTotals { calls_total: 100, cost: NanoUsd(700_000_000), ..DayTotals::default() };
    let caps = Caps {
        soft: Some(NanoUsd(500_000_000)),
        hard: Some(NanoUsd(1_000_000_000)),
        total: Some(220),
        ..Caps::default()
    };
    let seen = forecast(&lately, &used, &caps, now, midnight());
    assert_eq!((seen.window_minutes, seen.calls_per_hour), (60, 60.0));
    assert_eq!(seen.soft_cap_at, Some(now), "reached already");
    assert_eq!(seen.hard_cap_at, Some(now + SignedDuration::from_hours(3)));
    assert_eq!(seen.calls_cap_at, Some(now + SignedDuration::from_hours(2)));
    let later = forecast(&lately, &used, &caps, now + SignedDuration::from_hours(2), midnight());
    assert_eq!(later.hard_cap_at, None, "midnight comes first");
    let none = forecast(&[], &used, &Caps::default(), now, midnight());
    assert_eq!((none.soft_cap_at, none.hard_cap_at, none.calls_cap_at), (None, None, None));
    assert_eq!(none.usd_per_hour, 0.0);
}

#[test]
fn a_first_burst_is_spread_over_five_minutes() {
    let now = midnight() - SignedDuration::from_hours(10);
    let seen =
        ask(600, &[bucket(now - SignedDuration::from_secs(10), 1, 1_000)], NanoUsd(1_000), 1);
    assert_eq!((seen.window_minutes, seen.calls_per_hour), (5, 12.0));
}

proptest! {
    #[test]
    fn it_says_what_the_day_played_forward_shows(
        minutes_left in 1_i64..1_440,
        calls in prop::collection::vec((0_i64..60, 0_i64..5_000_000), 0..20),
        used in 0_i64..2_000_000_000,
        hard in 1_i64..2_000_000_000,
    ) {
        let now = midnight() - SignedDuration::from_mins(minutes_left);
        let mut series = Series::of_steps(SignedDuration::from_mins(1));
        for (minute, cost) in &calls {
            series.add(now - SignedDuration::from_mins(*minute), "p", true, NanoUsd(*cost));
        }
        let seen = ask(minutes_left, &series.finish(), NanoUsd(used), hard);
        prop_assert!((5..=60).contains(&seen.window_minutes));
        let per_minute = seen.usd_per_hour * 1e9 / 60.0;
        let spent = |minute: f64| used as f64 + per_minute * minute;
        let crossed = (0..=minutes_left).find(|minute| spent(*minute as f64) >= hard as f64);
        match seen.hard_cap_at {
            Some(at) => {
                let minutes = at.duration_since(now).as_secs_f64() / 60.0;
                prop_assert!(at >= now && at < midnight());
                prop_assert!(used >= hard || (spent(minutes) - hard as f64).abs() < 1_000.0);
                prop_assert!(crossed.is_some_and(|minute| (minute as f64) < minutes + 1.001));
            }
            None => prop_assert!(crossed.is_none_or(|minute| minute == minutes_left)),
        }
    }

    #[test]
    fn a_series_counts_every_call_once_in_the_step_that_holds_it(
        seconds in prop::collection::vec(-200_000_i64..200_000, 0..50),
        step in 1_i64..10_000,
    ) {
        let mut series = Series::of_steps(SignedDuration::from_secs(step));
        for second in &seconds {
            let at = Timestamp::from_second(*second).unwrap();
            let begin = series.begin(at);
            let held = at.duration_since(begin);
            prop_assert!(!held.is_negative() && held.as_secs() < step);
            prop_assert_eq!(begin.as_second().rem_euclid(step), 0);
            series.add(at, "p", second % 2 == 0, NanoUsd(1));
        }
        let buckets = series.finish();
        let calls: i64 = buckets.iter().map(|bucket| bucket.calls).sum();
        let failed: i64 = buckets.iter().map(|bucket| bucket.failed).sum();
        prop_assert_eq!(calls, seconds.len() as i64);
        prop_assert_eq!(failed, seconds.iter().filter(|second| *second % 2 != 0).count() as i64);
        prop_assert!(buckets.windows(2).all(|pair| pair[0].at < pair[1].at));
    }
}
