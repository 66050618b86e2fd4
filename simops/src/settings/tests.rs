//! Settings: values are taken exactly within their bounds, and a bad one names what is allowed.

use crate::ErrorKind;
use crate::settings::{Effective, Overrides, Registry, SettingKind, SettingSpec, key, validate};
use proptest::prelude::*;
use serde_json::{Value, json};

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-10_i64..60_000).prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        (-1.0..120.0).prop_map(|number| json!(number)),
        "[a-zA-Z0-9_: \\-]{0,130}".prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        Just(json!(["test"])),
        Just(json!({"a": 1})),
    ]
}

/// The rule once more, in the plainest words.
fn allowed(spec: &SettingSpec, value: &Value) -> bool {
    match (&spec.kind, value) {
        (SettingKind::Bool, Value::Bool(_)) => true,
        (SettingKind::Int { min, max }, Value::Number(n)) => {
            n.as_i64().is_some_and(|n| n >= *min && n <= *max)
        }
        (SettingKind::Float { min, max }, Value::Number(n)) => {
            n.as_f64().is_some_and(|n| n >= *min && n <= *max)
        }
        (SettingKind::Choice(words), Value::String(text)) => words.contains(&text.as_str()),
        (SettingKind::Name { max_chars }, Value::String(text)) => {
            text.chars().count() <= *max_chars
                && text.chars().all(|c| c.is_ascii_alphanumeric() || "_:-".contains(c))
        }
        _ => false,
    }
}

proptest! {
    #[test]
    fn a_value_is_taken_exactly_when_it_is_allowed(
        index in 0..25_usize,
        value in any_value(),
    ) {
        let registry = Registry::builtin();
        let spec = registry.specs().nth(index).unwrap();
        let verdict = spec.check(&value);
        prop_assert_eq!(verdict.is_ok(), allowed(spec, &value));
        if let Err(error) = verdict {
            prop_assert_eq!(error.kind(), ErrorKind::Invalid);
            prop_assert_eq!(&error.fields()[0].field, spec.key);
        }
    }

    #[test]
    fn updates_are_refused_whole_with_every_fault_named(
        updates in proptest::collection::btree_map(
            prop_oneof![
                (0..25_usize).prop_map(|n| Registry::builtin().specs().nth(n).unwrap().key.to_owned()),
                "[A-Z_]{1,20}",
            ],
            any_value(),
            0..6,
        ),
    ) {
        let registry = Registry::builtin();
        let unknown = updates.keys().filter(|key| registry.get(key).is_none()).count();
        let wrong: Vec<_> = updates
            .iter()
            .filter(|(key, value)| registry.get(key).is_some_and(|spec| !allowed(spec, value)))
            .map(|(key, _)| key.clone())
            .collect();
        match validate::check_updates(&registry, &updates) {
            Ok(()) => prop_assert!(unknown == 0 && wrong.is_empty()),
            Err(error) if unknown > 0 => prop_assert_eq!(error.kind(), ErrorKind::Rejected),
            Err(error) => {
                let named: Vec<_> = error.fields().iter().map(|f| f.field.clone()).collect();
                prop_assert_eq!(named, wrong);
            }
        }
    }

    #[test]
    fn what_the_environment_spells_is_what_the_registry_takes(
        index in 0..25_usize,
        text in prop_oneof!["-?[0-9]{1,6}(\\.[0-9]{1,3})?", "true|false|TRUE|yes", "test|real|x:y-z_1", any::<String>()],
    ) {
        let registry = Registry::builtin();
        let spec = registry.specs().nth(index).unwrap().clone();
        if let Ok(value) = spec.parse(&text) {
            prop_assert!(allowed(&spec, &value));
        }
    }

    #[test]
    fn a_hard_budget_is_never_below_a_soft_one(soft in 0.0..25.0_f64, hard in 0.0..100.0_f64) {
        let overrides: Overrides = [
            (key::BUDGET_SOFT.to_owned(), json!(soft)),
            (key::BUDGET_HARD.to_owned(), json!(hard)),
        ].into();
        let effective = Effective::of(&Registry::builtin(), &overrides);
        let fine = soft == 0.0 || hard == 0.0 || hard >= soft;
        prop_assert_eq!(validate::check_together(&effective).is_ok(), fine);
    }
}

#[test]
fn every_default_is_allowed_and_every_name_stands_once() {
    let registry = Registry::builtin();
    let mut names: Vec<_> = registry.specs().map(|spec| spec.key).collect();
    assert_eq!(names.len(), 25);
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 25);
    for spec in registry.specs() {
        spec.check(&spec.default).unwrap();
    }
}

#[test]
fn the_environment_replaces_a_default_and_a_bad_value_is_quoted() {
    let lookup = |value: &'static str| {
        move |name: &str| (name == "AGENT_LOOP_DELAY_SECONDS").then(|| value.to_owned())
    };
    let registry = Registry::builtin().with_defaults_from(lookup("60")).unwrap();
    assert_eq!(registry.get(key::AGENT_LOOP_DELAY_SECONDS).unwrap().default, json!(60));
    let error = Registry::builtin().with_defaults_from(lookup("59")).unwrap_err();
    for part in ["AGENT_LOOP_DELAY_SECONDS", "59", "60", "900"] {
        assert!(error.detail().contains(part), "{error} lacks {part}");
    }
}

#[test]
fn a_host_adds_settings_with_the_same_machinery() {
    let spec = SettingSpec {
        key: "GRAVITY",
        kind: SettingKind::Float { min: 0.0, max: 20.0 },
        default: json!(9.81),
        description: "How fast things fall.",
    };
    let registry = Registry::builtin().with(spec.clone()).unwrap();
    assert!(registry.get("GRAVITY").unwrap().check(&json!(21)).is_err());
    assert_eq!(registry.with(spec).unwrap_err().kind(), ErrorKind::Rejected);
}
