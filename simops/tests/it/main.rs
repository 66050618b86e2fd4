//! The public face of the library, and the conformance of the reference store.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod digest;
mod idempotency;
mod llm_setup;
mod memory_store;
mod priority;
mod reset;
mod run_metadata;
mod selection;
