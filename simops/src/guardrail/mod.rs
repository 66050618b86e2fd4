//! Stop conditions: what each observes, its threshold, how far away it is, and the stop itself.

pub mod backtest;
pub mod condition;
mod enforce;
mod observe;

pub use condition::{Condition, NOT_ON_RECORD, Observed, evaluate};
pub use enforce::enforce;
pub use observe::Observer;
