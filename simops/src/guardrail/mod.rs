//! Stop conditions: what each observes, its threshold, and the distance to it.

pub mod backtest;
pub mod condition;

pub use condition::{Condition, NOT_ON_RECORD, Observed, evaluate};
