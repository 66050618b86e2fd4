//! When the day's caps will be reached at the recent rate of calls: a pure function.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::series::Bucket;
use super::{Caps, DayTotals, NanoUsd};
use crate::number::to_f64;

/// The rate is taken from the last hour.
pub(crate) const RATE_WINDOW: SignedDuration = SignedDuration::from_mins(60);
/// A rate is taken from at least this time: a first burst says little about the day.
const MIN_WINDOW: SignedDuration = SignedDuration::from_mins(5);
const NANOS_PER_DOLLAR: f64 = 1e9;

/// When caps will be reached. A time is null if the day ends before, and the current time if the cap
/// is reached already.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Forecast {
    /// The minutes from which the rates were taken.
    pub window_minutes: i64,
    /// Dollars per hour at the recent rate.
    pub usd_per_hour: f64,
    /// Calls per hour at the recent rate.
    pub calls_per_hour: f64,
    /// When calls start to be degraded because of their cost.
    pub soft_cap_at: Option<Timestamp>,
    /// When calls start to be refused because of their cost.
    pub hard_cap_at: Option<Timestamp>,
    /// When calls start to be refused because of their number.
    pub calls_cap_at: Option<Timestamp>,
    /// When the budget starts again: the next midnight, UTC.
    pub day_ends_at: Timestamp,
}

/// The forecast at `now` for a day that has used `used` and ends at `day_ends_at`. `recent` are the
/// buckets since `now - RATE_WINDOW`.
pub(crate) fn forecast(
    recent: &[Bucket],
    used: &DayTotals,
    caps: &Caps,
    now: Timestamp,
    day_ends_at: Timestamp,
) -> Forecast {
    let begin = recent.iter().map(|bucket| bucket.at).min().unwrap_or(now);
    let window = now.duration_since(begin).clamp(MIN_WINDOW, RATE_WINDOW);
    let hours = window.as_secs_f64() / 3_600.0;
    let cost: NanoUsd = recent.iter().map(|bucket| bucket.cost).sum();
    let calls: i64 = recent.iter().map(|bucket| bucket.calls).sum();
    let usd_per_hour = cost.dollars() / hours;
    let calls_per_hour = to_f64(calls) / hours;
    let reached =
        |used, cap: Option<i64>, per_hour| reached(used, cap?, per_hour, now, day_ends_at);
    let dollars = |cap: Option<NanoUsd>| {
        reached(used.cost.0, cap.map(|cap| cap.0), usd_per_hour * NANOS_PER_DOLLAR)
    };
    Forecast {
        window_minutes: window.as_mins(),
        usd_per_hour,
        calls_per_hour,
        soft_cap_at: dollars(caps.soft),
        hard_cap_at: dollars(caps.hard),
        calls_cap_at: reached(used.calls_total, caps.total, calls_per_hour),
        day_ends_at,
    }
}

/// When `used`, growing by `per_hour`, reaches `cap`.
pub(crate) fn reached(
    used: i64,
    cap: i64,
    per_hour: f64,
    now: Timestamp,
    end: Timestamp,
) -> Option<Timestamp> {
    let left = to_f64(cap.saturating_sub(used));
    if left <= 0.0 {
        return Some(now);
    }
    let until_end = end.duration_since(now).as_secs_f64();
    let seconds = left / per_hour * 3_600.0;
    // Nothing was used recently: `seconds` is infinite.
    if per_hour <= 0.0 || seconds >= until_end {
        return None;
    }
    now.checked_add(SignedDuration::try_from_secs_f64(seconds).ok()?).ok()
}
