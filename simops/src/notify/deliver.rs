//! The timer that carries messages from the outbox to their receivers.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use tokio::sync::{Mutex, watch};
use tracing::{info, warn};
use uuid::Uuid;

use super::Sinks;
use crate::alert::{Delivery, DeliveryState, Message, Outcome};
use crate::jobs::Timer;
use crate::store::{FencingToken, RunStore};
use crate::{Clock, Result};

/// Deliveries looked at in one go.
const AT_ONCE: usize = 64;
/// Receivers spoken to at the same time.
const BESIDE: usize = 8;
/// How often to look when nothing calls.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// After a try that could not be kept.
const AFTER_A_RIVAL: Duration = Duration::from_secs(1);

/// Carries messages to `sinks`.
pub struct Deliver {
    store: Arc<dyn RunStore>,
    clock: Arc<dyn Clock>,
    sinks: Sinks,
    news: Mutex<watch::Receiver<u64>>,
}

impl Deliver {
    /// Carries what waits in `store`.
    pub fn new(store: Arc<dyn RunStore>, clock: Arc<dyn Clock>, sinks: Sinks) -> Self {
        let news = Mutex::new(store.watch());
        Self { store, clock, sinks, news }
    }

    /// Tries a delivery once; whether the try was kept.
    async fn try_once(
        &self,
        stamp: &FencingToken,
        delivery: &Delivery,
        message: &Message,
    ) -> Result<bool> {
        let at = self.clock.now();
        let outcome = match self.sinks.find(&delivery.sink, &delivery.target) {
            Some(sink) => sink.send(message, at).await,
            None => Outcome::NoResponse("this receiver is no longer configured".to_owned()),
        };
        let (after, attempt) = delivery.after(at, self.clock.now(), &outcome, chance());
        let (sink, delivery_id) = (&after.sink, after.id);
        match (after.state, &attempt.error) {
            (DeliveryState::Delivered, _) => {
                info!(%sink, message_id = %message.id, "an alert was delivered");
            }
            (DeliveryState::Gone, _) => warn!(
                %sink, %delivery_id,
                "the receiver is gone (410) and gets no more alerts; `simops-cli alert replay` tries again"
            ),
            (DeliveryState::Failed, error) => {
                warn!(%sink, %delivery_id, ?error, "an alert was not delivered and is given up");
            }
            (DeliveryState::Pending, error) => {
                warn!(%sink, %delivery_id, ?error, "an alert was not delivered; it is tried again");
            }
        }
        self.store.record_attempt(stamp, delivery, &after, &attempt).await
    }
}

#[async_trait]
impl Timer for Deliver {
    fn name(&self) -> &'static str {
        "deliveries"
    }

    async fn run(&self, stamp: &FencingToken) -> Result<Duration> {
        self.news.lock().await.mark_unchanged();
        loop {
            let pending = self.store.pending(AT_ONCE).await?;
            let now = self.clock.now();
            let (due, later): (Vec<_>, Vec<_>) = pending
                .into_iter()
                .partition(|(delivery, _)| delivery.next_attempt_at.is_none_or(|at| at <= now));
            if due.is_empty() {
                let next = later.first().and_then(|(delivery, _)| delivery.next_attempt_at);
                return Ok(next.map_or(LOOK_EVERY, |next| until(next, now)));
            }
            let tries = stream::iter(due).map(|(delivery, message)| async move {
                self.try_once(stamp, &delivery, &message).await
            });
            let kept: Vec<_> = tries.buffer_unordered(BESIDE).collect().await;
            let mut all_kept = true;
            for kept in kept {
                all_kept &= kept?;
            }
            if !all_kept {
                return Ok(AFTER_A_RIVAL);
            }
        }
    }

    async fn called(&self) {
        if self.news.lock().await.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

fn until(next: Timestamp, now: Timestamp) -> Duration {
    let wait = Duration::try_from(next.duration_since(now)).unwrap_or_default();
    wait.min(LOOK_EVERY)
}

/// Something between 0 and 1.
fn chance() -> f64 {
    let [.., byte] = *Uuid::now_v7().as_bytes();
    f64::from(byte) / 255.0
}
