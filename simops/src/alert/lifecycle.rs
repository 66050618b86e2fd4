//! The lifecycle of an alert: it fires, can be acknowledged and silenced, and is resolved.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::evaluate::{AlertItem, Severity, Verdict, fingerprint};
use crate::kpi::rollup::Rate;
use crate::{Error, Result};

/// The state of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum AlertState {
    /// The alert fires and no operator has acknowledged it.
    Firing,
    /// An operator has acknowledged it.
    Acknowledged,
    /// The rate is within its thresholds again, or its rule was removed.
    Resolved,
}

/// An alert, from firing until it is resolved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Alert {
    /// Unique id.
    pub id: Uuid,
    /// The rate. Each rate has at most one open alert.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub metric: Rate,
    /// The state.
    pub state: AlertState,
    /// The severity at the last change.
    pub severity: Severity,
    /// The evaluation at the last change of its day, severity or reasons.
    pub item: AlertItem,
    /// When it fired.
    pub fired_at: Timestamp,
    /// When any field last changed.
    pub changed_at: Timestamp,
    /// Who acknowledged it.
    pub acknowledged_by: Option<String>,
    /// When it was acknowledged.
    pub acknowledged_at: Option<Timestamp>,
    /// No messages are sent for it before this time.
    pub silenced_until: Option<Timestamp>,
    /// Who silenced it.
    pub silenced_by: Option<String>,
    /// When it was resolved.
    pub resolved_at: Option<Timestamp>,
}

impl Alert {
    /// Whether the alert is not resolved.
    pub fn is_open(&self) -> bool {
        self.state != AlertState::Resolved
    }

    /// Whether the alert is silenced at `now`.
    pub fn is_silenced(&self, now: Timestamp) -> bool {
        self.silenced_until.is_some_and(|until| now < until)
    }

    /// The alert's value in the audit trail.
    pub fn audited(&self) -> Value {
        json!({
            "id": self.id,
            "state": self.state,
            "severity": self.severity,
            "day_key": self.item.day_key,
            "reasons": self.item.reasons,
            "silenced_until": self.silenced_until,
        })
    }

    /// The alert's key in the audit trail.
    pub fn audit_key(&self) -> String {
        format!("ALERT:{}", self.metric.as_str())
    }

    /// Acknowledges the alert. An alert that is already acknowledged stays unchanged.
    ///
    /// # Errors
    /// Returns `Conflict` if the alert is resolved.
    pub fn acknowledged(&self, by: &str, now: Timestamp) -> Result<Self> {
        self.check_open()?;
        if self.state == AlertState::Acknowledged {
            return Ok(self.clone());
        }
        Ok(Self {
            state: AlertState::Acknowledged,
            acknowledged_by: Some(by.to_owned()),
            acknowledged_at: Some(now),
            changed_at: now,
            ..self.clone()
        })
    }

    /// Silences the alert until `until`; `None` ends the silence.
    ///
    /// # Errors
    /// Returns `Conflict` if the alert is resolved.
    pub fn silenced(&self, by: &str, until: Option<Timestamp>, now: Timestamp) -> Result<Self> {
        self.check_open()?;
        if self.silenced_until == until {
            return Ok(self.clone());
        }
        Ok(Self {
            silenced_until: until,
            silenced_by: until.map(|_| by.to_owned()),
            changed_at: now,
            ..self.clone()
        })
    }

    fn check_open(&self) -> Result<()> {
        if self.is_open() {
            return Ok(());
        }
        Err(Error::conflict(format!("alert {} is resolved", self.id)))
    }

    fn fired(item: &AlertItem, before: Option<&Self>, now: Timestamp) -> Self {
        // A silence also applies to the next alert of a rate that crosses its threshold repeatedly.
        let silence = before.filter(|before| before.is_silenced(now));
        Self {
            id: Uuid::now_v7(),
            metric: item.metric,
            state: AlertState::Firing,
            severity: item.severity,
            item: item.clone(),
            fired_at: now,
            changed_at: now,
            acknowledged_by: None,
            acknowledged_at: None,
            silenced_until: silence.and_then(|before| before.silenced_until),
            silenced_by: silence.and_then(|before| before.silenced_by.clone()),
            resolved_at: None,
        }
    }

    /// Updates the alert with the current evaluation. A higher severity clears the acknowledgement.
    fn updated(&self, item: &AlertItem, now: Timestamp) -> Self {
        let same = fingerprint([&self.item]) == fingerprint([item]);
        if same {
            return self.clone();
        }
        let mut next =
            Self { severity: item.severity, item: item.clone(), changed_at: now, ..self.clone() };
        if item.severity > self.severity {
            next.state = AlertState::Firing;
            (next.acknowledged_by, next.acknowledged_at) = (None, None);
        }
        next
    }

    fn resolved(&self, now: Timestamp) -> Self {
        let state = AlertState::Resolved;
        Self { state, resolved_at: Some(now), changed_at: now, ..self.clone() }
    }
}

/// A state change of one alert.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Transition {
    /// The alert before; `None` if it is new.
    pub before: Option<Alert>,
    /// The alert after.
    pub after: Alert,
}

/// The alert changes that `verdicts` cause, given the latest alert of each rate. `Unknown` changes
/// nothing: a day with too small a sample does not resolve an alert. An alert whose rule was removed is
/// resolved.
pub(crate) fn transitions(
    newest: &[Alert],
    verdicts: &[(Rate, Verdict)],
    now: Timestamp,
) -> Vec<Transition> {
    let mut changes = Vec::new();
    for (metric, verdict) in verdicts {
        let before = newest.iter().find(|alert| alert.metric == *metric);
        let open = before.filter(|alert| alert.is_open());
        let after = match (verdict, open) {
            (Verdict::Alert(item), None) => Some(Alert::fired(item, before, now)),
            (Verdict::Alert(item), Some(open)) => Some(open.updated(item, now)),
            (Verdict::Healthy, Some(open)) => Some(open.resolved(now)),
            (Verdict::Unknown, _) | (Verdict::Healthy, None) => None,
        };
        changes.extend(after.map(|after| Transition { before: open.cloned(), after }));
    }
    let ruled = |alert: &Alert| verdicts.iter().any(|(metric, _)| *metric == alert.metric);
    for orphan in newest.iter().filter(|alert| alert.is_open() && !ruled(alert)) {
        changes.push(Transition { before: Some(orphan.clone()), after: orphan.resolved(now) });
    }
    changes.retain(|change| change.before.as_ref() != Some(&change.after));
    changes
}
