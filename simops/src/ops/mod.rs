//! The use cases of the admin API, for the server, the command line and embedders.
//!
//! [`Ops`] reads. Writes need a capability: [`Ops::writer`] for what a person asks for,
//! [`Ops::system`] for the work of simops itself. A write checks its input, is decided by
//! `control::decide`, and is one commit. Each response is the JSON of the admin API.

mod alerts;
mod backtest;
mod baseline;
mod budgets;
mod config;
mod digest;
mod disk;
mod expiry;
mod kpi;
mod metrics;
mod open_runs;
mod prune;
mod records;
mod report;
mod report_writer;
mod reset;
mod run_figures;
mod run_limits;
mod run_list;
mod runs;
mod runs_report;
mod selection;
mod series;
mod since;
mod status;
#[cfg(test)]
mod tests;
mod usage;
mod weekly;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::alert::AlertOptions;
use crate::control::{Environment, WriteGate, WritePolicy};
use crate::digest::{Requirements, Schedule};
use crate::enforcement::Observer;
use crate::execute::Executor;
use crate::kpi::MAX_LATE_DAYS;
use crate::settings::Registry;
use crate::store::{Page, RunStore};
use crate::usage::UsageCounter;
use crate::{Clock, Error, Result, output};

pub use crate::execute::{Caller, WritePermit, actor_name};
pub use crate::run::StartRun;
pub use crate::usage::CounterStatus;
pub use alerts::{
    AlertChanged, AlertNotification, DeliveryResponse, EvaluateAlerts, Replayed, SilenceAlert,
};
pub use backtest::{BacktestQuery, BacktestResponse, BacktestedRun};
pub use baseline::BaselineOptions;
pub use budgets::{
    BudgetUseView, BudgetView, BudgetsResponse, DeleteBudget, DeletedBudget, PutBudget,
};
pub use config::{ConfigResponse, MutableKey, PatchConfig, PatchedConfig};
pub use digest::{ActivityResponse, CallsResponse, DigestOptions, DigestResponse};
pub use expiry::DeleteExpiredResponses;
pub use kpi::{
    DeleteVisits, DeletedVisits, KpiImport, KpiRecorded, KpiRollups, RebuiltKpi, SEED_PREFIX,
    VerifiedKpi,
};
pub use metrics::{Activity, RunMetrics};
pub use open_runs::{HostOfOpenRun, OpenRun, RunSpending};
pub use records::{AuditResponse, AuditVerification, EventsQuery};
pub use report::ReportResponse;
pub use report_writer::ReportWriter;
pub use reset::ResetResult;
pub use run_list::{ListedRun, RunsQuery};
pub use runs::{
    ControlledRun, ControlledRuns, Degraded, PatchLimits, PatchedLimits, Paused, ReasonBody,
    ResetWorldResponse, RunBody, RunModeChanged, SetRunMode, StartedRun, StopRun, StoppedRun,
};
pub use selection::MAX_SELECTED_RUNS;
pub use series::UsageSeries;
pub use since::since;
pub use status::{StatusView, ViewerOps};
pub use usage::{Counted, RebuiltUsage, UsageQuery, VerifiedUsage};
pub use weekly::WeeklyDigest;
pub use writer::{SystemWriter, Writer};

/// The configuration of the use cases.
#[derive(Debug, Clone)]
pub struct OpsOptions {
    /// The environment of the process.
    pub environment: Environment,
    /// The write gate; unset, it is open in development and closed in production.
    pub write_gate: Option<WriteGate>,
    /// The settings known, with this deployment's defaults.
    pub registry: Arc<Registry>,
    /// Where baselines and digests are written to.
    pub output_folder: PathBuf,
    /// Alert rules and receivers.
    pub alerts: AlertOptions,
    /// The evidence that a digest requires.
    pub digest_gate: Requirements,
    /// When the weekly digest is created.
    pub digest_schedule: Schedule,
    /// Bytes of the database's disk that visitors' events leave free for run control. Unset, 5 % of it,
    /// at most 256 MiB; 0 keeps nothing.
    pub visits_disk_reserve: Option<u64>,
    /// The name of the host that this process runs, and its world, if it runs one: starts take it for
    /// connected, also before its first report.
    pub own_host: Option<(String, String)>,
}

impl OpsOptions {
    /// The defaults in `environment`: built-in settings, writable in development only.
    pub fn of(environment: Environment) -> Self {
        Self {
            environment,
            write_gate: None,
            registry: Arc::new(Registry::builtin()),
            output_folder: output::DEFAULT_FOLDER.into(),
            alerts: AlertOptions::default(),
            digest_gate: Requirements::default(),
            digest_schedule: Schedule::default(),
            visits_disk_reserve: None,
            own_host: None,
        }
    }
}

/// The use cases on one store.
///
/// # Errors
/// Every use case returns an error when the database cannot be read, or cannot be written if it
/// writes. Each method lists its other errors.
pub struct Ops {
    store: Arc<dyn RunStore>,
    // Where calls are counted: in the store, unless another counter is set.
    counter: Arc<dyn UsageCounter>,
    clock: Arc<dyn Clock>,
    options: OpsOptions,
    executor: Executor,
    observer: Observer,
    // Notified when KPI events were recorded.
    kpi_recorded: Notify,
}

impl Ops {
    /// The use cases on `store`.
    pub fn new(store: Arc<dyn RunStore>, clock: Arc<dyn Clock>, options: OpsOptions) -> Self {
        let executor = Executor::new(
            Arc::clone(&store),
            Arc::clone(&options.registry),
            WritePolicy { environment: options.environment, gate: options.write_gate },
            Arc::clone(&clock),
        )
        .with_own_host(options.own_host.clone());
        let (observer, kpi_recorded) = (Observer::default(), Notify::new());
        let counter: Arc<dyn UsageCounter> = store.clone();
        Self { store, counter, clock, options, executor, observer, kpi_recorded }
    }

    /// The same with the counter of calls, if it is not the store.
    #[must_use]
    pub fn with_counter(self, counter: Arc<dyn UsageCounter>) -> Self {
        Self { counter, ..self }
    }

    /// The store.
    pub fn store(&self) -> &Arc<dyn RunStore> {
        &self.store
    }

    /// The configuration.
    pub fn options(&self) -> &OpsOptions {
        &self.options
    }

    /// The clock in use.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }
}

/// A page of a listing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Listing<T> {
    /// The items, in the order of the listing.
    pub items: Vec<T>,
    /// The `cursor` of the next page; null on the last one.
    pub next_cursor: Option<String>,
}

impl<T> From<Page<T>> for Listing<T> {
    fn from(page: Page<T>) -> Self {
        Self { items: page.items, next_cursor: page.next.map(|next| next.to_string()) }
    }
}

/// Runs file I/O on a blocking thread.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Error::internal("work with files failed").with_source(error))?
}

/// The position that a cursor of a request names.
fn cursor_position(cursor: Option<&str>) -> Result<Option<i64>> {
    let Some(cursor) = cursor.filter(|cursor| !cursor.is_empty()) else { return Ok(None) };
    match cursor.parse::<i64>() {
        Ok(place) if place > 0 => Ok(Some(place)),
        _ => Err(Error::invalid("cursor", "must be a next_cursor of an earlier response")),
    }
}

/// The largest values of whole numbers in requests, by name; the least is 1.
pub const MAXIMA: [(&str, i64); 7] = [
    ("days", MAX_LATE_DAYS),
    ("hours_fallback", metrics::MAX_HOURS),
    ("limit", records::MAX_PAGE),
    ("lookback_days", digest::MAX_DAYS),
    ("minutes", alerts::MAX_SILENCE),
    ("window_minutes", baseline::MAX_WINDOW_MINUTES),
    ("windows", baseline::MAX_WINDOWS),
];

/// `limit` if it lies within 1 to `max`.
fn bounded(field: &str, limit: i64, max: i64) -> Result<usize> {
    usize::try_from(limit)
        .ok()
        .filter(|_| (1..=max).contains(&limit))
        .ok_or_else(|| Error::invalid(field, format!("must be between 1 and {max}")))
}
