//! Stop conditions: their figures, thresholds and distances. Pure.

pub(crate) mod backtest;
mod condition;
#[cfg(test)]
mod tests;

pub use backtest::{ConditionResult, Outcome};
pub use condition::Condition;
pub(crate) use condition::{Observed, POOL_PRESSURE, SpentBudget, evaluate};
