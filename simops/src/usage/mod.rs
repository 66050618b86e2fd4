//! Model calls and what they cost.
//!
//! A call is reserved as a `lease` if the day's caps and the `budget`s admit it (`admission`), made,
//! and settled as a `row` of the ledger, which is the source of truth. `ledger` holds the rules,
//! `counter` the interface, and `epoch` says which backend counts. `expiry` ends leases whose holders
//! died. `money` is exact, the `price` book says what a call costs, `totals` sums days and runs,
//! `series` sums calls over time, and `forecast` estimates when a day's caps will be reached.

pub(crate) mod admission;
mod assemble;
pub(crate) mod budget;
pub(crate) mod budget_spec;
mod budget_store;
mod counter;
mod day_budget;
pub(crate) mod epoch;
pub(crate) mod expiry;
pub(crate) mod forecast;
pub(crate) mod lease;
pub(crate) mod ledger;
pub(crate) mod money;
mod price;
pub(crate) mod recount;
#[cfg(feature = "redis")]
mod redis;
mod row;
pub(crate) mod series;
mod tally;
#[cfg(test)]
mod tests;
#[cfg(feature = "redis")]
mod tiered;
pub(crate) mod totals;

pub use admission::{Admission, Cap, Caps, DayUse, Line, Measure, Refused, admit};
pub use assemble::counter as open_counter;
pub use budget::{
    Amounts, Budget, BudgetChange, BudgetScope, BudgetUnit, BudgetUse, BudgetWindow, Budgets,
    CallFacts, KnownBudgets, UseKey,
};
pub use budget_store::BudgetStore;
pub use counter::{CounterStatus, CountingStore, UsageCounter};
pub use day_budget::DayBudget;
pub use epoch::{Allotment, CounterBackend, CounterClient, CounterEpoch, CounterEpochStore};
pub use expiry::keep_expiring;
pub use forecast::Forecast;
pub use lease::Lease;
pub use ledger::{Changes, Footprint, LedgerBatch, Loaded, Op, Outcome};
pub use money::NanoUsd;
pub use price::{Price, PriceBook, Quote, Tokens, UnpricedPolicy};
pub use recount::{
    CallSums, Difference, LedgerBasis, LedgerPiece, LedgerScan, Pair, Recount, UsageCorrection,
};
pub use row::UsageRow;
pub use series::{Bucket, Series};
pub use tally::{CallClass, CallTally};
#[cfg(feature = "redis")]
pub use tiered::TieredCounter;
pub use totals::{CallTotals, DayTotals};
