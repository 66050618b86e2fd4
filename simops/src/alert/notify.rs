//! Whether what was found is items_to_notify, and the message that tells it. Pure.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::evaluate::{AlertItem, Evaluation, Severity};
use super::lifecycle::{Alert, AlertState, Transition};

/// A message to people, before it is known to whom.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Message {
    /// Its name: the same each time it is sent, so that a receiver can tell repetitions.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub id: Uuid,
    /// `kpi.alert.critical` or `kpi.alert.resolved`.
    pub kind: String,
    /// What makes it news.
    pub fingerprint: String,
    /// When it was decided.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: Timestamp,
    /// A line for people.
    pub text: String,
    /// The figures.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub data: Value,
}

/// The kind of a message that something is critical.
pub const CRITICAL: &str = "kpi.alert.critical";
/// The kind of a message that nothing is any more.
pub const RESOLVED: &str = "kpi.alert.resolved";

/// The same for all payloads that agree in their days and in the set of metric, severity and
/// reasons; values and samples, which drift with every visitor, are no change.
pub fn fingerprint<'a>(items: impl IntoIterator<Item = &'a AlertItem>) -> String {
    let mut lines: Vec<_> = items
        .into_iter()
        .map(|item| {
            let mut reasons: Vec<_> = item.reasons.iter().map(|reason| reason.as_str()).collect();
            reasons.sort_unstable();
            let (metric, severity) = (item.metric.as_str(), item.severity.as_str());
            format!("{metric} {} {severity} {}\n", item.day_key, reasons.join(" "))
        })
        .collect();
    lines.sort_unstable();
    lines.dedup();
    let digest = Sha256::digest(lines.concat().as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What is to be told of `evaluation`: all that is not silenced, if something critical is among it
/// that nobody has acknowledged. Whether it was told before is another question: [`cooldown_elapsed`].
pub fn items_to_notify(
    evaluation: &Evaluation,
    alerts: &[Alert],
    now: Timestamp,
) -> Vec<AlertItem> {
    let of = |item: &AlertItem| {
        alerts.iter().find(|alert| alert.is_open() && alert.metric == item.metric)
    };
    let told = evaluation.items.iter().filter(|item| !of(item).is_some_and(|a| a.is_silenced(now)));
    let told: Vec<_> = told.cloned().collect();
    let known = |item: &AlertItem| of(item).is_some_and(|a| a.state == AlertState::Acknowledged);
    let calls = |item: &AlertItem| item.severity == Severity::Critical && !known(item);
    if told.iter().any(calls) { told } else { Vec::new() }
}

/// Whether a payload that was last told at `last` may be told again at `now`.
pub fn cooldown_elapsed(last: Option<Timestamp>, now: Timestamp, cooldown: SignedDuration) -> bool {
    last.is_none_or(|last| now.duration_since(last) >= cooldown)
}

/// The message that tells `items`.
pub fn critical(items: &[AlertItem], environment: &str, now: Timestamp) -> Message {
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

/// The message that what was critical is resolved; `None` while something else still is, or when
/// nothing critical was resolved.
pub fn resolved(
    transition: &[Transition],
    evaluation: &Evaluation,
    environment: &str,
    now: Timestamp,
) -> Option<Message> {
    let was_critical = |transition: &&Transition| {
        let before = transition.before.as_ref();
        !transition.after.is_open() && before.is_some_and(|b| b.severity == Severity::Critical)
    };
    let ended: Vec<_> =
        transition.iter().filter(was_critical).map(|transition| &transition.after).collect();
    if ended.is_empty() || evaluation.counts.critical > 0 {
        return None;
    }
    let labels: Vec<_> = ended.iter().map(|alert| alert.item.label.as_str()).collect();
    let ids: Vec<_> = ended.iter().map(|alert| alert.id).collect();
    Some(Message {
        id: Uuid::now_v7(),
        kind: RESOLVED.to_owned(),
        fingerprint: format!("resolved {ids:?}"),
        created_at: now,
        text: format!("simops KPI alert resolved ({environment}): {}", labels.join(", ")),
        data: json!({ "status": "resolved", "environment": environment, "alert_ids": ids }),
    })
}
