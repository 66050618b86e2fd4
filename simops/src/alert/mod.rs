//! Alerts: when a figure of visitors calls for a person.
//!
//! [`rule`] is what is held against the figures, [`mod@evaluate`] holds it, [`notify`] tells whether
//! what was found is news.

pub mod evaluate;
pub mod notify;
pub mod rule;

pub use evaluate::{AlertItem, AlertLevel, Evaluation, Reason, Severity, Verdict, evaluate};
pub use notify::fingerprint;
pub use rule::{Rule, Rules};

/// What a deployment wants to be told.
#[derive(Debug, Clone, Default)]
pub struct AlertOptions {
    /// The rules.
    pub rules: Rules,
}
