//! The use cases: what server, command line and embedders call, and nothing beside it.
//!
//! Each write checks its input, is decided by [`crate::control::decide()`], and is one commit. Each
//! answer is the JSON of the admin API.

mod alerts;
mod backtest;
mod baseline;
mod config;
mod digest;
mod kpi;
pub mod metrics;
mod records;
mod report;
mod report_writer;
mod reset;
mod run_figures;
mod runs;
mod series;
mod since;
pub mod status;
mod usage;
mod weekly;

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::Notify;

use crate::alert::AlertOptions;
use crate::control::Environment;
use crate::digest::{Requirements, Schedule};
use crate::enforcement::Observer;
use crate::execute::Executor;
use crate::settings::Registry;
use crate::store::RunStore;
use crate::{Clock, Error, Result, output};

pub use crate::execute::Caller;
pub use crate::run::StartRun;
pub use crate::usage::CounterStatus;
pub use alerts::{
    AlertChanged, AlertNotification, AlertsResponse, DeliveryResponse, EvaluateAlerts,
    MessagesResponse, Replayed, SentMessage, SilenceAlert,
};
pub use backtest::{BacktestQuery, BacktestResponse, BacktestedRun};
pub use baseline::BaselineOptions;
pub use config::{ConfigResponse, MutableKey, PatchConfig, PatchedConfig};
pub use digest::{ActivityResponse, CallsResponse, DigestOptions, DigestResponse, DigestsResponse};
pub use kpi::{KpiRecorded, KpiRollups, RebuiltKpi, VerifiedKpi};
pub use metrics::RunMetrics;
pub use records::{AuditResponse, EventsQuery, EventsResponse, RunsResponse, VerifiedAudit};
pub use report::ReportResponse;
pub use report_writer::ReportWriter;
pub use reset::ResetResult;
pub use runs::{
    Degraded, Paused, ReasonBody, ResetWorldResponse, RunModeChanged, SetRunMode, StartedRun,
    StopRun, StoppedRun,
};
pub use series::{UsageSeries, UsageStep};
pub use since::since;
pub use status::{StatusView, ViewerOps};
pub use usage::{Counted, RebuiltUsage, UsageItem, UsageQuery, UsageResponse, VerifiedUsage};
pub use weekly::WeeklyDigest;

/// What a deployment allows.
#[derive(Debug, Clone)]
pub struct OpsOptions {
    /// Where it stands.
    pub environment: Environment,
    /// Whether operators may write.
    pub write_enabled: bool,
    /// The settings known, with this deployment's defaults.
    pub registry: Arc<Registry>,
    /// Where baselines and digests are written to.
    pub output_folder: PathBuf,
    /// What it wants to be told.
    pub alerts: AlertOptions,
    /// What a digest takes at least.
    pub digest_gate: Requirements,
    /// When one is drafted by itself, by whoever runs the timers.
    pub digest_schedule: Schedule,
}

impl OpsOptions {
    /// A deployment in `environment` with built-in settings: writable in development only.
    pub fn of(environment: Environment) -> Self {
        Self {
            environment,
            write_enabled: environment == Environment::Development,
            registry: Arc::new(Registry::builtin()),
            output_folder: output::DEFAULT_FOLDER.into(),
            alerts: AlertOptions::default(),
            digest_gate: Requirements::default(),
            digest_schedule: Schedule::default(),
        }
    }
}

/// The use cases on one store.
pub struct Ops {
    store: Arc<dyn RunStore>,
    clock: Arc<dyn Clock>,
    options: OpsOptions,
    executor: Executor,
    observer: Observer,
    // Visitors' events came in.
    kpi_recorded: Notify,
}

impl Ops {
    /// The use cases on `store`.
    pub fn new(store: Arc<dyn RunStore>, clock: Arc<dyn Clock>, options: OpsOptions) -> Self {
        let executor = Executor::new(
            Arc::clone(&store),
            Arc::clone(&options.registry),
            options.environment,
            Arc::clone(&clock),
        );
        let (observer, kpi_recorded) = (Observer::default(), Notify::new());
        Self { store, clock, options, executor, observer, kpi_recorded }
    }

    /// The store beneath.
    pub fn store(&self) -> &Arc<dyn RunStore> {
        &self.store
    }

    /// What this deployment allows.
    pub fn options(&self) -> &OpsOptions {
        &self.options
    }

    /// The clock in use.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Whether operators may write here.
    ///
    /// # Errors
    /// `Forbidden` when the write gate is closed.
    pub fn check_writable(&self) -> Result<()> {
        if self.options.write_enabled {
            return Ok(());
        }
        Err(Error::forbidden("Admin write controls are disabled in this environment"))
    }
}

/// Work with files, which would hold up a thread of the runtime.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Error::internal("work with files failed").with_source(error))?
}

/// The place a cursor from outside stands for.
fn place(cursor: Option<&str>) -> Result<Option<i64>> {
    let Some(cursor) = cursor.filter(|cursor| !cursor.is_empty()) else { return Ok(None) };
    match cursor.parse::<i64>() {
        Ok(place) if place > 0 => Ok(Some(place)),
        _ => Err(Error::invalid("cursor", "must be a next_cursor of an earlier answer")),
    }
}

/// `limit` if it lies within 1 to `max`.
fn bounded(field: &str, limit: i64, max: i64) -> Result<usize> {
    usize::try_from(limit)
        .ok()
        .filter(|_| (1..=max).contains(&limit))
        .ok_or_else(|| Error::invalid(field, format!("must be between 1 and {max}")))
}
