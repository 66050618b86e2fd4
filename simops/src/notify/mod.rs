//! Notifications: the receivers of messages, and the timer that delivers messages to them.
//!
//! [`AlertSink`] is the trait of a receiver; `http` and `log` implement it, and
//! [`Sinks`] holds the receivers of a deployment. [`DeliveryTimer`] delivers the messages of the outbox,
//! in the process that holds the leader lease of deliveries. `guard` decides which addresses are allowed.

mod deliver;
mod dial;
mod guard;
mod http;
mod log;
mod sinks;
#[cfg(test)]
mod tests;

use async_trait::async_trait;
use jiff::Timestamp;

use crate::alert::{Message, Outcome};

pub use deliver::DeliveryTimer;
pub use dial::Dialer;
pub use guard::Guard;
pub use http::{Format, HttpSink, PAGERDUTY_URL, SigningSecret};
pub use log::Log;
pub use sinks::Sinks;

/// A receiver of messages.
///
/// # Contract
/// A message may be sent more than once, always with the same id, by which receivers recognise
/// duplicates.
#[async_trait]
pub trait AlertSink: Send + Sync {
    /// The kind of receiver, such as `slack`.
    fn name(&self) -> &'static str;

    /// A hash of its address, which reveals no secret.
    fn target(&self) -> &str;

    /// Sends a message. `at` is the time of the attempt. Completes within a bounded time.
    ///
    /// # Cancel safety
    /// After dropping the future it is unknown whether the receiver has the message.
    async fn send(&self, message: &Message, at: Timestamp) -> Outcome;
}
