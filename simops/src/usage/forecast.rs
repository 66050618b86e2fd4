//! When the day's caps will be reached if calls go on as they did lately: a pure function.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::series::Bucket;
use super::{Caps, DayTotals, NanoUsd};

/// So far back *lately* goes.
pub const LATELY: SignedDuration = SignedDuration::from_mins(60);
/// A rate is not taken from less time than this: a first burst says little of the day.
const AT_LEAST: SignedDuration = SignedDuration::from_mins(5);
const NANOS_PER_DOLLAR: f64 = 1e9;

/// When caps will be reached. A time is null when that will not be before the day ends, and the
/// time of asking when the cap is reached already.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Forecast {
    /// The minutes that the rates were taken from.
    pub window_minutes: i64,
    /// Dollars an hour, lately.
    pub usd_per_hour: f64,
    /// Calls an hour, lately.
    pub calls_per_hour: f64,
    /// When calls begin to be degraded for their cost.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub soft_cap_at: Option<Timestamp>,
    /// When calls begin to be refused for their cost.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub hard_cap_at: Option<Timestamp>,
    /// When calls begin to be refused for their number.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub calls_cap_at: Option<Timestamp>,
    /// When the budget begins anew: the next midnight, UTC.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub day_ends_at: Timestamp,
}

/// The forecast at `now` for a day that has used `used` and ends at `day_ends_at`, from the buckets
/// of the time since `now - LATELY`.
pub fn forecast(
    lately: &[Bucket],
    used: &DayTotals,
    caps: &Caps,
    now: Timestamp,
    day_ends_at: Timestamp,
) -> Forecast {
    let begin = lately.iter().map(|bucket| bucket.at).min().unwrap_or(now);
    let window = now.duration_since(begin).clamp(AT_LEAST, LATELY);
    let hours = window.as_secs_f64() / 3_600.0;
    let cost: NanoUsd = lately.iter().map(|bucket| bucket.cost).sum();
    let calls = lately.iter().map(|bucket| bucket.calls).sum();
    let usd_per_hour = cost.dollars() / hours;
    let calls_per_hour = as_float(calls) / hours;
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
fn reached(
    used: i64,
    cap: i64,
    per_hour: f64,
    now: Timestamp,
    end: Timestamp,
) -> Option<Timestamp> {
    let left = as_float(cap.saturating_sub(used));
    if left <= 0.0 {
        return Some(now);
    }
    let until_end = end.duration_since(now).as_secs_f64();
    let seconds = left / per_hour * 3_600.0;
    // Nothing used lately: `seconds` is infinite.
    if per_hour <= 0.0 || seconds >= until_end {
        return None;
    }
    now.checked_add(SignedDuration::try_from_secs_f64(seconds).ok()?).ok()
}

#[expect(clippy::cast_precision_loss, reason = "a forecast is no exact figure")]
fn as_float(count: i64) -> f64 {
    count as f64
}
