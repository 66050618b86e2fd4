//! Model calls over time, and when the caps of the day will be reached.

use jiff::{SignedDuration, Timestamp, ToSpan};
use serde::Serialize;

use super::Ops;
use super::since::since;
use crate::clock::{begin_of, day_of};
use crate::usage::Caps;
use crate::usage::forecast::{Forecast, RATE_WINDOW, forecast};
use crate::usage::series::{Bucket, Series};
use crate::{Error, Result};

/// Possible lengths of a step, in seconds.
const STEP_SECONDS: [i64; 6] = [60, 300, 600, 1_800, 3_600, 7_200];
/// The approximate maximum number of steps.
const MAX_STEPS: i64 = 150;
/// How far a series can go back.
const MAX_AGE: SignedDuration = SignedDuration::from_hours(8 * 24);

/// `GET usage/series`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UsageSeries {
    /// The start of the series.
    pub since: Timestamp,
    /// The end of the series: the time of the request.
    pub until: Timestamp,
    /// The length of a step, in seconds.
    pub step_seconds: i64,
    /// The steps with a call, by time and provider.
    pub items: Vec<Bucket>,
    /// When the caps of the day will be reached at the recent rate of calls of all runs.
    pub forecast: Forecast,
}

impl Ops {
    /// The calls of a run, or all, recorded since `from` (a time, a date, or how long ago; see [`super::since()`]), in
    /// steps that keep the response short.
    ///
    /// # Errors
    /// Returns `Invalid` for text that is not a time, and for a time in the future or more than eight
    /// days ago.
    pub async fn usage_series(&self, from: &str, run_id: Option<&str>) -> Result<UsageSeries> {
        let now = self.clock.now();
        let from = since(from, now)?;
        let span = now.duration_since(from);
        if span.is_negative() || span > MAX_AGE {
            return Err(Error::invalid("since", "must lie within the last 8 days"));
        }
        let step = step_for(span);
        let minute = SignedDuration::from_mins(1);
        let items = self.store.usage_series(run_id, from, step).await?;
        // Whole minutes, so that the rate covers the time that it states.
        let lately = Series::of_steps(minute).begin(now - RATE_WINDOW) + minute;
        let lately = self.store.usage_series(None, lately, minute).await?;

        let day = day_of(now);
        let day_ends_at = day.checked_add(1.day()).ok().and_then(begin_of);
        let state = self.store.load().await?;
        let caps = Caps::of(&state.effective(&self.options.registry));
        let used = self.store.day_totals(day).await?;
        Ok(UsageSeries {
            since: from,
            until: now,
            step_seconds: step.as_secs(),
            items,
            forecast: forecast(&lately, &used, &caps, now, day_ends_at.unwrap_or(Timestamp::MAX)),
        })
    }
}

/// The shortest step that stays within [`MAX_STEPS`].
fn step_for(span: SignedDuration) -> SignedDuration {
    let fits = |step: &&i64| span.as_secs() <= **step * MAX_STEPS;
    SignedDuration::from_secs(
        *STEP_SECONDS.iter().find(fits).unwrap_or(&STEP_SECONDS[STEP_SECONDS.len() - 1]),
    )
}
