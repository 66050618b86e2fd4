//! Visitor KPIs: events, the sums stored for each day, and the rates computed from them.
//!
//! `event` validates an incoming event. `steps` represents what a visitor did on a day as a set
//! of bits. `sums` updates the sums of a day for each bit that is newly set, so the cost of an
//! event does not depend on how many are stored. `rollup` computes the rates of a day, `interval`
//! their confidence intervals, and `summary` the averages they are compared with. `recount`
//! defines the sums by counting all events; stored sums must always equal it.

pub(crate) mod event;
mod fields;
mod interval;
pub(crate) mod recount;
pub(crate) mod rollup;
mod steps;
pub(crate) mod summary;
pub(crate) mod sums;
#[cfg(test)]
mod tests;

pub use event::{KpiEvent, MAX_BATCH, MAX_LATE_DAYS, parse, parse_one};
pub use interval::Interval;
pub use recount::{CountedSteps, KpiDifference, KpiRecount, LoggedVisit, VisitorSteps, WrongSteps};
pub use rollup::{Rate, Rollup};
pub use steps::{Kind, Steps};
pub use summary::{Days, Summary};
pub use sums::DaySums;
