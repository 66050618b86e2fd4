//! The Postgres store: the conformance suite, and what only Postgres has.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod conformance;
mod ledger;
mod opening;
mod parity;
mod partitions;
mod plans;
mod pool;
mod recount;
mod support;
mod turns;
mod versions;
mod watching;
