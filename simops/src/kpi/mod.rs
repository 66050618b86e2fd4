//! Visitor KPIs: events, the sums stored for each day, and the rates computed from them.
//!
//! [`event`] validates an incoming event. [`steps`] represents what a visitor did on a day as a set
//! of bits. [`sums`] updates the sums of a day for each bit that is newly set, so the cost of an
//! event does not depend on how many are stored. [`rollup`] computes the rates of a day, [`interval`]
//! their confidence intervals, and [`summary`] the averages they are compared with. [`recount`]
//! defines the sums by counting all events; stored sums must always equal it.

pub mod event;
mod fields;
pub mod interval;
pub mod recount;
pub mod rollup;
pub mod steps;
pub mod summary;
pub mod sums;

pub use event::{KpiEvent, MAX_BATCH, MAX_LATE_DAYS, parse, parse_one};
pub use interval::Interval;
pub use recount::{KpiDifference, KpiRecount};
pub use rollup::Rollup;
pub use steps::{Kind, Steps};
pub use summary::Summary;
pub use sums::DaySums;
