//! What visitors do: events, the sums kept of each day, and what is shown of them.
//!
//! An event is checked ([`event`]), folded into step bits per visitor and day ([`steps`]), and its
//! newly set bits move the day's sums ([`sums`]), so that an event costs the same however many
//! there are. [`rollup`] makes the rates of a day of its sums, [`summary`] what they are compared
//! with, [`interval`] how sure they are. [`recount`] is the plain definition that the kept sums must
//! equal at all times.

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
