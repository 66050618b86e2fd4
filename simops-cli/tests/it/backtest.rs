//! Thresholds tried on past runs: a ledger that is prepared, and what would have stopped it.

use serde_json::{Value, json};
use simops::usage::UsageRow;

use crate::support::{TestDir, call};

/// Two runs of 1 March 2026. `r1`, 10:00 to 11:00: four calls a minute apart from 10:00 on for
/// 0.30 USD each, the last two failed. `r2`, 12:00 to 13:00: nothing.
fn with_two_runs() -> TestDir {
    let dir = TestDir::with_database();
    for (run_id, from, until) in [("r1", "10:00", "11:00"), ("r2", "12:00", "13:00")] {
        dir.ok(&["run", "start", "--mode", "test", "--run-id", run_id]);
        dir.ok(&["run", "stop", "--reason", "done"]);
        dir.tamper(&format!(
            "UPDATE runs SET started_at = unixepoch('2026-03-01 {from}') * 1000000, \
             ended_at = unixepoch('2026-03-01 {until}') * 1000000 WHERE run_id = '{run_id}'"
        ));
    }
    let calls = (0..4).map(|minute| {
        let call = call(&format!("2026-03-01T10:0{minute}:00Z"), 300_000_000);
        UsageRow { success: minute < 2, ..call }
    });
    dir.record(&calls.collect::<Vec<_>>());
    dir
}

fn backtest(dir: &TestDir, args: &[&str]) -> Value {
    dir.ok(&[&["guardrail", "backtest"], args].concat())
}

fn run_ids(answer: &Value) -> Vec<&str> {
    let runs = answer["runs"].as_array().unwrap().iter();
    runs.map(|run| run["run_id"].as_str().unwrap()).collect()
}

#[test]
fn the_settings_in_force_are_replayed_on_the_ledger() {
    let dir = with_two_runs();
    let answer = backtest(&dir, &["--run-id", "r1"]);
    assert_eq!(answer["settings"]["LLM_DAILY_BUDGET_USD_HARD"], 1.0);
    let run = &answer["runs"][0];
    assert_eq!((&run["calls"], &run["cost_usd"]), (&json!(4), &json!(1.2)));
    assert_eq!(
        (&run["end_reason"], &run["ended_at"]),
        (&json!("done"), &json!("2026-03-01T11:00:00Z"))
    );
    assert_eq!(
        run["conditions"],
        json!([
            {
                "condition": "hard_budget_exceeded",
                "outcome": "tripped",
                "would_have_tripped_at": "2026-03-01T10:03:00Z",
                "observed": 1.2,
                "threshold": 1.0,
                "second_observed": null,
                "second_threshold": null,
                "calls_before": 4,
                "cost_usd_before": 1.2,
            },
            {
                "condition": "provider_failures_repeated",
                "outcome": "not_tripped",
                "would_have_tripped_at": null,
                "observed": 2.0,
                "threshold": 25.0,
                "second_observed": 0.5,
                "second_threshold": 0.5,
                "calls_before": null,
                "cost_usd_before": null,
            },
            {
                "condition": "db_pool_pressure",
                "outcome": "not_recorded",
                "would_have_tripped_at": null,
                "observed": null,
                "threshold": 0.95,
                "second_observed": null,
                "second_threshold": 3.0,
                "calls_before": null,
                "cost_usd_before": null,
            },
        ])
    );
}

#[test]
fn other_thresholds_can_be_tried_and_nothing_is_changed() {
    let dir = with_two_runs();
    let answer = backtest(
        &dir,
        &[
            "--since",
            "2026-03-01",
            "--set",
            "LLM_DAILY_BUDGET_USD_HARD=0.3",
            "--set",
            "STOP_PROVIDER_FAILURE_THRESHOLD=1",
            "--set",
            "STOP_PROVIDER_FAILURE_WINDOW_MINUTES=1",
        ],
    );
    assert_eq!(run_ids(&answer), ["r2", "r1"], "newest first");
    let tripped = |run: usize, condition: usize| &answer["runs"][run]["conditions"][condition]["would_have_tripped_at"];
    assert_eq!(tripped(0, 0), "2026-03-01T12:00:00Z", "r1 had spent the day's budget");
    assert_eq!(tripped(1, 0), "2026-03-01T10:00:00Z");
    assert_eq!(tripped(1, 1), "2026-03-01T10:02:00Z");
    assert_eq!(answer["runs"][1]["conditions"][1]["calls_before"], 3);
    assert_eq!(dir.ok(&["config", "get"])["overrides"]["LLM_DAILY_BUDGET_USD_HARD"], Value::Null);
}

#[test]
fn only_runs_open_since_then_are_replayed() {
    let dir = with_two_runs();
    assert_eq!(run_ids(&backtest(&dir, &["--since", "2026-03-01T11:30:00Z"])), ["r2"]);
    assert_eq!(run_ids(&backtest(&dir, &["--since", "2026-03-01T10:30:00Z"])), ["r2", "r1"]);
    assert_eq!(backtest(&dir, &["--since", "1h"])["runs"], json!([]));
}

#[test]
fn what_cannot_be_tried_is_refused_with_a_reason() {
    let dir = with_two_runs();
    for (setting, reason, expected) in [
        ("STOP_PROVIDER_FAILURE_TRESHOLD=1", "did you mean STOP_PROVIDER_FAILURE_THRESHOLD", 1),
        ("STOP_PROVIDER_FAILURE_THRESHOLD=0", "must be a whole number between 1 and 50000", 2),
        ("OPENROUTER_RPM_LIMIT=1", "plays no part in a backtest", 1),
    ] {
        let args = ["guardrail", "backtest", "--since", "7d", "--set", setting];
        let (code, error) = dir.fails(&args);
        assert_eq!((code, error.contains(reason)), (expected, true), "{error}");
    }
    let (code, error) = dir.fails(&["guardrail", "backtest", "--run-id", "r9"]);
    assert_eq!((code, error.as_str()), (1, "error: there is no run \"r9\"\n"));
}
