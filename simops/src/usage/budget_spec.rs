//! What a person says of a budget, checked.

use jiff::civil::Date;
use serde_json::{Value, json};

use super::{Budget, BudgetScope, BudgetUnit, BudgetWindow, Caps, NanoUsd};
use crate::settings::is_name;
use crate::text::{composed, is_hidden};
use crate::{Error, FieldError, Result};

/// The longest id and key, in characters.
const MAX_ID_CHARS: usize = 64;
const MAX_KEY_CHARS: usize = 200;
/// The smallest and the largest limits.
const MIN_USD: f64 = 1e-9;
const MAX_USD: f64 = 1_000_000.0;
const MAX_COUNT: f64 = 1e12;
/// The most budgets of a deployment: each call is compared with all that count it.
pub(crate) const MAX_BUDGETS: usize = 1_000;

/// A budget as a person defines it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct BudgetSpec {
    /// Which calls it counts.
    pub scope: Option<String>,
    /// Of that scope: a name, `*`, or a name with `*` at an end. None for the scope `deployment`.
    pub key: Option<String>,
    /// Over which time.
    pub window: Option<String>,
    /// What of them.
    pub unit: Option<String>,
    /// The amount from which calls are degraded.
    pub soft: Option<f64>,
    /// The amount that is never exceeded.
    pub hard: Option<f64>,
}

impl BudgetSpec {
    /// The same as a change of `budget`: if neither scope, key, window nor unit are given, those of `budget`
    /// stay, and so does a limit that is not given.
    #[must_use]
    pub(crate) fn changing(self, budget: &Budget) -> Self {
        let given = [&self.scope, &self.key, &self.window, &self.unit];
        if given.into_iter().any(Option::is_some) {
            return self;
        }
        let kept = |limit: Option<i64>| limit.and_then(|limit| budget.unit.shown(limit).as_f64());
        Self {
            scope: Some(budget.scope.as_str().to_owned()),
            key: Some(budget.key.clone()).filter(|key| !key.is_empty()),
            window: Some(budget.window.as_str().to_owned()),
            unit: Some(budget.unit.as_str().to_owned()),
            soft: self.soft.or_else(|| kept(budget.soft)),
            hard: self.hard.or_else(|| kept(budget.hard)),
        }
    }

    /// The budget `id` that this says, defined on `day`.
    ///
    /// # Errors
    /// Returns `Invalid` naming every field that is missing or wrong, and `Conflict` for the id of a cap
    /// that is a setting.
    pub(crate) fn checked(&self, id: &str, day: Date) -> Result<Budget> {
        check_id(id)?;
        let mut wrong = Vec::new();
        let mut note = |field: &str, message: String| {
            wrong.push(FieldError { field: field.to_owned(), message });
        };
        let scope = named(&self.scope, BudgetScope::parse, &BudgetScope::NAMES);
        let window = named(&self.window, BudgetWindow::parse, &BudgetWindow::NAMES);
        let unit = named(&self.unit, BudgetUnit::parse, &BudgetUnit::NAMES);
        let missing = [
            ("scope", scope.as_ref().err()),
            ("window", window.as_ref().err()),
            ("unit", unit.as_ref().err()),
        ];
        for (field, message) in missing {
            message.into_iter().for_each(|message| note(field, message.clone()));
        }
        let key = match scope.as_ref().map(|scope| checked_key(*scope, self.key.as_deref())) {
            Ok(Ok(key)) => key,
            Ok(Err(message)) => {
                note("key", message);
                String::new()
            }
            Err(_) => String::new(),
        };
        let mut limits = [None, None];
        if let Ok(unit) = unit {
            for (limit, (field, given)) in
                limits.iter_mut().zip([("soft", self.soft), ("hard", self.hard)])
            {
                match given.map(|given| amount(unit, given)) {
                    Some(Err(message)) => note(field, message),
                    Some(Ok(amount)) => *limit = Some(amount),
                    None => {}
                }
            }
        }
        let [soft, hard] = limits;
        if self.soft.is_none() && self.hard.is_none() {
            note("hard", "is required, unless there is a soft limit".to_owned());
        }
        if let (Some(soft), Some(hard)) = (soft, hard)
            && soft > hard
        {
            note("soft", "must not be above hard".to_owned());
        }
        let (Ok(scope), Ok(window), Ok(unit), true) = (scope, window, unit, wrong.is_empty())
        else {
            return Err(Error::invalid_fields(wrong));
        };
        Ok(Budget {
            id: id.to_owned(),
            scope,
            key,
            window,
            unit,
            soft,
            hard,
            since: Budget::first_day(window, day),
            counted: false,
            defined: 0,
        })
    }
}

impl Budget {
    /// The budget as the audit trail shows it.
    pub(crate) fn shown(&self) -> Value {
        let limit = |limit: Option<i64>| limit.map(|limit| self.unit.shown(limit));
        json!({
            "scope": self.scope, "key": self.key, "window": self.window, "unit": self.unit,
            "soft": limit(self.soft), "hard": limit(self.hard),
        })
    }
}

/// Checks the id of a budget that is no setting.
///
/// # Errors
/// Returns `Invalid` for a wrong id, and `Conflict` for that of a setting.
pub(crate) fn check_id(id: &str) -> Result<()> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':' | '-');
    if id.is_empty() || id.len() > MAX_ID_CHARS || !id.chars().all(fits) {
        let message = format!("must be 1 to {MAX_ID_CHARS} letters, digits, _, : or -");
        return Err(Error::invalid("id", message));
    }
    if Caps::IDS.contains(&id) {
        return Err(Error::conflict(format!(
            "{id} is a setting of the deployment: change it with PATCH config or `simops-cli config set`"
        )));
    }
    Ok(())
}

/// The value that `given` names, or what is allowed.
fn named<T>(
    given: &Option<String>,
    parse: impl Fn(&str) -> Option<T>,
    names: &[&str],
) -> Result<T, String> {
    let Some(given) = given else {
        return Err(format!("is required: one of {}", names.join(", ")));
    };
    parse(given).ok_or_else(|| format!("must be one of {}", names.join(", ")))
}

fn checked_key(scope: BudgetScope, given: Option<&str>) -> Result<String, String> {
    let key = given.map(str::trim).filter(|key| !key.is_empty());
    if scope == BudgetScope::Deployment {
        let none = key.is_none().then(String::new);
        return none.ok_or_else(|| "must not be given for the scope deployment".to_owned());
    }
    let what = scope.as_str();
    let Some(key) = key else { return Err(format!("is required: the {what}, or * for each")) };
    let stars = key.matches('*').count();
    let at_an_end = key.starts_with('*') || key.ends_with('*');
    if stars > 1 || (stars == 1 && !at_an_end) {
        return Err("may hold one *, at its beginning or its end".to_owned());
    }
    if key.chars().count() > MAX_KEY_CHARS || key.chars().any(is_hidden) {
        return Err(format!(
            "must be at most {MAX_KEY_CHARS} characters, none of them control or format characters"
        ));
    }
    if matches!(scope, BudgetScope::Group | BudgetScope::Run) {
        let name = key.trim_matches('*');
        if !is_name(name, MAX_ID_CHARS) {
            return Err(format!(
                "no {what} has such an id: they have 1 to {MAX_ID_CHARS} letters, digits, _, : or -"
            ));
        }
    }
    let key = composed(key);
    Ok(if scope == BudgetScope::Provider { key.to_lowercase() } else { key })
}

/// An amount of a unit, as it is counted.
fn amount(unit: BudgetUnit, given: f64) -> Result<i64, String> {
    if unit == BudgetUnit::Usd {
        let amount = NanoUsd::from_dollars(given).0;
        let fits = given.is_finite() && (MIN_USD..=MAX_USD).contains(&given);
        return fits.then_some(amount).ok_or_else(|| {
            format!("must be a number from 0.000000001 to {MAX_USD}; to lift a limit, define the budget again without it")
        });
    }
    let fits = given.is_finite() && given.fract() == 0.0 && (1.0..=MAX_COUNT).contains(&given);
    #[expect(clippy::cast_possible_truncation, reason = "a whole number up to MAX_COUNT")]
    let amount = given as i64;
    fits.then_some(amount).ok_or_else(|| {
        format!("must be a whole number from 1 to {MAX_COUNT}; to lift a limit, define the budget again without it")
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use jiff::civil::date;

    use super::*;

    fn spec(scope: &str, key: &str) -> BudgetSpec {
        let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        BudgetSpec {
            scope: text(scope),
            key: text(key),
            window: text("day"),
            unit: text("usd"),
            soft: None,
            hard: Some(2.5),
        }
    }

    fn wrong(spec: &BudgetSpec) -> Vec<String> {
        let error = spec.checked("b", date(2026, 3, 1)).unwrap_err();
        error.fields().iter().map(|wrong| wrong.field.clone()).collect()
    }

    #[test]
    fn a_budget_is_what_was_asked_for() {
        let budget = spec("provider", "Groq").checked("b", date(2026, 3, 1)).unwrap();
        assert_eq!((budget.key.as_str(), budget.hard), ("groq", Some(2_500_000_000)));
        assert_eq!((budget.since, budget.counted), (date(2026, 2, 28), false));
        let month = BudgetSpec { window: Some("month".to_owned()), ..spec("deployment", "") };
        assert_eq!(month.checked("b", date(2026, 3, 1)).unwrap().since, date(2026, 2, 1));
        let agent = spec("agent", "Ame\u{301}lie").checked("b", date(2026, 3, 1)).unwrap();
        assert_eq!(agent.key, "Amélie");
        for key in ["*", "study-*"] {
            assert_eq!(spec("group", key).checked("b", date(2026, 3, 1)).unwrap().key, key);
        }
        for key in ["*", "*:free", "gpt-*"] {
            assert_eq!(spec("model", key).checked("b", date(2026, 3, 1)).unwrap().key, key);
        }
    }

    #[test]
    fn every_wrong_field_is_named() {
        assert_eq!(wrong(&BudgetSpec::default()), ["scope", "window", "unit", "hard"]);
        assert_eq!(wrong(&spec("planet", "x")), ["scope"]);
        assert_eq!(wrong(&spec("deployment", "x")), ["key"]);
        for key in ["", "a*b", "*a*", "a\u{202e}b", &"x".repeat(201)] {
            assert_eq!(wrong(&spec("agent", key)), ["key"], "{key:?}");
        }
        for (scope, key) in [("group", "a b"), ("run", "é"), ("group", "a/*")] {
            assert_eq!(wrong(&spec(scope, key)), ["key"], "{key:?}");
        }
        for hard in [0.0, -1.0, f64::NAN, f64::INFINITY, 5e-10, 1_000_000.1] {
            assert_eq!(wrong(&BudgetSpec { hard: Some(hard), ..spec("run", "*") }), ["hard"]);
        }
        for hard in [0.5, 1.5, 2e12] {
            let calls = Some("calls".to_owned());
            assert_eq!(
                wrong(&BudgetSpec { hard: Some(hard), unit: calls, ..spec("run", "*") }),
                ["hard"]
            );
        }
        assert_eq!(wrong(&BudgetSpec { soft: Some(3.0), ..spec("run", "*") }), ["soft"]);
    }

    #[test]
    fn ids_are_names_and_those_of_settings_are_taken() {
        for id in ["", "a b", "ä", &"x".repeat(65)] {
            assert_eq!(check_id(id).unwrap_err().fields()[0].field, "id");
        }
        let taken = check_id("llm_daily_budget_usd").unwrap_err();
        assert_eq!(taken.kind(), crate::ErrorKind::Conflict);
        check_id("team:a_1-b").unwrap();
    }
}
