//! Model calls and what they cost: the [`ledger`] row, exact [`money`], the day's [`budget`].

pub mod budget;
pub mod ledger;
pub mod money;

pub use budget::{Budget, DayTotals};
pub use ledger::UsageRow;
pub use money::NanoUsd;
