//! Limits of a run: what it may use, and what becomes of it when it has.

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::usage::NanoUsd;
use crate::usage::money::as_dollars_or_null;
use crate::{Error, FieldError, Result};

named! {
    /// What becomes of a run that has reached a limit.
    #[derive(Default)]
    pub enum AtLimit {
        /// It is paused.
        #[default]
        Pause = "pause",
        /// It ends, as by a guardrail: it can be resumed when the limit was raised.
        Stop = "stop",
    }
}

/// What a run may use. A limit that is `None` is not set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct RunLimits {
    /// The cost of its calls; in JSON in US dollars.
    #[serde(with = "as_dollars_or_null", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<f64>))]
    pub max_usd: Option<NanoUsd>,
    /// Its calls to models.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_calls: Option<i64>,
    /// The tokens of its calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<i64>,
    /// The actions of its agents.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_actions: Option<i64>,
    /// The minutes during which it is not paused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_duration_minutes: Option<i64>,
    /// What becomes of it at a limit.
    pub at_limit: AtLimit,
}

/// What a run has used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RunUse {
    /// The cost of its calls.
    pub cost: NanoUsd,
    /// Its calls to models.
    pub calls: i64,
    /// The tokens of its calls.
    pub tokens: i64,
    /// The actions of its agents.
    pub actions: i64,
    /// For how long it was not paused.
    pub active: SignedDuration,
}

/// A limit that is reached.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ReachedLimit {
    /// Its name.
    pub name: &'static str,
    /// Its value, as in JSON.
    pub limit: Value,
    /// What is used, in the same unit.
    pub used: Value,
}

/// The limits that are numbers, by name, with their greatest values.
const MAXIMA: [(&str, i64); 4] = [
    ("max_calls", 1_000_000_000),
    ("max_tokens", 1_000_000_000_000),
    ("max_actions", 1_000_000_000),
    ("max_duration_minutes", 525_600),
];
/// The greatest limit of dollars.
const MAX_USD: f64 = 100_000.0;
const NAMES: &str =
    "max_usd, max_calls, max_tokens, max_actions, max_duration_minutes and at_limit";

impl RunLimits {
    /// Whether none is set.
    pub fn is_empty(&self) -> bool {
        Self { at_limit: AtLimit::default(), ..*self } == Self::default()
    }

    /// These limits with changes by name; null removes one.
    ///
    /// # Errors
    /// Returns `Invalid` naming every unknown or wrong field as `limits.NAME`.
    pub(crate) fn with(mut self, changes: &Map<String, Value>) -> Result<Self> {
        let mut wrong = Vec::new();
        for (name, value) in changes {
            if let Err(message) = self.set(name, value) {
                wrong.push(FieldError { field: format!("limits.{name}"), message });
            }
        }
        if wrong.is_empty() { Ok(self) } else { Err(Error::invalid_fields(wrong)) }
    }

    fn set(&mut self, name: &str, value: &Value) -> Result<(), String> {
        match name {
            "at_limit" => {
                let at_limit = match value {
                    Value::Null => Some(AtLimit::default()),
                    value => value.as_str().and_then(AtLimit::parse),
                };
                self.at_limit = at_limit.ok_or("must be one of pause, stop")?;
            }
            "max_usd" => {
                let usd = value.as_f64().map(NanoUsd::from_dollars);
                let greatest = NanoUsd::from_dollars(MAX_USD);
                let usd = usd.filter(|usd| *usd > NanoUsd(0) && *usd <= greatest);
                if usd.is_none() && !value.is_null() {
                    return Err(format!("must be a number from 0.000000001 to {MAX_USD}, or null"));
                }
                self.max_usd = usd;
            }
            _ => {
                let limit = match name {
                    "max_calls" => &mut self.max_calls,
                    "max_tokens" => &mut self.max_tokens,
                    "max_actions" => &mut self.max_actions,
                    "max_duration_minutes" => &mut self.max_duration_minutes,
                    _ => return Err(format!("is no limit; there are {NAMES}")),
                };
                let greatest = MAXIMA.iter().find(|(known, _)| *known == name).map_or(0, |m| m.1);
                let number = value.as_i64().filter(|number| (1..=greatest).contains(number));
                if number.is_none() && !value.is_null() {
                    return Err(format!("must be a whole number from 1 to {greatest}, or null"));
                }
                *limit = number;
            }
        }
        Ok(())
    }

    /// The first limit that `used` has reached.
    pub(crate) fn reached(&self, used: &RunUse) -> Option<ReachedLimit> {
        let minutes = used.active.as_secs() / 60;
        let counts = [
            ("max_calls", self.max_calls, used.calls),
            ("max_tokens", self.max_tokens, used.tokens),
            ("max_actions", self.max_actions, used.actions),
            ("max_duration_minutes", self.max_duration_minutes, minutes),
        ];
        if let Some(limit) = self.max_usd.filter(|limit| used.cost >= *limit) {
            let (limit, used) = (json!(limit.dollars()), json!(used.cost.dollars()));
            return Some(ReachedLimit { name: "max_usd", limit, used });
        }
        counts.into_iter().find_map(|(name, limit, used)| {
            let limit = limit.filter(|limit| used >= *limit)?;
            Some(ReachedLimit { name, limit: json!(limit), used: json!(used) })
        })
    }
}

impl ReachedLimit {
    /// As a sentence about the run.
    pub(crate) fn sentence(&self, run_id: &str) -> String {
        let Self { name, limit, used } = self;
        format!("run {run_id} has reached its limit {name} of {limit}: {used} used")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn with(changes: &Value) -> Result<RunLimits> {
        RunLimits::default().with(changes.as_object().unwrap())
    }

    #[test]
    fn wrong_fields_are_named() {
        for (changes, field) in [
            (json!({ "max_usdd": 1 }), "limits.max_usdd"),
            (json!({ "max_usd": 0 }), "limits.max_usd"),
            (json!({ "max_usd": -0.01 }), "limits.max_usd"),
            (json!({ "max_usd": 1e9 }), "limits.max_usd"),
            (json!({ "max_usd": "1" }), "limits.max_usd"),
            (json!({ "max_calls": 0 }), "limits.max_calls"),
            (json!({ "max_calls": 1.5 }), "limits.max_calls"),
            (json!({ "max_tokens": 1e30 }), "limits.max_tokens"),
            (json!({ "max_duration_minutes": 600_000 }), "limits.max_duration_minutes"),
            (json!({ "at_limit": "end" }), "limits.at_limit"),
        ] {
            let refused = with(&changes).unwrap_err();
            assert_eq!(refused.fields()[0].field, field);
        }
        let refused = with(&json!({ "a": 1, "b": 2, "max_calls": 3 })).unwrap_err();
        assert_eq!(refused.fields().len(), 2);
    }

    #[test]
    fn changes_leave_other_limits_and_null_removes_one() {
        let first = with(&json!({ "max_usd": 0.25, "max_calls": 10, "at_limit": "stop" })).unwrap();
        assert_eq!(
            serde_json::to_value(first).unwrap(),
            json!({ "max_usd": 0.25, "max_calls": 10, "at_limit": "stop" })
        );
        let changes = json!({ "max_usd": null, "max_actions": 3 });
        let second = first.with(changes.as_object().unwrap()).unwrap();
        assert_eq!(second.max_usd, None);
        assert_eq!((second.max_calls, second.max_actions), (Some(10), Some(3)));
        assert_eq!(second.at_limit, AtLimit::Stop);
        assert!(!second.is_empty() && RunLimits::default().is_empty());
        let stored: RunLimits =
            serde_json::from_value(serde_json::to_value(second).unwrap()).unwrap();
        assert_eq!(stored, second);
    }

    proptest! {
        /// A naive model: a limit is reached when its figure, alone, is not below it.
        #[test]
        fn a_limit_is_reached_when_its_figure_is_not_below_it(
            limits in proptest::array::uniform5(proptest::option::of(1..20_i64)),
            used in proptest::array::uniform5(0..20_i64),
        ) {
            let of = RunLimits {
                max_usd: limits[0].map(NanoUsd),
                max_calls: limits[1],
                max_tokens: limits[2],
                max_actions: limits[3],
                max_duration_minutes: limits[4],
                at_limit: AtLimit::Pause,
            };
            let used_by_run = RunUse {
                cost: NanoUsd(used[0]),
                calls: used[1],
                tokens: used[2],
                actions: used[3],
                active: SignedDuration::from_secs(used[4] * 60 + 59),
            };
            let reached: Vec<_> = (0..5).filter(|n| limits[*n].is_some_and(|limit| used[*n] >= limit)).collect();
            let names = ["max_usd", "max_calls", "max_tokens", "max_actions", "max_duration_minutes"];
            let found = of.reached(&used_by_run).map(|reached| reached.name);
            prop_assert_eq!(found, reached.first().map(|n| names[*n]));
        }
    }
}
