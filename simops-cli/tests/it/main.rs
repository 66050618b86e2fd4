//! The real binary on databases of its own, as an operator or a script uses it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod audit;
mod backtest;
mod baseline;
mod completions;
mod config;
mod digest;
mod drills;
mod kpi;
mod ledger;
mod output;
mod progress;
mod prune;
mod run;
mod server;
mod support;
mod target;
mod usage;
mod worker;
mod writes;
