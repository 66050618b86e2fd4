//! Runs: the registry record (`metadata`), its labels (`labels`) and `limits`, selections of several runs
//! (`selection`), and the validation of start requests (`rules`).

pub(crate) mod labels;
mod limits;
mod metadata;
pub(crate) mod rules;
mod selection;

pub use labels::{Labels, MAX_LABEL_NAME_CHARS, MAX_LABEL_VALUE_CHARS, MAX_LABELS};
pub(crate) use limits::ReachedLimit;
pub use limits::{AtLimit, RunLimits, RunUse};
pub use metadata::{EndedBy, RunClass, RunGate, RunMode, RunRecord};
pub use rules::{IDENTIFIERS, MAX_REASON_CHARS, MAX_SEASON_NUMBER, StartRun};
pub use selection::{RunSelection, SelectedRuns};

/// The name of the world of a host that names no other.
pub const DEFAULT_WORLD: &str = "main";
/// The host of runs that no host of this deployment drives: their model calls come through the gateway.
pub const GATEWAY: &str = "gateway";
