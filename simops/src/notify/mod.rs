//! Telling people: receivers of messages, and the timer that carries messages to them.
//!
//! [`AlertSink`] is one receiver; `webhook`, `chat`, `pagerduty` and `log` are those that simops brings
//! along, [`Sinks`] those of a deployment. [`Deliver`] takes what waits in the outbox to them, in the
//! process that has the duty. [`guard`] says which addresses a message may go to.

mod chat;
mod deliver;
mod dial;
pub mod guard;
mod log;
mod pagerduty;
mod setup;
mod webhook;

use async_trait::async_trait;
use jiff::Timestamp;

use crate::alert::{Message, Outcome};

pub use chat::{Discord, Slack};
pub use deliver::Deliver;
pub use dial::Dialer;
pub use guard::Guard;
pub use log::Log;
pub use pagerduty::PagerDuty;
pub use setup::{NotifyConfig, Sinks};
pub use webhook::{SigningSecret, Webhook};

/// A receiver of messages.
///
/// # Contract
/// A message may be sent more than once, always under the same id: a receiver that must not act twice
/// looks at it. Dropping a send leaves it open whether the receiver has the message.
#[async_trait]
pub trait AlertSink: Send + Sync {
    /// What kind of receiver it is, in one word.
    fn name(&self) -> &'static str;

    /// A digest of its address, without what is secret in it.
    fn target(&self) -> &str;

    /// Sends a message, at a time of `at`, within a bounded time.
    async fn send(&self, message: &Message, at: Timestamp) -> Outcome;
}
