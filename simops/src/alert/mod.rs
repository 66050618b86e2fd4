//! Alerts on visitor KPIs and the notifications they send.
//!
//! `rule` defines the thresholds and `evaluate` compares the rates with them. `lifecycle`
//! updates the state of an alert, `notify` decides which messages to send, and `delivery` when a
//! failed delivery is retried. [`crate::control`] combines them into one change of the control
//! state. All functions here are pure.

mod delivery;
pub(crate) mod evaluate;
pub(crate) mod lifecycle;
pub(crate) mod notify;
mod rule;
#[cfg(test)]
mod tests;

use jiff::SignedDuration;

pub use delivery::{Attempt, Delivery, DeliveryState, Outcome};
pub use evaluate::{
    AlertCounts, AlertItem, AlertLevel, Evaluation, Reason, Severity, Verdict, evaluate,
    fingerprint,
};
pub use lifecycle::{Alert, AlertState};
pub use notify::Message;
pub use rule::{Rule, Rules};

/// A configured receiver of alert messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receiver {
    /// The sink: `webhook`, `slack`, `discord`, `pagerduty` or `log`.
    pub sink: String,
    /// A hash of the receiver's address. A new address makes a new receiver.
    pub target: String,
}

/// Alert settings of a deployment.
#[derive(Debug, Clone)]
pub struct AlertOptions {
    /// The alert rules.
    pub rules: Rules,
    /// Whether the webhook sink is enabled.
    pub webhook_enabled: bool,
    /// The receivers of messages.
    pub receivers: Vec<Receiver>,
    /// The minimum time between two messages with the same fingerprint.
    pub cooldown: SignedDuration,
    /// Whether to send a message when the last critical alert is resolved.
    pub notify_resolved: bool,
}

impl Default for AlertOptions {
    fn default() -> Self {
        Self {
            rules: Rules::default(),
            webhook_enabled: false,
            receivers: Vec::new(),
            cooldown: SignedDuration::from_mins(60),
            notify_resolved: false,
        }
    }
}

/// Alerts, messages and deliveries that a change writes. Each is inserted, or replaces the record with
/// the same id.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AlertRecords {
    /// New and updated alerts.
    pub alerts: Vec<Alert>,
    /// New messages.
    pub messages: Vec<Message>,
    /// New and updated deliveries.
    pub deliveries: Vec<Delivery>,
}

impl AlertRecords {
    /// Whether there are no records.
    pub fn is_empty(&self) -> bool {
        self.alerts.is_empty() && self.messages.is_empty() && self.deliveries.is_empty()
    }
}
