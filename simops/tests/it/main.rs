//! Property tests of the pure layer, and the reference store's conformance.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod admission;
mod audit;
mod guardrail;
mod memory_store;
mod price;
mod run_rules;
mod settings;
