//! Settings: values by type, all or nothing, names that are none.

use serde_json::json;

use crate::support::TestDir;

#[test]
fn values_are_parsed_by_the_settings_type() {
    let dir = TestDir::with_database();
    let answer = dir.ok(&[
        "config",
        "set",
        "AGENT_LOOP_DELAY_SECONDS=120",
        "LLM_DAILY_BUDGET_USD_HARD=4",
        "STOP_CONDITION_ENFORCEMENT_ENABLED=False",
        "--reason",
        "demo",
    ]);
    assert_eq!(
        answer["applied"],
        json!({
            "AGENT_LOOP_DELAY_SECONDS": 120,
            "LLM_DAILY_BUDGET_USD_HARD": 4.0,
            "STOP_CONDITION_ENFORCEMENT_ENABLED": false,
        })
    );
    assert_eq!(dir.ok(&["config", "get", "AGENT_LOOP_DELAY_SECONDS"]), json!(120));
    assert_eq!(dir.ok(&["config", "get"])["overrides"]["AGENT_LOOP_DELAY_SECONDS"], json!(120));
}

#[test]
fn a_value_that_is_not_allowed_is_refused_with_the_range() {
    let dir = TestDir::with_database();
    for value in ["AGENT_LOOP_DELAY_SECONDS=9", "AGENT_LOOP_DELAY_SECONDS=soon"] {
        let (code, error) = dir.fails(&["config", "set", "LLM_ACTION_MAX_TOKENS=100", value]);
        assert_eq!(code, 2);
        assert_eq!(
            error,
            "error: AGENT_LOOP_DELAY_SECONDS: must be a whole number between 60 and 900\n"
        );
    }
    assert_eq!(dir.ok(&["config", "get", "LLM_ACTION_MAX_TOKENS"]), json!(350), "all or nothing");
}

#[test]
fn an_unknown_setting_is_answered_with_names_like_it() {
    let dir = TestDir::with_database();
    for args in
        [&["config", "get", "AGENT_LOOP_DELAY"][..], &["config", "set", "AGENT_LOOP_DELAY_SECS=90"]]
    {
        let (code, error) = dir.fails(args);
        assert_eq!(code, 1);
        assert!(error.contains("did you mean AGENT_LOOP_DELAY_SECONDS?"), "{error}");
    }
    let (_, error) = dir.fails(&["config", "get", "COLOUR"]);
    assert!(error.contains("`simops-cli config get` lists all"), "{error}");
}

#[test]
fn defaults_come_from_the_environment_and_are_checked() {
    let dir = TestDir::with_database();
    let get = ["config", "get", "LLM_ACTION_MAX_TOKENS"];
    let out = dir.command(&get).env("LLM_ACTION_MAX_TOKENS", "500").output().unwrap();
    assert_eq!(String::from_utf8(out.stdout).unwrap(), "500\n");
    let out = dir.command(&get).env("LLM_ACTION_MAX_TOKENS", "5").output().unwrap();
    assert_eq!(out.status.code(), Some(2));
    let error = String::from_utf8(out.stderr).unwrap();
    assert!(error.contains("LLM_ACTION_MAX_TOKENS") && error.contains("64 and 2048"), "{error}");
}
