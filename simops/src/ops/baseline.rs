//! Baselines.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Ops, Writer, blocking, bounded};
use crate::Result;
use crate::baseline::votes::Votes;
use crate::baseline::window::windows;
use crate::baseline::{
    Baseline, BaselineResponse, Concentration, Emergence, FailureRate, Inventories, Metrics,
    WindowRow, files,
};
use crate::clock::day_of;
use crate::control::{ControlState, Write};
use crate::digest::CallSummary;
use crate::event::{Event, EventTally, EventWindow, kind};
use crate::number::ratio;
use crate::progress::Progress;
use crate::settings::{Effective, key};
use crate::store::TimeCursor;
use crate::usage::DayBudget;

/// Default number and length of windows.
const WINDOWS: i64 = 12;
const WINDOW_MINUTES: i64 = 5;
pub(super) const MAX_WINDOWS: i64 = 1_000;
pub(super) const MAX_WINDOW_MINUTES: i64 = 1_440;
/// Votes read at a time.
const BATCH: usize = 1_000;

/// `POST baseline`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct BaselineOptions {
    /// The number of windows, 1 to 1000; 12 when absent.
    pub windows: Option<i64>,
    /// The length of a window in minutes, 1 to 1440; 5 when absent.
    pub window_minutes: Option<i64>,
}

impl Writer<'_> {
    /// Takes a baseline and writes it to the output folder.
    ///
    /// # Errors
    /// Returns `Forbidden` when the gate is closed; as [`Ops::baseline`]; `Unavailable` naming the
    /// file that cannot be written.
    pub async fn write_baseline(
        &self,
        options: &BaselineOptions,
        progress: Progress<'_>,
    ) -> Result<BaselineResponse> {
        let permit = self.permit(Write::WriteBaseline)?;
        let take = async {
            let answer = self.ops.baseline(options, progress).await?;
            let folder = self.ops.options.output_folder.clone();
            blocking(move || files::write(&folder, &answer)).await
        };
        self.ops.executor.once(&permit, take).await
    }
}

impl Ops {
    /// A baseline: budget, thresholds, recent failures, and the metrics of windows that end now.
    /// Reads only those windows, and writes nothing.
    ///
    /// # Errors
    /// Returns `Invalid` for windows out of bounds, and an error when the database cannot be read.
    pub async fn baseline(
        &self,
        options: &BaselineOptions,
        progress: Progress<'_>,
    ) -> Result<BaselineResponse> {
        let count = bounded("windows", options.windows.unwrap_or(WINDOWS), MAX_WINDOWS)?;
        let minutes = options.window_minutes.unwrap_or(WINDOW_MINUTES);
        bounded("window_minutes", minutes, MAX_WINDOW_MINUTES)?;
        let now = self.clock.now();
        let state = self.store.load().await?;
        let settings = state.effective(&self.options.registry);
        let day = day_of(now);
        let totals = self.store.day_totals(day).await?;
        let metrics = self.metrics(&state, now, (count, minutes), progress).await?;
        let baseline = Baseline {
            generated_at_utc: now,
            thresholds: Baseline::thresholds(&settings),
            budget_snapshot: DayBudget::of(day, totals, &settings),
            provider_failure_window: self.failure_rate(&settings, now).await?,
            metrics_path: None,
        };
        Ok(BaselineResponse { baseline, metrics })
    }

    async fn metrics(
        &self,
        state: &ControlState,
        now: Timestamp,
        (count, minutes): (usize, i64),
        progress: Progress<'_>,
    ) -> Result<Metrics> {
        let length = SignedDuration::from_mins(minutes);
        let windows = windows(now, count, length);
        let steps = u64::try_from(windows.len()).unwrap_or(u64::MAX).saturating_add(1);
        let (mut rows, mut latest) = (Vec::with_capacity(count), Vec::new());
        for (done, window) in (0..).zip(&windows) {
            progress(done, steps);
            latest = self.store.tally(*window).await?;
            rows.push(WindowRow::of(*window, &latest));
        }
        progress(steps - 1, steps);
        let last = windows.last().copied();
        let owned = self.inventory_now(state, now).await?;
        let emergence = match last {
            Some(window) => self.emergence(window, &latest, owned.as_ref()).await?,
            None => Emergence::default(),
        };
        progress(steps, steps);
        Ok(Metrics {
            generated_at_utc: now,
            windows: rows.len().try_into().unwrap_or(i64::MAX),
            window_minutes: minutes,
            latest_window: rows.last().cloned(),
            emergence_metrics_latest_window: emergence,
            resource_concentration_now: owned
                .map_or_else(Concentration::default, |owned| owned.concentration()),
            rows,
        })
    }

    /// The metrics of a window, compared with the window before it.
    async fn emergence(
        &self,
        window: EventWindow,
        tallies: &[EventTally],
        owned: Option<&Inventories>,
    ) -> Result<Emergence> {
        let length = window.until.duration_since(window.after);
        let before = EventWindow { after: window.after - length, until: window.after };
        let coalitions = self.votes(window).await?.coalitions(&self.votes(before).await?);
        let owned_before = self.inventory_at(window.after).await?;
        Ok(Emergence::of(tallies, coalitions, owned, owned_before.as_ref()))
    }

    async fn votes(&self, window: EventWindow) -> Result<Votes> {
        let mut votes = Votes::default();
        self.each_vote(window, |vote| votes.add(vote)).await?;
        Ok(votes)
    }

    /// The votes cast in a window, read page by page.
    pub(super) async fn each_vote(
        &self,
        window: EventWindow,
        mut each: impl FnMut(&Event) + Send,
    ) -> Result<()> {
        let mut place = None;
        loop {
            let page = self.store.events_of_type(window, kind::VOTE_CAST, place, BATCH).await?;
            page.iter().for_each(&mut each);
            match page.last() {
                Some(last) if page.len() == BATCH => {
                    place = Some(TimeCursor { at: last.created_at, id: last.id });
                }
                _ => return Ok(()),
            }
        }
    }

    /// The inventories of living agents: from the documents of the current world, else from the last
    /// inventory event.
    async fn inventory_now(
        &self,
        state: &ControlState,
        now: Timestamp,
    ) -> Result<Option<Inventories>> {
        if let Some(epoch) = state.world_epoch() {
            let world = self.store.world(epoch).await?;
            if let Some(owned) = Inventories::of_documents(&world.documents) {
                return Ok(Some(owned));
            }
        }
        self.inventory_at(now).await
    }

    /// The inventories of living agents at `at`, from the last inventory event.
    async fn inventory_at(&self, at: Timestamp) -> Result<Option<Inventories>> {
        let event = self.store.last_event(kind::INVENTORY_SNAPSHOT, at).await?;
        Ok(event.as_ref().and_then(Inventories::of_event))
    }

    async fn failure_rate(&self, settings: &Effective, now: Timestamp) -> Result<FailureRate> {
        let window_minutes = settings.int(key::STOP_FAILURE_WINDOW);
        let after = now - SignedDuration::from_mins(window_minutes);
        let calls = self.store.tally_calls(None, EventWindow { after, until: now }).await?;
        let calls = CallSummary::of(&calls);
        Ok(FailureRate {
            window_minutes,
            successes: calls.success_calls,
            failures: calls.failed_calls,
            total: calls.calls,
            failure_rate: ratio(calls.failed_calls, calls.calls),
        })
    }
}
