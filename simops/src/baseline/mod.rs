//! Baselines: metrics of a simulation at one time, for later comparison.
//!
//! `window` computes the metrics of a time window, `votes` finds coalitions, `wealth` measures
//! inequality, and `emergence` combines them for the latest window. `snapshot` defines the content
//! of a baseline, `files` stores it, `compare` finds significant changes between two baselines,
//! and `plot` draws one. All functions except those in `files` are pure.

pub(crate) mod compare;
mod emergence;
pub mod files;
pub mod plot;
mod snapshot;
#[cfg(test)]
mod tests;
pub(crate) mod votes;
pub(crate) mod wealth;
pub(crate) mod window;

pub use compare::{Comparison, LatestValue, MetricComparison, SettingDifference, compare};
pub use emergence::Emergence;
pub(crate) use emergence::Society;
pub use snapshot::{Baseline, BaselineResponse, BaselineRuns, FailureRate, Metrics};
pub use wealth::{Concentration, Inventories};
pub use window::WindowRow;
