//! Property tests of the pure layer, and the reference store's conformance.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod admission;
mod alerts;
mod audit;
mod backtest;
mod baseline;
mod digest;
mod forecast;
mod guardrail;
mod guardrail_stop;
mod kpi;
mod llm_books;
mod llm_http;
mod llm_peer;
mod llm_pure;
mod llm_router;
mod llm_scene;
mod llm_setup;
mod memory_store;
mod price;
mod report;
mod reset;
mod run_metadata;
mod run_rules;
mod settings;
mod timers;
mod writes;
