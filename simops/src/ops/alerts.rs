//! Alerts, their messages and deliveries.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::records::MAX_PAGE;
use super::{Listing, Ops, SystemWriter, Writer, bounded, cursor_position};
use crate::alert::fingerprint;
use crate::alert::notify::{cooldown_elapsed, items_to_notify};
use crate::alert::{Alert, Attempt, Delivery, DeliveryState, Evaluation};
use crate::control::Write;
use crate::execute::{Intent, WritePermit, found};
use crate::jobs::Timer;
use crate::store::{FencingToken, MessageRecord};
use crate::{Error, Result};

/// How often the rules are evaluated when no event arrives.
const EVALUATE_EVERY: Duration = Duration::from_secs(15);
/// How long to wait for further events before an evaluation.
const GATHER: Duration = Duration::from_millis(500);
/// The longest silence, in minutes: 30 days.
pub(super) const MAX_SILENCE: i64 = 30 * 24 * 60;

/// `GET kpi/deliveries/{id}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DeliveryResponse {
    /// The delivery.
    pub delivery: Delivery,
    /// Its attempts, oldest first.
    pub attempts: Vec<Attempt>,
}

/// Response of acknowledge and silence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AlertChanged {
    /// Always true.
    pub ok: bool,
    /// The alert.
    pub alert_id: Uuid,
    /// The end of the silence; null when it is not silenced.
    pub silenced_until: Option<Timestamp>,
}

/// Response of a replay.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Replayed {
    /// Always true.
    pub ok: bool,
    /// The delivery, which is queued.
    pub delivery_id: Uuid,
}

/// `POST kpi/alerts/{id}/silence`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct SilenceAlert {
    /// Minutes of silence, 1 to 43200.
    pub minutes: Option<i64>,
    /// End of the silence, instead of `minutes`. Without both, or with a past time, the silence ends.
    pub until: Option<String>,
    /// The reason, for the audit trail.
    pub reason: Option<String>,
}

/// Whether messages about the critical alerts of now are sent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AlertNotification {
    /// Whether a receiver is configured.
    pub enabled: bool,
    /// Whether a delivery was attempted.
    pub attempted: bool,
    /// Whether a receiver has accepted it.
    pub sent: bool,
    /// Why nothing is being sent: `disabled`, `missing_webhook_url`, `no_critical_alerts`,
    /// `acknowledged_or_silenced`, `cooldown_active`, `http_error`; `pending` before the first attempt.
    pub reason: Option<String>,
    /// The message.
    pub message_id: Option<Uuid>,
    /// When the message was created.
    pub decided_at: Option<Timestamp>,
    /// An identical payload is sent again only after this time.
    pub cooldown_until: Option<Timestamp>,
    /// Its deliveries.
    pub deliveries: Vec<Delivery>,
}

impl SystemWriter<'_> {
    /// Evaluates the alert rules: stores alerts that fire or are resolved, with their messages. Any
    /// number of processes may do so at once.
    pub async fn evaluate_alerts(self) -> Result<()> {
        let intent = Intent::EvaluateAlerts(Arc::new(self.ops.options.alerts.clone()));
        self.ops.executor.execute(&WritePermit::system("alerts"), &intent, |_, _| ()).await
    }
}

impl Writer<'_> {
    /// Acknowledges an alert: no further message is sent unless it gets worse.
    ///
    /// # Errors
    /// Returns `Forbidden` when the gate is closed, `NotFound` for an unknown alert, and `Conflict`
    /// for one that is resolved.
    pub async fn acknowledge_alert(&self, id: &str, reason: Option<&str>) -> Result<AlertChanged> {
        let permit = self.permit_for(Write::AcknowledgeAlert, reason)?;
        let alert_id = self.ops.alert(id).await?.id;
        let answer = AlertChanged { ok: true, alert_id, silenced_until: None };
        let intent = Intent::AcknowledgeAlert(alert_id);
        self.ops.executor.execute(&permit, &intent, |_, _| answer.clone()).await
    }

    /// Silences an alert until a time, or ends its silence.
    ///
    /// # Errors
    /// As [`Writer::acknowledge_alert`]; `Invalid` for a time that cannot be read or is too late.
    pub async fn silence_alert(&self, id: &str, silence: &SilenceAlert) -> Result<AlertChanged> {
        let permit = self.permit_for(Write::SilenceAlert, silence.reason.as_deref())?;
        let silenced_until = until(silence, self.ops.clock.now())?;
        let alert_id = self.ops.alert(id).await?.id;
        let answer = AlertChanged { ok: true, alert_id, silenced_until };
        let intent = Intent::SilenceAlert(alert_id, silenced_until);
        self.ops.executor.execute(&permit, &intent, |_, _| answer.clone()).await
    }

    /// Sends a message again under the same id, whatever the state of its delivery.
    ///
    /// # Errors
    /// Returns `Forbidden` when the gate is closed, `NotFound` for an unknown delivery, and
    /// `Conflict` for one that is already queued.
    pub async fn replay_delivery(&self, id: &str, reason: Option<&str>) -> Result<Replayed> {
        let permit = self.permit_for(Write::ReplayDelivery, reason)?;
        let delivery_id = self.ops.delivery(id).await?.delivery.id;
        let answer = Replayed { ok: true, delivery_id };
        let intent = Intent::ReplayDelivery(delivery_id);
        self.ops.executor.execute(&permit, &intent, |_, _| answer.clone()).await
    }
}

impl Ops {
    /// A page of the alerts, most recently fired first.
    ///
    /// # Errors
    /// Returns `Invalid` for a limit outside 1 to 500 and for a malformed cursor.
    pub async fn alerts(&self, cursor: Option<&str>, limit: i64) -> Result<Listing<Alert>> {
        let limit = bounded("limit", limit, MAX_PAGE)?;
        self.store.alerts(cursor_position(cursor)?, limit).await.map(Listing::from)
    }

    /// The newest alert of each rate.
    pub async fn newest_alerts(&self) -> Result<Vec<Alert>> {
        self.store.newest_alerts().await
    }

    /// One alert.
    ///
    /// # Errors
    /// Returns `NotFound` for an unknown id.
    pub async fn alert(&self, id: &str) -> Result<Alert> {
        let alert = match id.parse() {
            Ok(id) => self.store.alert(id).await?,
            Err(_) => None,
        };
        found("alert", id, alert)
    }

    /// A page of the messages, newest first, with their deliveries.
    ///
    /// # Errors
    /// Returns `Invalid` for a limit outside 1 to 500 and for a malformed cursor.
    pub async fn messages(
        &self,
        cursor: Option<&str>,
        limit: i64,
    ) -> Result<Listing<MessageRecord>> {
        let limit = bounded("limit", limit, MAX_PAGE)?;
        self.store.messages(cursor_position(cursor)?, limit).await.map(Listing::from)
    }

    /// One delivery with its attempts.
    ///
    /// # Errors
    /// Returns `NotFound` for an unknown id.
    pub async fn delivery(&self, id: &str) -> Result<DeliveryResponse> {
        let delivery = match id.parse() {
            Ok(id) => self.store.delivery_with_attempts(id).await?,
            Err(_) => None,
        };
        let (delivery, attempts) = found("delivery", id, delivery)?;
        Ok(DeliveryResponse { delivery, attempts })
    }

    /// Whether messages about the alerts of `evaluation` are sent.
    pub(super) async fn notification(
        &self,
        evaluation: &Evaluation,
        now: Timestamp,
    ) -> Result<AlertNotification> {
        let options = &self.options.alerts;
        let items = items_to_notify(evaluation, &self.store.newest_alerts().await?, now);
        let silent_reason = if options.receivers.is_empty() && options.webhook_enabled {
            Some("missing_webhook_url")
        } else if options.receivers.is_empty() {
            Some("disabled")
        } else if evaluation.counts.critical == 0 {
            Some("no_critical_alerts")
        } else if items.is_empty() {
            Some("acknowledged_or_silenced")
        } else {
            None
        };
        let notification = |reason: &str| AlertNotification {
            enabled: options.webhook_enabled || !options.receivers.is_empty(),
            reason: Some(reason.to_owned()),
            ..AlertNotification::default()
        };
        if let Some(reason) = silent_reason {
            return Ok(notification(reason));
        }
        let Some(sent) = self.store.last_message(&fingerprint(&items)).await? else {
            return Ok(notification("pending"));
        };
        let decided_at = sent.message.created_at;
        if cooldown_elapsed(Some(decided_at), now, options.cooldown) {
            return Ok(notification("pending"));
        }
        let any = |state| sent.deliveries.iter().any(|delivery| delivery.state == state);
        let attempted = sent.deliveries.iter().any(|delivery| delivery.attempts > 0);
        let is_sent = any(DeliveryState::Delivered);
        let reason = match (is_sent, attempted) {
            (true, _) => "cooldown_active",
            (false, true) => "http_error",
            (false, false) if any(DeliveryState::Gone) => "http_error",
            (false, false) => "pending",
        };
        Ok(AlertNotification {
            attempted,
            sent: is_sent,
            message_id: Some(sent.message.id),
            decided_at: Some(decided_at),
            cooldown_until: decided_at.checked_add(options.cooldown).ok(),
            deliveries: sent.deliveries,
            ..notification(reason)
        })
    }
}

fn until(silence: &SilenceAlert, now: Timestamp) -> Result<Option<Timestamp>> {
    let until =
        match (silence.minutes, &silence.until) {
            (Some(_), Some(_)) => {
                return Err(Error::invalid("until", "must not be given together with minutes"));
            }
            (Some(minutes), None) => {
                bounded("minutes", minutes, MAX_SILENCE)?;
                now.checked_add(SignedDuration::from_mins(minutes)).ok()
            }
            (None, Some(text)) => Some(text.trim().parse().map_err(|_| {
                Error::invalid("until", "must be a time such as 2026-01-31T12:00:00Z")
            })?),
            (None, None) => None,
        };
    let until = until.filter(|until| *until > now);
    if until.is_some_and(|until| until.duration_since(now) > SignedDuration::from_mins(MAX_SILENCE))
    {
        return Err(Error::invalid("until", "must be at most 30 days from now"));
    }
    Ok(until.map(crate::clock::truncate_to_micros))
}

/// The job that evaluates the alert rules: every 15 s, and shortly after events are recorded.
pub struct EvaluateAlerts(pub Arc<Ops>);

#[async_trait]
impl Timer for EvaluateAlerts {
    fn name(&self) -> &'static str {
        "alerts"
    }

    async fn run(&self, _: &FencingToken) -> Result<Duration> {
        self.0.system().evaluate_alerts().await.map(|()| EVALUATE_EVERY)
    }

    async fn triggered(&self) {
        self.0.kpi_recorded.notified().await;
        tokio::time::sleep(GATHER).await;
    }
}
