//! An alert's life: it fires, may be acknowledged and silenced, and is resolved. Pure.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::evaluate::{AlertItem, Severity, Verdict};
use super::notify::fingerprint;
use crate::kpi::rollup::Rate;
use crate::{Error, Result};

/// How far an alert is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum AlertState {
    /// Nobody has said that they know.
    Firing,
    /// Somebody has.
    Acknowledged,
    /// All is well again.
    Resolved,
}

/// A rate that calls for a person, from when it first did until all was well again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Alert {
    /// Its name.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub id: Uuid,
    /// The rate. It has one alert at a time.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub metric: Rate,
    /// How far it is.
    pub state: AlertState,
    /// How bad it last was.
    pub severity: Severity,
    /// What was found when its day, severity or reasons last changed.
    pub item: AlertItem,
    /// When it fired.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub fired_at: Timestamp,
    /// When any of this last changed.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub changed_at: Timestamp,
    /// Who acknowledged it.
    pub acknowledged_by: Option<String>,
    /// When.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub acknowledged_at: Option<Timestamp>,
    /// Nobody is told of it before this.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub silenced_until: Option<Timestamp>,
    /// Who silenced it.
    pub silenced_by: Option<String>,
    /// When all was well again.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub resolved_at: Option<Timestamp>,
}

impl Alert {
    /// Whether it is not resolved.
    pub fn is_open(&self) -> bool {
        self.state != AlertState::Resolved
    }

    /// Whether nobody is to be told of it at `now`.
    pub fn is_silenced(&self, now: Timestamp) -> bool {
        self.silenced_until.is_some_and(|until| now < until)
    }

    /// What the audit trail keeps of it.
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

    /// The audit trail's key for its rate.
    pub fn audit_key(&self) -> String {
        format!("ALERT:{}", self.metric.as_str())
    }

    /// The same alert, known to `by`. One that is known already stays as it is.
    ///
    /// # Errors
    /// `Conflict` when it is resolved.
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

    /// The same alert, of which nobody is told before `until`; `None` ends a silence.
    ///
    /// # Errors
    /// `Conflict` when it is resolved.
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
        // A silence outlives a rate that flickers.
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

    /// The same alert as it is found now. One that got worse is news to whoever knew it.
    fn found(&self, item: &AlertItem, now: Timestamp) -> Self {
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

/// A change of one alert.
#[derive(Debug, Clone, PartialEq)]
pub struct Transition {
    /// As it was, if it was.
    pub before: Option<Alert>,
    /// As it is.
    pub after: Alert,
}

/// What `verdicts` change, given the newest alert of each rate. A rate of which too little is known
/// leaves its alert as it is: a new day without a sample is no recovery. An alert whose rule is gone
/// is resolved.
pub fn transitions(
    newest: &[Alert],
    verdicts: &[(Rate, Verdict)],
    now: Timestamp,
) -> Vec<Transition> {
    let mut transition = Vec::new();
    for (metric, verdict) in verdicts {
        let before = newest.iter().find(|alert| alert.metric == *metric);
        let open = before.filter(|alert| alert.is_open());
        let after = match (verdict, open) {
            (Verdict::Alert(item), None) => Some(Alert::fired(item, before, now)),
            (Verdict::Alert(item), Some(open)) => Some(open.found(item, now)),
            (Verdict::Healthy, Some(open)) => Some(open.resolved(now)),
            (Verdict::Unknown, _) | (Verdict::Healthy, None) => None,
        };
        transition.extend(after.map(|after| Transition { before: open.cloned(), after }));
    }
    let ruled = |alert: &Alert| verdicts.iter().any(|(metric, _)| *metric == alert.metric);
    for orphan in newest.iter().filter(|alert| alert.is_open() && !ruled(alert)) {
        transition.push(Transition { before: Some(orphan.clone()), after: orphan.resolved(now) });
    }
    transition.retain(|transition| transition.before.as_ref() != Some(&transition.after));
    transition
}
