//! Alerts: when a figure of visitors calls for a person, and how that person is told.
//!
//! [`rule`] is what is held against the figures, [`evaluate()`] holds it, [`lifecycle`] follows an alert from
//! firing to its end, [`notify`] tells whether something is items_to_notify, [`delivery`] when a message is tried
//! again. [`crate::control::alerts`] puts them together into one change. All of it is pure.

pub mod delivery;
pub mod evaluate;
pub mod lifecycle;
pub mod notify;
pub mod rule;

use jiff::SignedDuration;

pub use delivery::{Attempt, Delivery, DeliveryState, Outcome};
pub use evaluate::{AlertItem, AlertLevel, Evaluation, Reason, Severity, Verdict, evaluate};
pub use lifecycle::{Alert, AlertState};
pub use notify::{Message, fingerprint};
pub use rule::{Rule, Rules};

/// A receiver of messages, as decisions know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receiver {
    /// The sink's name.
    pub sink: String,
    /// A digest of its address.
    pub target: String,
}

/// What a deployment wants to be told, and how.
#[derive(Debug, Clone)]
pub struct AlertOptions {
    /// The rules.
    pub rules: Rules,
    /// Whether the webhook is switched on.
    pub webhook_enabled: bool,
    /// Who is told.
    pub receivers: Vec<Receiver>,
    /// An identical payload is not told again within this.
    pub cooldown: SignedDuration,
    /// Whether to tell when nothing is critical any more.
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

/// Alerts, messages and deliveries that a change brings along: each is inserted, or replaces the one
/// of its id.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AlertRecords {
    /// Alerts.
    pub alerts: Vec<Alert>,
    /// Messages.
    pub messages: Vec<Message>,
    /// Deliveries.
    pub deliveries: Vec<Delivery>,
}

impl AlertRecords {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.alerts.is_empty() && self.messages.is_empty() && self.deliveries.is_empty()
    }
}
