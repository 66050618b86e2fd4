//! A baseline as files: the latest under fixed names, and copies that stay.
//!
//! ```text
//! baseline/baseline_latest.json              baseline/baseline_20260301T120000Z.json
//! baseline/metrics/metrics_latest.json       baseline/metrics/metrics_20260301T120000Z.json
//! baseline/metrics/metrics_latest.csv        baseline/metrics/metrics_20260301T120000Z.csv
//! ```
//!
//! A file appears whole or not at all. A copy never takes the place of another one: of those made in
//! the same second, later ones end in `-2`, `-3`, …

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Baseline, BaselineResponse, Metrics};
use crate::output::{self, read_error};
use crate::{Error, ErrorKind, Result};

/// Writes a baseline below `folder`, and returns it with the path of its metrics.
///
/// # Errors
/// `Unavailable` naming the file that cannot be written.
pub fn write(folder: &Path, answer: BaselineResponse) -> Result<BaselineResponse> {
    let baselines = folder.join("baseline");
    let metrics = baselines.join("metrics");
    let stamp = answer.baseline.generated_at_utc.strftime("%Y%m%dT%H%M%SZ").to_string();
    let (json, csv) = (json_of(&answer.metrics)?, answer.metrics.csv());
    let name = |stamp: &str| metrics.join(format!("metrics_{stamp}.json"));
    // The name that is free for the first of the three is taken for all of them.
    let stamp = output::write_new(&stamp, &json, name)?;
    let kept = name(&stamp);
    output::replace(&kept.with_extension("csv"), csv.as_bytes())?;
    let copy = Baseline { metrics_path: Some(shown(&kept)), ..answer.baseline.clone() };
    output::replace(&baselines.join(format!("baseline_{stamp}.json")), &json_of(&copy)?)?;
    let latest = metrics.join("metrics_latest.json");
    output::replace(&latest, &json)?;
    output::replace(&latest.with_extension("csv"), csv.as_bytes())?;
    let baseline = Baseline { metrics_path: Some(shown(&latest)), ..answer.baseline };
    output::replace(&baselines.join("baseline_latest.json"), &json_of(&baseline)?)?;
    Ok(BaselineResponse { baseline, metrics: answer.metrics })
}

/// Reads a baseline and its metrics: from the path of a baseline, or of what a command printed.
///
/// # Errors
/// `NotFound` when a file is missing, `Invalid` when it is none of a baseline.
pub fn read(path: &Path) -> Result<BaselineResponse> {
    let text = read_text(path)?;
    if let Ok(answer) = serde_json::from_slice::<BaselineResponse>(&text) {
        return Ok(answer);
    }
    let baseline: Baseline = parse(path, &text)?;
    let Some(metrics_path) = &baseline.metrics_path else {
        return Err(no_baseline(path, "it names no metrics"));
    };
    let metrics_path = beside(path, Path::new(metrics_path));
    let metrics: Metrics = parse(&metrics_path, &read_text(&metrics_path)?)?;
    Ok(BaselineResponse { baseline, metrics })
}

/// The metrics where they were written, or in the folder that the baseline was moved to.
fn beside(baseline: &Path, metrics: &Path) -> PathBuf {
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
    serde_json::from_slice(text).map_err(|error| no_baseline(path, &error.to_string()))
}

fn no_baseline(path: &Path, why: &str) -> Error {
    Error::new(ErrorKind::Invalid, format!("{} is no baseline: {why}", path.display()))
}

fn json_of(value: &impl Serialize) -> Result<Vec<u8>> {
    let mut json = serde_json::to_vec_pretty(value)
        .map_err(|error| Error::internal("a baseline cannot be written").with_source(error))?;
    json.push(b'\n');
    Ok(json)
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
