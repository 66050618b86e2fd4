//! Alerts, the messages that tell them, and the deliveries of those: the outbox. They are written by
//! [`super::ControlStore::commit`], so that an alert, its audit row and its message are one.

use async_trait::async_trait;
use uuid::Uuid;

use super::{FencingToken, Page};
use crate::Result;
use crate::alert::{Alert, Attempt, Delivery, Message};

/// A message and what became of it.
#[derive(Debug, Clone, PartialEq)]
pub struct MessageRecord {
    /// The message.
    pub message: Message,
    /// Its deliveries, by sink.
    pub deliveries: Vec<Delivery>,
}

/// Alerts and the outbox.
#[async_trait]
pub trait AlertStore: Send + Sync {
    /// The alert of each rate that fired last, resolved or not, by rate.
    async fn newest_alerts(&self) -> Result<Vec<Alert>>;

    /// One alert.
    async fn alert(&self, id: Uuid) -> Result<Option<Alert>>;

    /// Alerts, last fired first; those before the place `before`, if given. An alert that changes
    /// keeps its place.
    async fn alerts(&self, before: Option<i64>, limit: usize) -> Result<Page<Alert>>;

    /// The newest message of a fingerprint, with its deliveries.
    async fn last_message(&self, fingerprint: &str) -> Result<Option<MessageRecord>>;

    /// Messages, newest first; those before the place `before`, if given.
    async fn messages(&self, before: Option<i64>, limit: usize) -> Result<Page<MessageRecord>>;

    /// One delivery.
    async fn delivery(&self, id: Uuid) -> Result<Option<Delivery>>;

    /// The delivery to a receiver that was tried last; `None` before the first try.
    async fn last_attempted(&self, sink: &str, target: &str) -> Result<Option<Delivery>>;

    /// Pending deliveries and their messages by when they are due, those that are due at once first;
    /// at most `limit`.
    async fn pending(&self, limit: usize) -> Result<Vec<(Delivery, Message)>>;

    /// Replaces a delivery by what a try made of it, and keeps the try; whether it did. Nothing
    /// changes when the delivery is another than `before` by now, or the lease that
    /// `token` names has another holder. Moves the watched revision.
    async fn record_attempt(
        &self,
        token: &FencingToken,
        before: &Delivery,
        after: &Delivery,
        attempt: &Attempt,
    ) -> Result<bool>;

    /// The tries of a delivery, in their order.
    async fn attempts(&self, delivery_id: Uuid) -> Result<Vec<Attempt>>;
}
