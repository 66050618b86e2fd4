//! Stores baselines as files: the latest under fixed names, and one dated copy of each.
//!
//! ```text
//! baseline/baseline_latest.json              baseline/baseline_20260301T120000Z.json
//! baseline/metrics/metrics_latest.json       baseline/metrics/metrics_20260301T120000Z.json
//! baseline/metrics/metrics_latest.csv        baseline/metrics/metrics_20260301T120000Z.csv
//! ```
//!
//! Files are written atomically. Dated copies are never replaced: if several baselines are taken in the
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
pub fn write(folder: &Path, answer: BaselineResponse) -> Result<BaselineResponse> {
    let baselines = folder.join("baseline");
    let metrics = baselines.join("metrics");
    let stamp = answer.baseline.generated_at_utc.strftime("%Y%m%dT%H%M%SZ").to_string();
    let (json, csv) = (json_of(&answer.metrics)?, answer.metrics.csv());
    let name = |stamp: &str| metrics.join(format!("metrics_{stamp}.json"));
    // The first unused name of a metrics file is also used for the other two files.
    let stamp = output::write_new(&stamp, &json, name)?;
    let dated = name(&stamp);
    output::replace(&dated.with_extension("csv"), csv.as_bytes())?;
    let copy = Baseline { metrics_path: Some(path_text(&dated)), ..answer.baseline.clone() };
    output::replace(&baselines.join(format!("baseline_{stamp}.json")), &json_of(&copy)?)?;
    let latest = metrics.join("metrics_latest.json");
    output::replace(&latest, &json)?;
    output::replace(&latest.with_extension("csv"), csv.as_bytes())?;
    let baseline = Baseline { metrics_path: Some(path_text(&latest)), ..answer.baseline };
    output::replace(&baselines.join("baseline_latest.json"), &json_of(&baseline)?)?;
    Ok(BaselineResponse { baseline, metrics: answer.metrics })
}

/// Reads a baseline and its metrics from a baseline file or from the saved output of
/// `simops-cli baseline`.
///
/// # Errors
/// Returns `NotFound` if a file does not exist, `Invalid` if it does not contain a baseline, and
/// `Unavailable` if it cannot be read.
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

fn path_text(path: &Path) -> String {
    path.display().to_string()
}
