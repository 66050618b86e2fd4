//! Decides which alert messages to send and composes them.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::evaluate::{AlertItem, Evaluation, Severity, fingerprint};
use super::lifecycle::{Alert, AlertState, Transition};

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

/// Whether a message with the same fingerprint as one sent at `last` may be sent again at `now`.
pub(crate) fn cooldown_elapsed(
    last: Option<Timestamp>,
    now: Timestamp,
    cooldown: SignedDuration,
) -> bool {
    last.is_none_or(|last| now.duration_since(last) >= cooldown)
}

/// Composes the message about critical alerts; `items` can also contain warnings.
pub(crate) fn critical(items: &[AlertItem], environment: &str, now: Timestamp) -> Message {
    let lines: Vec<_> =
        items.iter().map(|item| format!("[{}] {}", item.severity.as_str(), item.message)).collect();
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
        }),
        fingerprint,
    }
}

/// Composes the message that the critical alerts are resolved. `None` if no critical alert was
/// resolved or another one still fires.
pub(crate) fn resolved(
    transitions: &[Transition],
    evaluation: &Evaluation,
    environment: &str,
    now: Timestamp,
) -> Option<Message> {
    let resolves_critical = |transition: &&Transition| {
        let before = transition.before.as_ref();
        !transition.after.is_open() && before.is_some_and(|b| b.severity == Severity::Critical)
    };
    let resolved: Vec<_> =
        transitions.iter().filter(resolves_critical).map(|transition| &transition.after).collect();
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
