//! Model calls and what they cost.
//!
//! A call is reserved as a [`lease`] if the day's caps admit it ([`admission`]), made, and settled as
//! a [`row`] of the ledger, which is the source of truth. [`ledger`] holds the rules, [`counter`] the
//! interface, and [`epoch`] says which backend counts. [`expiry`] ends leases whose holders died.
//! [`money`] is exact, the [`price`] book says what a call costs, [`budget`] sums days and runs,
//! [`series`] sums calls over time, and [`forecast`] estimates when a day's caps will be reached.

pub mod admission;
pub mod assemble;
pub mod budget;
pub mod counter;
pub mod epoch;
pub mod expiry;
pub mod forecast;
pub mod lease;
pub mod ledger;
pub mod money;
pub mod price;
pub mod recount;
#[cfg(feature = "redis")]
mod redis;
pub mod row;
pub mod series;
mod tally;
#[cfg(feature = "redis")]
pub mod tiered;

pub use admission::{Admission, Cap, Caps, DayUse, Measure, Refused, Scope, admit};
pub use assemble::counter as open_counter;
pub use budget::{Budget, DayTotals};
pub use counter::{CounterStatus, UsageCounter};
pub use epoch::{CounterBackend, CounterClient, CounterEpoch, CounterEpochStore, CountingStore};
pub use lease::Lease;
pub use ledger::{Changes, Footprint, LedgerBatch, Loaded, Op, Outcome};
pub use money::NanoUsd;
pub use price::{Price, PriceBook, Quote, Tokens, UnpricedPolicy};
pub use row::UsageRow;
pub use tally::{CallClass, CallTally};
