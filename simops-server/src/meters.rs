//! Figures about requests, and their text form for Prometheus.

use std::collections::BTreeMap;
use std::fmt::{Display, Write};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::http::{Method, StatusCode};
use jiff::Timestamp;

use crate::patterns::Patterns;

/// Upper bounds of the duration histogram, in seconds.
const BOUNDS: [f64; 12] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 10.0];

/// Methods by name; those that anybody may invent are one.
const METHODS: [&str; 8] = ["other", "GET", "HEAD", "POST", "PATCH", "PUT", "DELETE", "OPTIONS"];

/// Requests by route and method.
#[derive(Debug)]
pub(crate) struct Meters {
    patterns: Patterns,
    /// By number of the pattern, then of the method.
    series: Vec<[Mutex<Series>; METHODS.len()]>,
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
    pub(crate) fn new(patterns: Patterns) -> Self {
        let series = patterns.all().iter().map(|_| Default::default()).collect();
        Self { patterns, series, started: Timestamp::now() }
    }

    /// When this process began.
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of this era fit")]
    pub(crate) fn started_seconds(&self) -> f64 {
        self.started.as_millisecond() as f64 / 1e3
    }

    /// Counts one request.
    pub(crate) fn observe(&self, method: &Method, path: &str, status: StatusCode, took: Duration) {
        let method = METHODS.iter().position(|name| *name == method.as_str()).unwrap_or_default();
        let of_route = self.series.get(self.patterns.number_of(path));
        let Some(series) = of_route.and_then(|of_route| of_route.get(method)) else { return };
        let mut series = series.lock().unwrap_or_else(PoisonError::into_inner);
        let seconds = took.as_secs_f64();
        *series.by_status.entry(status.as_u16()).or_default() += 1;
        if let Some(bucket) = BOUNDS.iter().position(|bound| seconds <= *bound) {
            series.buckets[bucket] += 1;
        }
        series.count += 1;
        series.seconds += seconds;
    }

    /// Writes the figures about requests.
    pub(crate) fn write(&self, text: &mut Exposition) {
        let mut all = Vec::new();
        for (route, of_route) in self.patterns.all().iter().zip(&self.series) {
            for (method, series) in METHODS.iter().zip(of_route) {
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
        text.family(name, "histogram", "Time from a request's head to its answer's head.");
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
