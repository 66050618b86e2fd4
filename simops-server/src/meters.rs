//! Figures about requests, and their text form for Prometheus.

use std::collections::{BTreeMap, HashMap};
use std::fmt::{Display, Write};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use axum::http::{Method, StatusCode};
use jiff::Timestamp;

/// Upper bounds of the duration histogram, in seconds.
const BOUNDS: [f64; 12] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 10.0];

type Routes = HashMap<Box<str>, Arc<Mutex<Series>>>;

/// Requests by method and route.
#[derive(Debug)]
pub(crate) struct Meters {
    methods: RwLock<HashMap<&'static str, Routes>>,
    started: Timestamp,
}

#[derive(Debug, Default, Clone)]
struct Series {
    by_status: BTreeMap<u16, u64>,
    buckets: [u64; BOUNDS.len()],
    count: u64,
    seconds: f64,
}

impl Meters {
    pub(crate) fn new() -> Self {
        Self { methods: RwLock::default(), started: Timestamp::now() }
    }

    /// When this process began.
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of this era fit")]
    pub(crate) fn started_seconds(&self) -> f64 {
        self.started.as_millisecond() as f64 / 1e3
    }

    /// Counts one request; `route` is a pattern, so that there are few.
    pub(crate) fn observe(&self, method: &Method, route: &str, status: StatusCode, took: Duration) {
        let series = self.series(known(method), route);
        let mut series = series.lock().unwrap_or_else(PoisonError::into_inner);
        let seconds = took.as_secs_f64();
        *series.by_status.entry(status.as_u16()).or_default() += 1;
        if let Some(bucket) = BOUNDS.iter().position(|bound| seconds <= *bound) {
            series.buckets[bucket] += 1;
        }
        series.count += 1;
        series.seconds += seconds;
    }

    fn series(&self, method: &'static str, route: &str) -> Arc<Mutex<Series>> {
        let methods = self.methods.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(series) = methods.get(method).and_then(|routes| routes.get(route)) {
            return Arc::clone(series);
        }
        drop(methods);
        let mut methods = self.methods.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(methods.entry(method).or_default().entry(route.into()).or_default())
    }

    /// Writes the figures about requests.
    pub(crate) fn write(&self, text: &mut Exposition) {
        let methods = self.methods.read().unwrap_or_else(PoisonError::into_inner);
        let mut all = BTreeMap::new();
        for (method, routes) in methods.iter() {
            for (route, series) in routes {
                let series = series.lock().unwrap_or_else(PoisonError::into_inner).clone();
                all.insert((*method, route.clone()), series);
            }
        }
        drop(methods);

        let name = "simops_http_requests_total";
        text.family(name, "counter", "Requests answered.");
        for ((method, route), series) in &all {
            for (status, count) in &series.by_status {
                let status = status.to_string();
                let labels = [("method", *method), ("route", route), ("status", &status)];
                text.sample(name, &labels, count);
            }
        }
        let name = "simops_http_request_duration_seconds";
        text.family(name, "histogram", "Time from a request's head to its answer's head.");
        for ((method, route), series) in &all {
            let labels = [("method", *method), ("route", &**route)];
            let mut below = 0;
            for (bound, count) in BOUNDS.iter().zip(series.buckets) {
                below += count;
                let bound = bound.to_string();
                let labels = [labels[0], labels[1], ("le", bound.as_str())];
                text.sample(&format!("{name}_bucket"), &labels, below);
            }
            let labels_of_all = [labels[0], labels[1], ("le", "+Inf")];
            text.sample(&format!("{name}_bucket"), &labels_of_all, series.count);
            text.sample(&format!("{name}_sum"), &labels, series.seconds);
            text.sample(&format!("{name}_count"), &labels, series.count);
        }
    }
}

/// Methods anybody may invent are one.
fn known(method: &Method) -> &'static str {
    let all = ["GET", "HEAD", "POST", "PATCH", "PUT", "DELETE", "OPTIONS"];
    all.into_iter().find(|name| *name == method.as_str()).unwrap_or("other")
}

/// Text in the Prometheus exposition format.
#[derive(Debug, Default)]
pub(crate) struct Exposition(String);

impl Exposition {
    /// Begins a family of samples.
    pub(crate) fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// One sample. Label values are simops' own words, without anything to escape.
    pub(crate) fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        for (place, (label, of)) in labels.iter().enumerate() {
            let before = if place == 0 { '{' } else { ',' };
            let _ = write!(self.0, "{before}{label}=\"{of}\"");
        }
        let end = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.0, "{end} {value}");
    }

    /// A family of one sample without labels.
    pub(crate) fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, "gauge", help);
        self.sample(name, &[], value);
    }

    pub(crate) fn into_text(self) -> String {
        self.0
    }
}
