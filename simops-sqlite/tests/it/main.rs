//! The SQLite store: the conformance suite, and what only SQLite has.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod conformance;
mod disk;
mod faults;
mod kpi;
mod opening;
mod recount;
mod support;
mod versions;
mod writing;
