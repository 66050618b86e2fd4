//! Storage of alerts, messages and deliveries. [`super::ControlStore::commit`] writes them, so that an
//! alert, its audit row and its message are one transaction.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{FencingToken, Page};
use crate::Result;
use crate::alert::{Alert, Attempt, Delivery, Message};

/// A message with its deliveries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MessageRecord {
    /// The message.
    #[serde(flatten)]
    pub message: Message,
    /// Its deliveries, ordered by sink.
    pub deliveries: Vec<Delivery>,
}

/// Alerts, messages and their deliveries.
#[async_trait]
pub trait AlertStore: Send + Sync {
    /// The most recently fired alert of each rate, resolved or not, ordered by rate.
    async fn newest_alerts(&self) -> Result<Vec<Alert>>;

    /// The alert with this id.
    async fn alert(&self, id: Uuid) -> Result<Option<Alert>>;

    /// Lists alerts, most recently fired first. `before` is the cursor of an earlier page. An update
    /// does not change the position of an alert.
    async fn alerts(&self, before: Option<i64>, limit: usize) -> Result<Page<Alert>>;

    /// The latest message with a fingerprint.
    async fn last_message(&self, fingerprint: &str) -> Result<Option<MessageRecord>>;

    /// Lists messages, newest first. `before` is the cursor of an earlier page.
    async fn messages(&self, before: Option<i64>, limit: usize) -> Result<Page<MessageRecord>>;

    /// The delivery with this id.
    async fn delivery(&self, id: Uuid) -> Result<Option<Delivery>>;

    /// The delivery to a receiver with the latest attempt; `None` if none was attempted.
    async fn last_attempted(&self, sink: &str, target: &str) -> Result<Option<Delivery>>;

    /// Pending deliveries and their messages, earliest due first, at most `limit`.
    async fn pending(&self, limit: usize) -> Result<Vec<(Delivery, Message)>>;

    /// Replaces a delivery with its state after an attempt and logs the attempt. Returns false, and
    /// changes nothing, if the stored delivery differs from `before` or `token` belongs to a former
    /// holder of the lease. Advances the watched revision.
    async fn record_attempt(
        &self,
        token: &FencingToken,
        before: &Delivery,
        after: &Delivery,
        attempt: &Attempt,
    ) -> Result<bool>;

    /// The delivery with this id and its attempts, oldest first, as of one moment.
    async fn delivery_with_attempts(&self, id: Uuid) -> Result<Option<(Delivery, Vec<Attempt>)>>;
}
