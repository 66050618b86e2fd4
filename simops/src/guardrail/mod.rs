//! Stop conditions: what each observes, its threshold, and the distance to it.

pub mod backtest;
pub mod condition;

pub use condition::{Condition, Observed, POOL_PRESSURE, evaluate};
