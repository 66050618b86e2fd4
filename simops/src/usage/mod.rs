//! Model calls and what they cost: the [`ledger`] row, exact [`money`], the [`price`] book, the day's [`budget`].

pub mod budget;
pub mod ledger;
pub mod money;
pub mod price;

pub use budget::{Budget, DayTotals};
pub use ledger::UsageRow;
pub use money::NanoUsd;
pub use price::{Price, PriceBook, Quote, Tokens, UnpricedPolicy};
