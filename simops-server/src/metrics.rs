//! Metrics of requests, and the Prometheus text format.

use std::collections::BTreeMap;
use std::fmt::{Display, Write};
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::Duration;

use axum::http::{Method, StatusCode};
use jiff::Timestamp;

/// Upper bounds of the duration histogram, in seconds.
const BOUNDS: [f64; 12] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 10.0];

/// Methods with series of their own. Clients can invent others without bound; those count as one.
const METHODS: [&str; 8] = ["other", "GET", "HEAD", "POST", "PATCH", "PUT", "DELETE", "OPTIONS"];

/// Requests by route and method.
#[derive(Debug)]
pub(crate) struct HttpMetrics {
    /// By route, then by the place of the method in [`METHODS`].
    series: RwLock<BTreeMap<String, ByMethod>>,
    started: Timestamp,
}

type ByMethod = [Mutex<Series>; METHODS.len()];

#[derive(Debug, Default, Clone)]
struct Series {
    by_status: BTreeMap<u16, u64>,
    buckets: [u64; BOUNDS.len()],
    count: u64,
    seconds: f64,
}

impl Default for HttpMetrics {
    fn default() -> Self {
        Self { series: RwLock::default(), started: Timestamp::now() }
    }
}

impl HttpMetrics {
    /// When this process started, in Unix seconds.
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of this era fit")]
    pub(crate) fn started_seconds(&self) -> f64 {
        self.started.as_millisecond() as f64 / 1e3
    }

    /// Counts a request. `route` must be a pattern, not a path: every value is kept for ever.
    pub(crate) fn observe(
        &self,
        route: &str,
        method: &Method,
        status: StatusCode,
        elapsed: Duration,
    ) {
        let method = METHODS.iter().position(|name| *name == method.as_str()).unwrap_or_default();
        if let Some(series) = self.series.read().unwrap_or_else(PoisonError::into_inner).get(route)
        {
            return count(&series[method], status, elapsed);
        }
        let mut series = self.series.write().unwrap_or_else(PoisonError::into_inner);
        count(&series.entry(route.to_owned()).or_default()[method], status, elapsed);
    }

    /// Writes the metrics of requests.
    pub(crate) fn write(&self, text: &mut Exposition) {
        let mut all = Vec::new();
        let by_route = self.series.read().unwrap_or_else(PoisonError::into_inner);
        for (route, by_method) in by_route.iter() {
            for (method, series) in METHODS.iter().zip(by_method) {
                let series = series.lock().unwrap_or_else(PoisonError::into_inner).clone();
                if series.count > 0 {
                    all.push(([("method", *method), ("route", route.as_str())], series));
                }
            }
        }
        let name = "simops_http_requests_total";
        text.family(name, "counter", "Requests answered.");
        for ([method, route], series) in &all {
            for (status, count) in &series.by_status {
                text.sample(name, &[*method, *route, ("status", &status.to_string())], count);
            }
        }
        let name = "simops_http_request_duration_seconds";
        text.family(name, "histogram", "Time from a request's head to its response's head.");
        for (labels, series) in &all {
            let [method, route] = *labels;
            let mut below = 0;
            for (bound, count) in BOUNDS.iter().zip(series.buckets) {
                below += count;
                let labels = [method, route, ("le", &bound.to_string())];
                text.sample(&format!("{name}_bucket"), &labels, below);
            }
            let labels_of_all = [method, route, ("le", "+Inf")];
            text.sample(&format!("{name}_bucket"), &labels_of_all, series.count);
            text.sample(&format!("{name}_sum"), labels, series.seconds);
            text.sample(&format!("{name}_count"), labels, series.count);
        }
    }
}

fn count(series: &Mutex<Series>, status: StatusCode, elapsed: Duration) {
    let mut series = series.lock().unwrap_or_else(PoisonError::into_inner);
    let seconds = elapsed.as_secs_f64();
    *series.by_status.entry(status.as_u16()).or_default() += 1;
    if let Some(bucket) = BOUNDS.iter().position(|bound| seconds <= *bound) {
        series.buckets[bucket] += 1;
    }
    series.count += 1;
    series.seconds += seconds;
}

/// The number of open file descriptors of this process, if the system tells.
pub(crate) fn open_files() -> Option<usize> {
    // Without the one that reads the folder.
    Some(std::fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1))
}

/// Text in the Prometheus exposition format.
#[derive(Debug, Default)]
pub(crate) struct Exposition(String);

impl Exposition {
    /// Begins a family of samples.
    pub(crate) fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// Writes one sample. Label values are written without escaping, so they must not come from
    /// clients.
    pub(crate) fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        for (place, (label, of)) in labels.iter().enumerate() {
            let before = if place == 0 { '{' } else { ',' };
            let _ = write!(self.0, "{before}{label}=\"{of}\"");
        }
        let end = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.0, "{end} {value}");
    }

    /// Writes a family of one sample without labels.
    pub(crate) fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, "gauge", help);
        self.sample(name, &[], value);
    }

    pub(crate) fn into_text(self) -> String {
        self.0
    }
}
