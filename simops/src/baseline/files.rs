//! Stores baselines as files: the latest under fixed names, and one dated copy of each.
//!
//! ```text
//! baseline/baseline_latest.json              baseline/baseline_20260301T120000Z.json
//! baseline/metrics/metrics_latest.json       baseline/metrics/metrics_20260301T120000Z.json
//! baseline/metrics/metrics_latest.csv        baseline/metrics/metrics_20260301T120000Z.csv
//! ```
//!
//! The file of a baseline contains its metrics, too, so that it can be copied or moved alone. Files are
//! written atomically. Dated copies are never replaced: if several baselines are taken in the
//! same second, the later ones end in `-2`, `-3`, …

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Baseline, BaselineResponse, Metrics};
use crate::output::{self, read_error};
use crate::{Error, ErrorKind, Result};

/// Writes a baseline below `folder` and returns it with the path of its metrics file.
///
/// # Errors
/// Returns `Unavailable`, with the path in the message, if a file cannot be written. Files written
/// before the failing one remain.
pub fn write(folder: &Path, answer: &BaselineResponse) -> Result<BaselineResponse> {
    let baselines = folder.join("baseline");
    let metrics = baselines.join("metrics");
    let stamp = answer.baseline.generated_at_utc.strftime("%Y%m%dT%H%M%SZ").to_string();
    let (json, csv) = (json_of(&answer.metrics)?, answer.metrics.csv());
    let name = |stamp: &str| metrics.join(format!("metrics_{stamp}.json"));
    // The first unused name of a metrics file is also used for the other two files.
    let stamp = output::write_new(&stamp, &json, name)?;
    let dated = name(&stamp);
    output::replace(&dated.with_extension("csv"), csv.as_bytes())?;
    let copy = with_path(answer, &dated);
    output::replace(&baselines.join(format!("baseline_{stamp}.json")), &json_of(&copy)?)?;
    let latest = metrics.join("metrics_latest.json");
    output::replace(&latest, &json)?;
    output::replace(&latest.with_extension("csv"), csv.as_bytes())?;
    let written = with_path(answer, &latest);
    output::replace(&baselines.join("baseline_latest.json"), &json_of(&written)?)?;
    Ok(written)
}

fn with_path(answer: &BaselineResponse, metrics: &Path) -> BaselineResponse {
    let metrics_path = Some(metrics.display().to_string());
    let baseline = Baseline { metrics_path, ..answer.baseline.clone() };
    BaselineResponse { baseline, metrics: answer.metrics.clone() }
}

/// Reads a baseline and its metrics from a baseline file or from the saved output of
/// `simops-cli baseline`. The files of earlier versions only contain the path of their metrics.
///
/// # Errors
/// Returns `NotFound` if a file does not exist, `Invalid` if it does not contain a baseline or if the
/// metrics at its path belong to another baseline, and `Unavailable` if it cannot be read.
pub fn read(path: &Path) -> Result<BaselineResponse> {
    let text = read_text(path)?;
    if let Ok(answer) = serde_json::from_slice::<BaselineResponse>(&text) {
        return Ok(answer);
    }
    let baseline: Baseline = parse(path, &text)?;
    let Some(metrics_path) = &baseline.metrics_path else {
        return Err(invalid_baseline(path, "it has no metrics_path"));
    };
    let metrics_path = locate_metrics(path, Path::new(metrics_path));
    let metrics: Metrics = parse(&metrics_path, &read_text(&metrics_path)?)?;
    if metrics.generated_at_utc != baseline.generated_at_utc {
        let why = format!(
            "it was taken at {}, but the metrics it names ({}) were taken at {}; copy both files of a \
             baseline, or use its time-stamped file",
            baseline.generated_at_utc,
            metrics_path.display(),
            metrics.generated_at_utc
        );
        return Err(Error::new(ErrorKind::Invalid, format!("{}: {why}", path.display())));
    }
    Ok(BaselineResponse { baseline, metrics })
}

/// The metrics file next to the baseline file, which may have been moved, or else at its original path.
fn locate_metrics(baseline: &Path, metrics: &Path) -> PathBuf {
    let moved = baseline.parent().zip(metrics.file_name());
    match moved.map(|(folder, name)| folder.join("metrics").join(name)) {
        Some(moved) if moved.exists() => moved,
        _ => metrics.to_owned(),
    }
}

fn read_text(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| read_error(path, error))
}

fn parse<T: DeserializeOwned>(path: &Path, text: &[u8]) -> Result<T> {
    serde_json::from_slice(text).map_err(|error| invalid_baseline(path, &error.to_string()))
}

fn invalid_baseline(path: &Path, reason: &str) -> Error {
    Error::new(ErrorKind::Invalid, format!("{} is not a baseline: {reason}", path.display()))
}

fn json_of(value: &impl Serialize) -> Result<Vec<u8>> {
    let mut json = serde_json::to_vec_pretty(value)
        .map_err(|error| Error::internal("failed to serialise a baseline").with_source(error))?;
    json.push(b'\n');
    Ok(json)
}
