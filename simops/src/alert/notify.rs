//! Decides which alert messages to send and composes them.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::evaluate::{AlertItem, Evaluation, Severity, fingerprint};
use super::lifecycle::{Alert, AlertState};

/// An alert message, independent of its receivers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Message {
    /// Unique id. It is the same for each delivery attempt, so that receivers can detect duplicates.
    pub id: Uuid,
    /// `kpi.alert.critical` or `kpi.alert.resolved`.
    pub kind: String,
    /// Identifies the content. Messages with the same fingerprint are subject to the cooldown.
    pub fingerprint: String,
    /// When the message was created.
    pub created_at: Timestamp,
    /// One line for people.
    pub text: String,
    /// The payload.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub data: Value,
}

/// The kind of a message about critical alerts.
pub(crate) const CRITICAL: &str = "kpi.alert.critical";
/// The kind of a message that all critical alerts are resolved.
pub(crate) const RESOLVED: &str = "kpi.alert.resolved";

/// The items to notify receivers of: all that are not silenced, provided that one of them is critical
/// and not acknowledged; otherwise none. Does not consider earlier messages; see
/// [`cooldown_elapsed`].
pub(crate) fn items_to_notify(
    evaluation: &Evaluation,
    alerts: &[Alert],
    now: Timestamp,
) -> Vec<AlertItem> {
    let of = |item: &AlertItem| {
        alerts.iter().find(|alert| alert.is_open() && alert.metric == item.metric)
    };
    let is_silenced = |item: &AlertItem| of(item).is_some_and(|alert| alert.is_silenced(now));
    let is_acknowledged =
        |item: &AlertItem| of(item).is_some_and(|alert| alert.state == AlertState::Acknowledged);
    let needs_attention =
        |item: &AlertItem| item.severity == Severity::Critical && !is_acknowledged(item);
    let items: Vec<_> =
        evaluation.items.iter().filter(|item| !is_silenced(item)).cloned().collect();
    if items.iter().any(needs_attention) { items } else { Vec::new() }
}

/// The most messages within an hour.
pub(crate) const MAX_PER_HOUR: usize = 6;
/// The most alerts of the past that are looked at for a summary.
pub(crate) const MAX_SUMMARISED: usize = 50;

/// What was sent, and which alerts there were.
#[derive(Debug, Default)]
pub(crate) struct History {
    /// When a message with the fingerprint of now was last sent.
    pub(crate) last_sent: Option<Timestamp>,
    /// The latest messages, newest first, up to [`MAX_PER_HOUR`].
    pub(crate) recent: Vec<Message>,
    /// The latest alerts, up to [`MAX_SUMMARISED`].
    pub(crate) alerts: Vec<Alert>,
}

impl History {
    /// Whether the limit of messages per hour allows one more. What is held back is not stored: the next
    /// message tells the state of its time, with a summary of what ended before it.
    pub(crate) fn allows_message(&self, now: Timestamp) -> bool {
        let first = self.recent.get(MAX_PER_HOUR - 1);
        first.is_none_or(|first| now.duration_since(first.created_at).as_hours() >= 1)
    }

    /// Alerts that fired and were resolved since the last message.
    fn unreported(&self) -> Vec<&Alert> {
        let Some(last) = self.recent.first() else { return Vec::new() };
        let is_unreported = |alert: &&Alert| !alert.is_open() && alert.fired_at > last.created_at;
        self.alerts.iter().filter(is_unreported).collect()
    }
}

/// Whether a message with the same fingerprint as one sent at `last` may be sent again at `now`.
pub(crate) fn cooldown_elapsed(
    last: Option<Timestamp>,
    now: Timestamp,
    cooldown: SignedDuration,
) -> bool {
    last.is_none_or(|last| now.duration_since(last) >= cooldown)
}

/// Composes the message about critical alerts; `items` can also contain warnings.
pub(crate) fn critical(
    items: &[AlertItem],
    history: &History,
    environment: &str,
    now: Timestamp,
) -> Message {
    let mut lines: Vec<_> =
        items.iter().map(|item| format!("[{}] {}", item.severity.as_str(), item.message)).collect();
    let unreported = history.unreported();
    if !unreported.is_empty() {
        let number = unreported.len();
        lines.push(format!("since the last message, {number} more fired and were resolved"));
    }
    let unreported: Vec<_> = unreported.into_iter().map(Alert::audited).collect();
    let count = |severity| items.iter().filter(|item| item.severity == severity).count();
    let counts =
        json!({ "critical": count(Severity::Critical), "warning": count(Severity::Warning) });
    let fingerprint = fingerprint(items);
    Message {
        id: Uuid::now_v7(),
        kind: CRITICAL.to_owned(),
        created_at: now,
        text: format!("simops KPI alert ({environment}): {}", lines.join("; ")),
        data: json!({
            "status": "critical",
            "environment": environment,
            "fingerprint": fingerprint,
            "counts": counts,
            "items": items,
            "unreported": unreported,
        }),
        fingerprint,
    }
}

/// Composes the message that the critical alerts are resolved, of which the last message was. `alerts`
/// are the latest of each rate. `None` if none of them was resolved or another one still fires.
pub(crate) fn resolved(
    alerts: &[Alert],
    history: &History,
    evaluation: &Evaluation,
    environment: &str,
    now: Timestamp,
) -> Option<Message> {
    let last = history.recent.first().filter(|last| last.kind == CRITICAL)?;
    let is_resolved = |alert: &&Alert| {
        alert.severity == Severity::Critical
            && alert.resolved_at.is_some_and(|at| at > last.created_at)
    };
    let resolved: Vec<_> = alerts.iter().filter(is_resolved).collect();
    if resolved.is_empty() || evaluation.counts.critical > 0 {
        return None;
    }
    let labels: Vec<_> = resolved.iter().map(|alert| alert.item.label.as_str()).collect();
    let ids: Vec<_> = resolved.iter().map(|alert| alert.id).collect();
    Some(Message {
        id: Uuid::now_v7(),
        kind: RESOLVED.to_owned(),
        fingerprint: format!("resolved {ids:?}"),
        created_at: now,
        text: format!("simops KPI alert resolved ({environment}): {}", labels.join(", ")),
        data: json!({ "status": "resolved", "environment": environment, "alert_ids": ids }),
    })
}
