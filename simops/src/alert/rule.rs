//! Alert rules: floors, drops against the 7-day average, and minimum sample sizes.

use std::collections::BTreeSet;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::kpi::DaySums;
use crate::kpi::rollup::Rate;
use crate::text::is_hidden;
use crate::{Error, FieldError, Result};

/// The thresholds of one rate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The rate.
    pub metric: Rate,
    /// The rate's name for people.
    pub label: String,
    /// A rate below this is a warning.
    #[serde(default)]
    pub warning_floor: Option<f64>,
    /// A rate below this is critical.
    #[serde(default)]
    pub critical_floor: Option<f64>,
    /// A relative drop against the 7-day average of at least this is a warning.
    #[serde(default)]
    pub warning_drop: Option<f64>,
    /// A relative drop against the 7-day average of at least this is critical.
    #[serde(default)]
    pub critical_drop: Option<f64>,
    /// The rule is not evaluated for a smaller sample.
    pub minimum_sample: i64,
}

impl Rule {
    /// The field of the rollup that contains the sample size, which is the rate's denominator.
    pub fn sample_field(&self) -> &'static str {
        match self.metric {
            Rate::LandingToRunCtr => "landing_view_visitors",
            Rate::RunToReplayStartRate => "run_detail_visitors",
            Rate::ReplayCompletionRate => "replay_start_visitors",
            Rate::ShareActionRate | Rate::D1RetentionRate => "d1_cohort_size",
            Rate::SharedLinkCtr => "share_click_visitors",
            Rate::OnboardingCompletionRate
            | Rate::OnboardingSkipRate
            | Rate::OnboardingGlossaryOpenRate => "onboarding_shown_visitors",
            Rate::D7RetentionRate => "d7_cohort_size",
        }
    }

    /// The sample size of a day.
    pub fn sample(&self, sums: &DaySums) -> i64 {
        self.metric.fraction(sums).1
    }
}

/// A valid set of rules with at most one rule per rate.
#[derive(Debug, Clone, PartialEq)]
pub struct Rules(Vec<Rule>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    rule: Vec<Rule>,
}

impl Default for Rules {
    fn default() -> Self {
        let rule =
            |metric, label: &str, floors: (f64, f64), drops: (f64, f64), minimum_sample| Rule {
                metric,
                label: label.to_owned(),
                warning_floor: Some(floors.0),
                critical_floor: Some(floors.1),
                warning_drop: Some(drops.0),
                critical_drop: Some(drops.1),
                minimum_sample,
            };
        let (today, came_back) = ((0.20, 0.35), (0.25, 0.40));
        Self(vec![
            rule(Rate::LandingToRunCtr, "Landing -> Run CTR", (0.12, 0.08), today, 40),
            rule(Rate::ReplayCompletionRate, "Replay Completion", (0.50, 0.35), today, 25),
            rule(Rate::D1RetentionRate, "D1", (0.20, 0.12), came_back, 25),
            rule(Rate::D7RetentionRate, "D7", (0.10, 0.06), came_back, 25),
        ])
    }
}

impl Rules {
    /// Validates rules.
    ///
    /// # Errors
    /// Returns `Invalid`, with each invalid field, if a rule is invalid or a rate has two rules.
    pub fn new(rules: Vec<Rule>) -> Result<Self> {
        let mut wrong = Vec::new();
        let mut seen = BTreeSet::new();
        for rule in &rules {
            let mut fail = |field: &str, message: &str| {
                let field = format!("{}.{field}", rule.metric.as_str());
                wrong.push(FieldError { field, message: message.to_owned() });
            };
            if !seen.insert(rule.metric) {
                fail("metric", "has more than one rule");
            }
            if rule.label.trim().is_empty() || rule.label.chars().count() > 80 {
                fail("label", "must have 1 to 80 characters");
            }
            if rule.label.chars().any(is_hidden) {
                fail("label", "must not contain control or format characters");
            }
            if rule.minimum_sample < 1 {
                fail("minimum_sample", "must be at least 1");
            }
            let thresholds = [
                ("warning_floor", rule.warning_floor),
                ("critical_floor", rule.critical_floor),
                ("warning_drop", rule.warning_drop),
                ("critical_drop", rule.critical_drop),
            ];
            if thresholds.iter().all(|(_, value)| value.is_none()) {
                fail("metric", "needs a floor or a drop");
            }
            for (field, value) in thresholds {
                if value.is_some_and(|value| !(value > 0.0 && value <= 1.0)) {
                    fail(field, "must be more than 0 and at most 1");
                }
            }
            let pair = |one: Option<f64>, other: Option<f64>| one.zip(other);
            if pair(rule.critical_floor, rule.warning_floor).is_some_and(|(c, w)| c > w) {
                fail("critical_floor", "must not be above the warning floor");
            }
            if pair(rule.critical_drop, rule.warning_drop).is_some_and(|(c, w)| c < w) {
                fail("critical_drop", "must not be less than the warning drop");
            }
        }
        if wrong.is_empty() { Ok(Self(rules)) } else { Err(Error::invalid_fields(wrong)) }
    }

    /// Parses rules from TOML: `[[rule]]` tables with the fields of [`Rule`]. They replace the
    /// built-in rules.
    ///
    /// # Errors
    /// Returns `Invalid` with the line number if the text is not valid TOML or has unknown fields,
    /// and the errors of [`Rules::new`].
    pub fn from_toml(text: &str) -> Result<Self> {
        let file: File = toml::from_str(text).map_err(|error| {
            let line = error.span().and_then(|span| text.get(..span.start));
            let line = line.map_or(1, |before| before.matches('\n').count() + 1);
            Error::invalid(format!("line {line}"), error.message())
        })?;
        Self::new(file.rule)
    }

    /// Reads the rules of a TOML file, as [`Rules::from_toml`].
    ///
    /// # Errors
    /// Returns `Invalid` for `KPI_ALERT_RULES`, the setting that names the file, if it cannot be read or
    /// its rules are not valid.
    pub fn from_file(path: &Path) -> Result<Self> {
        let invalid = |message: String| {
            Error::invalid("KPI_ALERT_RULES", format!("{}: {message}", path.display()))
        };
        let text = std::fs::read_to_string(path).map_err(|error| invalid(error.to_string()))?;
        Self::from_toml(&text).map_err(|error| invalid(error.detail().to_owned()))
    }

    /// Iterates over the rules.
    pub fn iter(&self) -> impl Iterator<Item = &Rule> {
        self.0.iter()
    }
}
