//! Runs: what describes one ([`metadata`]) and which descriptions are allowed ([`rules`]).

pub mod metadata;
pub mod rules;

pub use metadata::{EndedBy, RunClass, RunMode, RunRecord};
pub use rules::StartRun;
