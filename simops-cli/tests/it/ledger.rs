//! The usage ledger: it lists, its sums verify, and wrong ones are found and put right.

use serde_json::{Value, json};
use simops::usage::UsageRow;

use crate::support::{Place, call};

fn with_two_calls() -> Place {
    let place = Place::with_database();
    place.record(&[
        call("2026-03-01T10:00:00Z", 1_500_000),
        UsageRow {
            success: false,
            error_type: Some("timeout".into()),
            run_id: Some("r2".into()),
            ..call("2026-03-01T11:00:00Z", 250_000)
        },
    ]);
    place
}

fn costs(list: &Value) -> Vec<f64> {
    list["items"].as_array().unwrap().iter().map(|row| row["cost_usd"].as_f64().unwrap()).collect()
}

#[test]
fn sums_that_were_falsified_are_found_and_put_right() {
    let place = with_two_calls();
    let said = place.run(&["usage", "verify"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let equal = json!({ "ok": true, "rows": 2, "pruned": 0, "leases": 0, "days": 1, "runs": 2,
                "differences": [] });
    assert_eq!(said.json(), equal);
    let counted = "every sum equals the ledger: 2 rows, 0 open leases, 1 day, 2 runs\n";
    assert_eq!(said.stderr, counted);

    place.tamper("UPDATE usage_days SET cost = 7");
    place.tamper("UPDATE usage_runs SET calls = calls + 1 WHERE run_id = 'r2'");
    let said = place.run(&["usage", "verify"]);
    assert_eq!(said.code, 1);
    let wrong = json!([
        { "of": "day 2026-03-01", "counter": "cost_nano_usd", "kept": 7, "counted": 1_750_000 },
        { "of": "run r2", "counter": "calls", "kept": 2, "counted": 1 },
    ]);
    assert_eq!((&said.json()["ok"], &said.json()["differences"]), (&json!(false), &wrong));
    assert!(said.stderr.starts_with("error: 2 sums not equal to the ledger"), "{}", said.stderr);
    assert!(said.stderr.contains("cost_nano_usd of day 2026-03-01: kept 7"), "{}", said.stderr);

    let rebuilt = place.ok(&["usage", "rebuild"]);
    assert_eq!((&rebuilt["ok"], &rebuilt["repaired"]), (&json!(true), &wrong));
    assert_eq!(place.ok(&["usage", "verify"]), equal);
    assert_eq!(place.ok(&["usage", "rebuild"])["repaired"], json!([]), "nothing is left to do");
}

#[test]
fn a_closed_write_gate_refuses_to_rebuild_but_not_to_look() {
    let place = with_two_calls();
    place.tamper("UPDATE usage_days SET calls_total = 9");
    let (code, error) = place.fails(&["--environment", "production", "usage", "rebuild"]);
    assert_eq!((code, error.contains("write controls are disabled")), (1, true), "{error}");
    let said = place.run(&["--environment", "production", "usage", "verify"]);
    assert_eq!((said.code, &said.json()["differences"][0]["kept"]), (1, &json!(9)));
}

#[test]
fn the_ledger_is_listed_page_by_page_with_its_costs() {
    let place = with_two_calls();
    let first = place.ok(&["usage", "list", "--limit", "1"]);
    assert_eq!(costs(&first), [0.0015]);
    let row = &first["items"][0];
    assert_eq!(
        (&row["created_at"], &row["run_id"]),
        (&json!("2026-03-01T10:00:00Z"), &json!("r1"))
    );
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = place.ok(&["usage", "list", "--cursor", cursor]);
    assert_eq!((costs(&second), &second["next_cursor"]), (vec![0.00025], &Value::Null));
    assert_eq!(second["items"][0]["error_type"], "timeout");

    assert_eq!(costs(&place.ok(&["usage", "list", "--run-id", "r1"])), [0.0015]);
    let since = place.ok(&["usage", "list", "--since", "2026-03-01T10:30:00Z"]);
    assert_eq!(costs(&since), [0.00025]);
    assert_eq!(costs(&place.ok(&["usage", "list", "--since", "2026-03-02"])), [0.0; 0]);
    assert_eq!(place.fails(&["usage", "list", "--limit", "0"]).0, 1);
}
