//! The timer that delivers messages from the outbox to their receivers.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use tokio::sync::{Mutex, watch};
use tracing::{info, warn};

use super::Sinks;
use crate::alert::{Delivery, DeliveryState, Message, Outcome};
use crate::jobs::Timer;
use crate::number::random_fraction;
use crate::store::{FencingToken, RunStore};
use crate::{Clock, Result};

/// The most deliveries that are read at once.
const BATCH_SIZE: usize = 64;
/// The most concurrent attempts.
const MAX_CONCURRENT: usize = 8;
/// How often the outbox is read if no change is signalled.
const POLL_INTERVAL: Duration = Duration::from_secs(30);
/// The delay after an attempt that lost a race with another process.
const CONFLICT_DELAY: Duration = Duration::from_secs(1);

/// Delivers the messages of the outbox.
pub struct DeliveryTimer {
    store: Arc<dyn RunStore>,
    clock: Arc<dyn Clock>,
    sinks: Sinks,
    revision: Mutex<watch::Receiver<u64>>,
}

impl DeliveryTimer {
    /// A timer that delivers the outbox of `store` to `sinks`.
    pub fn new(store: Arc<dyn RunStore>, clock: Arc<dyn Clock>, sinks: Sinks) -> Self {
        let revision = Mutex::new(store.watch());
        Self { store, clock, sinks, revision }
    }

    /// Attempts a delivery once. Returns false if the attempt was not recorded, because another process
    /// changed the delivery or this process no longer leads.
    async fn attempt(
        &self,
        token: &FencingToken,
        delivery: &Delivery,
        message: &Message,
    ) -> Result<bool> {
        let at = self.clock.now();
        let outcome = match self.sinks.find(&delivery.sink, &delivery.target) {
            Some(sink) => sink.send(message, at).await,
            None => Outcome::NoResponse("this receiver is no longer configured".to_owned()),
        };
        let (after, attempt) = delivery.after(at, self.clock.now(), &outcome, random_fraction());
        let (sink, delivery_id) = (&after.sink, after.id);
        match (after.state, &attempt.error) {
            (DeliveryState::Delivered, _) => {
                info!(%sink, message_id = %message.id, "alert delivered");
            }
            (DeliveryState::Gone, _) => warn!(
                code = "alert_receiver_gone", %sink, %delivery_id,
                "receiver is gone (410); no more alerts are sent until `simops-cli alert replay`"
            ),
            (DeliveryState::Failed, error) => {
                warn!(code = "alert_delivery_failed", %sink, %delivery_id, ?error, "alert delivery failed; no retries left");
            }
            (DeliveryState::Pending, error) => {
                warn!(code = "alert_delivery_retrying", %sink, %delivery_id, ?error, "alert delivery failed; retrying");
            }
        }
        self.store.record_attempt(token, delivery, &after, &attempt).await
    }
}

#[async_trait]
impl Timer for DeliveryTimer {
    fn name(&self) -> &'static str {
        "deliveries"
    }

    async fn run(&self, token: &FencingToken) -> Result<Duration> {
        self.revision.lock().await.mark_unchanged();
        loop {
            let pending = self.store.pending(BATCH_SIZE).await?;
            let now = self.clock.now();
            let (due, later): (Vec<_>, Vec<_>) = pending
                .into_iter()
                .partition(|(delivery, _)| delivery.next_attempt_at.is_none_or(|at| at <= now));
            if due.is_empty() {
                let next = later.first().and_then(|(delivery, _)| delivery.next_attempt_at);
                let Some(next) = next else { return Ok(POLL_INTERVAL) };
                let wait = Duration::try_from(next.duration_since(now)).unwrap_or_default();
                return Ok(wait.min(POLL_INTERVAL));
            }
            let attempts = stream::iter(due).map(|(delivery, message)| async move {
                self.attempt(token, &delivery, &message).await
            });
            let recorded: Vec<_> = attempts.buffer_unordered(MAX_CONCURRENT).collect().await;
            let mut all_recorded = true;
            for recorded in recorded {
                all_recorded &= recorded?;
            }
            if !all_recorded {
                return Ok(CONFLICT_DELAY);
            }
        }
    }

    async fn triggered(&self) {
        if self.revision.lock().await.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
