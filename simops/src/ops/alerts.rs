//! Alerts: evaluating, knowing of them, and what became of the messages.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::records::MAX_PAGE;
use super::{Caller, Ops, bounded, place};
use crate::alert::notify::{cooldown_elapsed, fingerprint, items_to_notify};
use crate::alert::{Alert, Attempt, Delivery, DeliveryState, Evaluation, Message};
use crate::execute::Intent;
use crate::jobs::Timer;
use crate::run::rules::check_reason;
use crate::store::{FencingToken, MessageRecord};
use crate::{Error, Result};

/// How often the rules are held against the days when nothing calls.
const EVALUATE_EVERY: Duration = Duration::from_secs(15);
/// Events that follow each other faster are looked at together.
const GATHER: Duration = Duration::from_millis(500);
/// The longest silence, in minutes: 30 days.
const MAX_SILENCE: i64 = 30 * 24 * 60;

/// `GET kpi/alerts`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AlertsResponse {
    /// The alerts, last fired first.
    pub items: Vec<Alert>,
    /// Pass it as `cursor` for those before; null at the end.
    pub next_cursor: Option<String>,
}

/// A message and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SentMessage {
    /// The message.
    #[serde(flatten)]
    pub message: Message,
    /// Its deliveries, by receiver.
    pub deliveries: Vec<Delivery>,
}

/// `GET kpi/notifications`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MessagesResponse {
    /// The messages, newest first.
    pub items: Vec<SentMessage>,
    /// Pass it as `cursor` for those before; null at the end.
    pub next_cursor: Option<String>,
}

/// `GET kpi/deliveries/{id}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DeliveryResponse {
    /// The delivery.
    pub delivery: Delivery,
    /// Its tries, in their order.
    pub attempts: Vec<Attempt>,
}

/// The answer to an acknowledgement, a silence, or its end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AlertChanged {
    /// Always true.
    pub ok: bool,
    /// The alert.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub alert_id: Uuid,
    /// Until when nobody is told of it; null after an acknowledgement or the end of a silence.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub silenced_until: Option<Timestamp>,
}

/// The answer to a replay.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Replayed {
    /// Always true.
    pub ok: bool,
    /// The delivery, which is about to be tried.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub delivery_id: Uuid,
}

/// `POST kpi/alerts/{id}/silence`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct SilenceAlert {
    /// For so many minutes, 1 to 43200; or
    pub minutes: Option<i64>,
    /// until this time; neither or a time gone by ends a silence.
    pub until: Option<String>,
    /// Why.
    pub reason: Option<String>,
}

/// Whether people are told of what is critical now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AlertNotification {
    /// Whether anybody is to be told at all.
    pub enabled: bool,
    /// Whether it was tried.
    pub attempted: bool,
    /// Whether a receiver has accepted it.
    pub sent: bool,
    /// Why nothing is being sent: `disabled`, `missing_webhook_url`, `no_critical_alerts`,
    /// `acknowledged_or_silenced`, `cooldown_active`, `http_error`; `pending` before the first try.
    pub reason: Option<String>,
    /// The message.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub message_id: Option<Uuid>,
    /// When it was decided.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub decided_at: Option<Timestamp>,
    /// An identical payload is told again after this.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub cooldown_until: Option<Timestamp>,
    /// Its deliveries.
    pub deliveries: Vec<Delivery>,
}

impl Ops {
    /// Holds the rules against the days, and makes true what follows: alerts that fire or are
    /// resolved, and messages that tell it. Any number of processes may do so at once.
    ///
    /// # Errors
    /// Of the store.
    pub async fn evaluate_alerts(&self) -> Result<()> {
        let intent = Intent::EvaluateAlerts(Arc::new(self.options.alerts.clone()));
        self.executor.execute(&Caller::system("alerts"), &intent, |_, _| ()).await
    }

    /// A page of the alerts.
    ///
    /// # Errors
    /// `Invalid` for a limit outside 1 to 500 or a cursor that is none.
    pub async fn alerts(&self, cursor: Option<&str>, limit: i64) -> Result<AlertsResponse> {
        let page = self.store.alerts(place(cursor)?, bounded("limit", limit, MAX_PAGE)?).await?;
        Ok(AlertsResponse {
            items: page.items,
            next_cursor: page.next.map(|next| next.to_string()),
        })
    }

    /// The alert of each rate that fired last.
    ///
    /// # Errors
    /// Of the store.
    pub async fn newest_alerts(&self) -> Result<Vec<Alert>> {
        self.store.newest_alerts().await
    }

    /// One alert.
    ///
    /// # Errors
    /// `NotFound` for an unknown one.
    pub async fn alert(&self, id: &str) -> Result<Alert> {
        let unknown = || Error::not_found(format!("there is no alert {id}"));
        let known = match id.parse() {
            Ok(id) => self.store.alert(id).await?,
            Err(_) => None,
        };
        known.ok_or_else(unknown)
    }

    /// Says that somebody knows of an alert: it is not told again unless it gets worse.
    ///
    /// # Errors
    /// `NotFound` for an unknown one, `Conflict` for one that is resolved.
    pub async fn acknowledge_alert(
        &self,
        caller: &Caller,
        id: &str,
        reason: Option<&str>,
    ) -> Result<AlertChanged> {
        let caller = Caller { reason: check_reason(reason)?, ..caller.clone() };
        let alert_id = self.alert(id).await?.id;
        let answer = AlertChanged { ok: true, alert_id, silenced_until: None };
        let intent = Intent::AcknowledgeAlert(alert_id);
        self.executor.execute(&caller, &intent, |_, _| answer.clone()).await
    }

    /// Has nobody told of an alert for a while, or ends that.
    ///
    /// # Errors
    /// As [`Ops::acknowledge_alert`]; `Invalid` for a time that is none or too far.
    pub async fn silence_alert(
        &self,
        caller: &Caller,
        id: &str,
        silence: &SilenceAlert,
    ) -> Result<AlertChanged> {
        let caller = Caller { reason: check_reason(silence.reason.as_deref())?, ..caller.clone() };
        let silenced_until = until(silence, self.clock.now())?;
        let alert_id = self.alert(id).await?.id;
        let answer = AlertChanged { ok: true, alert_id, silenced_until };
        let intent = Intent::SilenceAlert(alert_id, silenced_until);
        self.executor.execute(&caller, &intent, |_, _| answer.clone()).await
    }

    /// A page of the messages, each with what became of it.
    ///
    /// # Errors
    /// `Invalid` for a limit outside 1 to 500 or a cursor that is none.
    pub async fn messages(&self, cursor: Option<&str>, limit: i64) -> Result<MessagesResponse> {
        let limit = bounded("limit", limit, MAX_PAGE)?;
        let page = self.store.messages(place(cursor)?, limit).await?;
        let shown = |sent: MessageRecord| SentMessage {
            message: sent.message,
            deliveries: sent.deliveries,
        };
        Ok(MessagesResponse {
            items: page.items.into_iter().map(shown).collect(),
            next_cursor: page.next.map(|next| next.to_string()),
        })
    }

    /// One delivery with its tries.
    ///
    /// # Errors
    /// `NotFound` for an unknown one.
    pub async fn delivery(&self, id: &str) -> Result<DeliveryResponse> {
        let unknown = || Error::not_found(format!("there is no delivery {id}"));
        let id = id.parse().map_err(|_| unknown())?;
        let delivery = self.store.delivery(id).await?.ok_or_else(unknown)?;
        let attempts = self.store.attempts(id).await?;
        Ok(DeliveryResponse { delivery, attempts })
    }

    /// Has a delivery tried again, whatever became of it, under the same id.
    ///
    /// # Errors
    /// `NotFound` for an unknown one, `Conflict` for one that is about to be tried.
    pub async fn replay_delivery(
        &self,
        caller: &Caller,
        id: &str,
        reason: Option<&str>,
    ) -> Result<Replayed> {
        let caller = Caller { reason: check_reason(reason)?, ..caller.clone() };
        let delivery_id = self.delivery(id).await?.delivery.id;
        let answer = Replayed { ok: true, delivery_id };
        let intent = Intent::ReplayDelivery(delivery_id);
        self.executor.execute(&caller, &intent, |_, _| answer.clone()).await
    }

    /// Whether people are told of what `evaluation` found.
    pub(super) async fn notification(
        &self,
        evaluation: &Evaluation,
        now: Timestamp,
    ) -> Result<AlertNotification> {
        let options = &self.options.alerts;
        let told = items_to_notify(evaluation, &self.store.newest_alerts().await?, now);
        let quiet = if options.receivers.is_empty() && options.webhook_enabled {
            Some("missing_webhook_url")
        } else if options.receivers.is_empty() {
            Some("disabled")
        } else if evaluation.counts.critical == 0 {
            Some("no_critical_alerts")
        } else if told.is_empty() {
            Some("acknowledged_or_silenced")
        } else {
            None
        };
        let mut notification = AlertNotification {
            enabled: options.webhook_enabled || !options.receivers.is_empty(),
            attempted: false,
            sent: false,
            reason: quiet.map(str::to_owned),
            message_id: None,
            decided_at: None,
            cooldown_until: None,
            deliveries: Vec::new(),
        };
        if quiet.is_some() {
            return Ok(notification);
        }
        notification.reason = Some("pending".to_owned());
        let Some(sent) = self.store.last_message(&fingerprint(&told)).await? else {
            return Ok(notification);
        };
        let decided_at = sent.message.created_at;
        if cooldown_elapsed(Some(decided_at), now, options.cooldown) {
            return Ok(notification);
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
        notification.attempted = attempted;
        notification.sent = is_sent;
        notification.reason = Some(reason.to_owned());
        notification.message_id = Some(sent.message.id);
        notification.decided_at = Some(decided_at);
        notification.cooldown_until = decided_at.checked_add(options.cooldown).ok();
        notification.deliveries = sent.deliveries;
        Ok(notification)
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
        return Err(Error::invalid("until", "must be at most 30 days away"));
    }
    Ok(until.map(crate::clock::truncate_to_micros))
}

/// The timer that holds the rules against the days: every 15 s, and soon after events came in.
pub struct EvaluateAlerts(pub Arc<Ops>);

#[async_trait]
impl Timer for EvaluateAlerts {
    fn name(&self) -> &'static str {
        "alerts"
    }

    async fn run(&self, _: &FencingToken) -> Result<Duration> {
        self.0.evaluate_alerts().await.map(|()| EVALUATE_EVERY)
    }

    async fn called(&self) {
        self.0.kpi_recorded.notified().await;
        tokio::time::sleep(GATHER).await;
    }
}
