//! Baselines.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::selection::Selected;
use super::{Ops, Writer, blocking, bounded};
use crate::Result;
use crate::baseline::votes::{Coalitions, Votes};
use crate::baseline::window::windows;
use crate::baseline::{
    Baseline, BaselineResponse, BaselineRuns, Concentration, Emergence, FailureRate, Inventories,
    Metrics, Society, WindowRow, files,
};
use crate::clock::day_of;
use crate::control::{ControlState, Write};
use crate::event::{Event, EventTally, EventWindow, kind};
use crate::number::ratio;
use crate::progress::Progress;
use crate::run::{Labels, RunRecord, RunSelection};
use crate::settings::{Effective, key};
use crate::store::{RunFilter, TimeCursor};
use crate::usage::DayBudget;

/// Default number and length of windows.
const WINDOWS: i64 = 12;
const WINDOW_MINUTES: i64 = 5;
pub(super) const MAX_WINDOWS: i64 = 1_000;
pub(super) const MAX_WINDOW_MINUTES: i64 = 1_440;
/// Starts among which one in the same world is looked for.
const LAST_STARTS: usize = 100;
/// Votes read at a time.
const BATCH: usize = 1_000;

/// `POST baseline`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct BaselineOptions {
    /// The number of windows, 1 to 1000; 12 when absent.
    pub windows: Option<i64>,
    /// The length of a window in minutes, 1 to 1440; 5 when absent.
    pub window_minutes: Option<i64>,
    /// Cover only the run with this id.
    pub run_id: Option<String>,
    /// Cover only runs of this group.
    pub group_id: Option<String>,
    /// Cover only runs with all of these labels: values by name.
    #[cfg_attr(feature = "openapi", schema(value_type = std::collections::BTreeMap<String, String>))]
    pub labels: Labels,
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

impl BaselineOptions {
    fn selection(&self) -> RunSelection {
        let Self { run_id, group_id, labels, .. } = self.clone();
        RunSelection { run_id, group_id, labels }
    }
}

/// The windows of a baseline, and whose they are.
struct Windows<'a> {
    state: &'a ControlState,
    selected: Option<&'a Selected>,
    now: Timestamp,
    windows: Vec<EventWindow>,
    minutes: i64,
}

impl Ops {
    /// A baseline: budget, thresholds, recent failures, and the metrics of windows that end now, or when
    /// the last of the runs selected had ended. Reads only those windows, and writes nothing.
    ///
    /// # Errors
    /// Returns `Invalid` for windows out of bounds and for too many runs, `NotFound` for a selection
    /// without runs, and an error when the database cannot be read.
    pub async fn baseline(
        &self,
        options: &BaselineOptions,
        progress: Progress<'_>,
    ) -> Result<BaselineResponse> {
        let count = bounded("windows", options.windows.unwrap_or(WINDOWS), MAX_WINDOWS)?;
        let minutes = options.window_minutes.unwrap_or(WINDOW_MINUTES);
        bounded("window_minutes", minutes, MAX_WINDOW_MINUTES)?;
        let selected = self.selected(&options.selection()).await?;
        let selected = selected.as_ref();
        let now = self.clock.now();
        let state = self.store.load().await?;
        let settings = state.effective(&self.options.registry);
        let day = day_of(now);
        let totals = self.store.day_totals(day).await?;
        let end = selected.and_then(Selected::ended_at).map_or(now, |ended| ended.min(now));
        let windows = Windows {
            state: &state,
            selected,
            now,
            windows: windows(end, count, SignedDuration::from_mins(minutes)),
            minutes,
        };
        let runs = match selected {
            Some(selected) => Some(BaselineRuns {
                of: selected.summary.clone(),
                llm: self.llm_totals_of(&selected.ids()).await?,
            }),
            None => None,
        };
        let baseline = Baseline {
            generated_at_utc: now,
            thresholds: Baseline::thresholds(&settings),
            budget_snapshot: DayBudget::of(day, totals, &settings),
            provider_failure_window: self.failure_rate(selected, &settings, end).await?,
            metrics_path: None,
            runs,
        };
        Ok(BaselineResponse { baseline, metrics: self.metrics(&windows, progress).await? })
    }

    async fn metrics(&self, windows: &Windows<'_>, progress: Progress<'_>) -> Result<Metrics> {
        let steps = u64::try_from(windows.windows.len()).unwrap_or(u64::MAX).saturating_add(1);
        let (mut rows, mut latest) = (Vec::with_capacity(windows.windows.len()), Vec::new());
        for (done, window) in (0..).zip(&windows.windows) {
            progress(done, steps);
            latest = self.window_tallies(windows.selected, *window).await?;
            rows.push(WindowRow::of_runs(*window, &latest));
        }
        progress(steps - 1, steps);
        let societies = match windows.windows.last() {
            Some(window) => self.societies(windows, *window, latest).await?,
            None => Vec::new(),
        };
        progress(steps, steps);
        let owned: Vec<_> = societies.iter().filter_map(|society| society.owned.as_ref()).collect();
        Ok(Metrics {
            generated_at_utc: windows.now,
            windows: rows.len().try_into().unwrap_or(i64::MAX),
            window_minutes: windows.minutes,
            latest_window: rows.last().cloned(),
            emergence_metrics_latest_window: Emergence::of_societies(&societies),
            resource_concentration_now: Concentration::of(&owned),
            rows,
        })
    }

    /// The event counts of a window: of each run selected, in their order, or of everything together.
    async fn window_tallies(
        &self,
        selected: Option<&Selected>,
        window: EventWindow,
    ) -> Result<Vec<Vec<EventTally>>> {
        let Some(selected) = selected else { return Ok(vec![self.store.tally(window).await?]) };
        let mut by_run = BTreeMap::<String, Vec<EventTally>>::new();
        for (run_id, tally) in self.store.tally_runs(&selected.ids(), window).await? {
            by_run.entry(run_id).or_default().push(tally);
        }
        let runs = selected.runs.iter();
        Ok(runs.map(|run| by_run.remove(&run.run_id).unwrap_or_default()).collect())
    }

    /// What the metrics of the latest window are computed from, compared with the window before it.
    async fn societies(
        &self,
        windows: &Windows<'_>,
        window: EventWindow,
        tallies: Vec<Vec<EventTally>>,
    ) -> Result<Vec<Society>> {
        let runs: Vec<Option<&RunRecord>> = match windows.selected {
            Some(selected) => selected.runs.iter().map(Some).collect(),
            None => vec![None],
        };
        let mut societies = Vec::with_capacity(runs.len());
        for (run, tallies) in runs.into_iter().zip(tallies) {
            let run_id = run.map(|run| run.run_id.as_str());
            let owned = match run {
                Some(run) => self.inventory_of_run(run, window.until).await?,
                None => self.inventory_now(windows.state, window.until).await?,
            };
            societies.push(Society {
                tallies,
                coalitions: self.coalitions(run_id, window).await?,
                owned,
                owned_before: self.inventory_at(run_id, window.after).await?,
            });
        }
        Ok(societies)
    }

    /// The coalitions of a window, compared with the window before it.
    async fn coalitions(&self, run_id: Option<&str>, window: EventWindow) -> Result<Coalitions> {
        let length = window.until.duration_since(window.after);
        let before = EventWindow { after: window.after - length, until: window.after };
        let votes = self.votes(run_id, window).await?;
        Ok(votes.coalitions(&self.votes(run_id, before).await?))
    }

    async fn votes(&self, run_id: Option<&str>, window: EventWindow) -> Result<Votes> {
        let mut votes = Votes::default();
        self.each_vote(run_id, window, |vote| votes.add(vote)).await?;
        Ok(votes)
    }

    /// The votes cast in a window, of one run or of all, read page by page.
    pub(super) async fn each_vote(
        &self,
        run_id: Option<&str>,
        window: EventWindow,
        mut each: impl FnMut(&Event) + Send,
    ) -> Result<()> {
        let mut place = None;
        loop {
            let page = self.store.events_of_type(run_id, window, kind::VOTE_CAST, place, BATCH);
            let page = page.await?;
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
        self.inventory_at(None, now).await
    }

    /// The inventories of a run's living agents at `at`, which is now or the run's end: from the documents of
    /// its world while they are as the run left them, else from its last inventory event.
    pub(super) async fn inventory_of_run(
        &self,
        run: &RunRecord,
        at: Timestamp,
    ) -> Result<Option<Inventories>> {
        if let Some(epoch) = run.world_epoch
            && self.world_is_unchanged(run).await?
            && let Some(owned) =
                Inventories::of_documents(&self.store.world(epoch).await?.documents)
        {
            return Ok(Some(owned));
        }
        self.inventory_at(Some(&run.run_id), at).await
    }

    /// Whether no other run has changed the world of `run` since: none of the last starts was in it.
    async fn world_is_unchanged(&self, run: &RunRecord) -> Result<bool> {
        if run.is_open() {
            return Ok(true);
        }
        let last = self.store.runs(&RunFilter::page(None, LAST_STARTS)).await?.items;
        let later = last.iter().position(|other| other.run_id == run.run_id);
        let later = later.and_then(|place| last.get(..place));
        Ok(later.is_some_and(|later| later.iter().all(|other| other.world != run.world)))
    }

    /// The inventories of living agents at `at`, from the last inventory event of a run or of all.
    async fn inventory_at(
        &self,
        run_id: Option<&str>,
        at: Timestamp,
    ) -> Result<Option<Inventories>> {
        let event = self.store.last_event(run_id, kind::INVENTORY_SNAPSHOT, at).await?;
        Ok(event.as_ref().and_then(Inventories::of_event))
    }

    async fn failure_rate(
        &self,
        selected: Option<&Selected>,
        settings: &Effective,
        end: Timestamp,
    ) -> Result<FailureRate> {
        let window_minutes = settings.int(key::STOP_FAILURE_WINDOW);
        let after = end - SignedDuration::from_mins(window_minutes);
        let calls = self.calls_of(selected, EventWindow { after, until: end }).await?;
        Ok(FailureRate {
            window_minutes,
            successes: calls.success_calls,
            failures: calls.failures(),
            total: calls.calls + calls.unsent_calls,
            failure_rate: ratio(calls.failures(), calls.calls + calls.unsent_calls),
        })
    }
}
