//! Baselines: what a simulation looks like now, in figures that can be compared later.
//!
//! [`window`] sums the events of a stretch of time, [`votes`] finds who votes alike, [`wealth`] how
//! what is owned is spread; [`emergence`] puts them together for the latest window. [`snapshot`] is
//! what a baseline holds, [`files`] how it is kept, [`mod@compare`] what moved between two of them,
//! [`plot`] a picture. All but `files` is pure.

pub mod compare;
pub mod emergence;
pub mod files;
pub mod plot;
pub mod snapshot;
pub mod votes;
pub mod wealth;
pub mod window;

pub use compare::{Comparison, compare};
pub use emergence::Emergence;
pub use snapshot::{Baseline, BaselineResponse, FailureRate, Metrics};
pub use wealth::{Concentration, Inventories};
pub use window::WindowRow;
