//! Model calls and what they cost.
//!
//! A call is reserved ([`lease`]) against the day's caps ([`admission`]), made, and settled as a row
//! of the [`ledger`], which is the truth; a [`counter`] does the first and the last. What is
//! never heard of again ends by [`expiry`]. [`money`] is exact, the [`price`] book says what a call
//! costs, [`budget`] is what a day looks like, [`series`] what an hour does, and [`forecast`] when the
//! day's caps will be reached.

pub mod admission;
pub mod assemble;
pub mod budget;
pub mod counter;
pub mod expiry;
pub mod fence;
pub mod forecast;
pub mod lease;
pub mod ledger;
pub mod money;
pub mod price;
pub mod recount;
#[cfg(feature = "redis")]
mod redis;
pub mod series;
mod tally;
#[cfg(feature = "redis")]
pub mod tiered;

pub use admission::{Admission, Caps, DayUse, Refused, admit};
pub use assemble::counter as open_counter;
pub use budget::{Budget, DayTotals};
pub use counter::{Counter, UsageCounter};
pub use fence::{CountedIn, CountingStore, Fence, FenceStore, Member};
pub use lease::Lease;
pub use ledger::UsageRow;
pub use money::NanoUsd;
pub use price::{Price, PriceBook, Quote, Tokens, UnpricedPolicy};
pub use tally::{CallClass, CallTally};
