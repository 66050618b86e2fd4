//! Properties of the run rules and of the audit chain.

mod audit;
mod run_rules;
