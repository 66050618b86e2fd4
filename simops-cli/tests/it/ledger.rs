//! The usage ledger: it lists, its sums verify, and wrong ones are found and put right.

use serde_json::{Value, json};
use simops::usage::UsageRow;

use crate::support::{TestDir, call};

fn with_two_calls() -> TestDir {
    let dir = TestDir::with_database();
    dir.record(&[
        call("2026-03-01T10:00:00Z", 1_500_000),
        UsageRow {
            success: false,
            error_type: Some("timeout".into()),
            run_id: Some("r2".into()),
            ..call("2026-03-01T11:00:00Z", 250_000)
        },
    ]);
    dir
}

fn costs(list: &Value) -> Vec<f64> {
    list["items"].as_array().unwrap().iter().map(|row| row["cost_usd"].as_f64().unwrap()).collect()
}

#[test]
fn sums_that_were_falsified_are_found_and_put_right() {
    let dir = with_two_calls();
    let output = dir.run(&["usage", "verify"]);
    assert_eq!(output.code, 0, "{}", output.stderr);
    let equal = json!({ "ok": true, "rows": 2, "pruned": 0, "leases": 0, "days": 1, "runs": 2,
                "differences": [] });
    assert_eq!(output.json(), equal);
    let counted = "every sum equals the ledger: 2 rows, 0 open leases, 1 day, 2 runs\n";
    assert_eq!(output.stderr, counted);

    dir.tamper("UPDATE usage_days SET cost = 7");
    dir.tamper("UPDATE usage_runs SET calls = calls + 1 WHERE run_id = 'r2'");
    let output = dir.run(&["usage", "verify"]);
    assert_eq!(output.code, 1);
    let wrong = json!([
        { "of": "day 2026-03-01", "counter": "cost_nano_usd", "kept": 7, "counted": 1_750_000 },
        { "of": "run r2", "counter": "calls", "kept": 2, "counted": 1 },
    ]);
    assert_eq!((&output.json()["ok"], &output.json()["differences"]), (&json!(false), &wrong));
    assert!(
        output.stderr.starts_with("error: 2 sums not equal to the ledger"),
        "{}",
        output.stderr
    );
    assert!(output.stderr.contains("cost_nano_usd of day 2026-03-01: kept 7"), "{}", output.stderr);

    let rebuilt = dir.ok(&["usage", "rebuild"]);
    assert_eq!((&rebuilt["ok"], &rebuilt["repaired"]), (&json!(true), &wrong));
    assert_eq!(dir.ok(&["usage", "verify"]), equal);
    assert_eq!(dir.ok(&["usage", "rebuild"])["repaired"], json!([]), "nothing is left to do");
}

#[test]
fn a_closed_write_gate_refuses_to_rebuild_but_not_to_look() {
    let dir = with_two_calls();
    dir.tamper("UPDATE usage_days SET calls_total = 9");
    let (code, error) = dir.fails(&["--environment", "production", "usage", "rebuild"]);
    assert_eq!((code, error.contains("write controls are disabled")), (1, true), "{error}");
    let output = dir.run(&["--environment", "production", "usage", "verify"]);
    assert_eq!((output.code, &output.json()["differences"][0]["kept"]), (1, &json!(9)));
}

#[test]
fn the_ledger_is_listed_page_by_page_with_its_costs() {
    let dir = with_two_calls();
    let first = dir.ok(&["usage", "list", "--limit", "1"]);
    assert_eq!(costs(&first), [0.0015]);
    let row = &first["items"][0];
    assert_eq!(
        (&row["created_at"], &row["run_id"]),
        (&json!("2026-03-01T10:00:00Z"), &json!("r1"))
    );
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = dir.ok(&["usage", "list", "--cursor", cursor]);
    assert_eq!((costs(&second), &second["next_cursor"]), (vec![0.00025], &Value::Null));
    assert_eq!(second["items"][0]["error_type"], "timeout");

    assert_eq!(costs(&dir.ok(&["usage", "list", "--run-id", "r1"])), [0.0015]);
    let since = dir.ok(&["usage", "list", "--since", "2026-03-01T10:30:00Z"]);
    assert_eq!(costs(&since), [0.00025]);
    assert_eq!(costs(&dir.ok(&["usage", "list", "--since", "2026-03-02"])), [0.0; 0]);
    assert_eq!(dir.fails(&["usage", "list", "--limit", "0"]).0, 2);
}
