//! The usage ledger: it lists, its sums verify, and wrong ones are found and put right.

use rusqlite::Connection;
use serde_json::{Value, json};
use simops::store::UsageStore;
use simops::usage::{NanoUsd, UsageRow};
use simops_sqlite::SqliteStore;
use uuid::Uuid;

use crate::support::Place;

/// A call of the run `r1` on 1 March 2026 that cost `nanos`.
pub(crate) fn call(at: &str, nanos: i64) -> UsageRow {
    UsageRow {
        id: Uuid::now_v7(),
        day: "2026-03-01".parse().unwrap(),
        run_id: Some("r1".into()),
        agent_id: Some(7),
        checkpoint: Some(3),
        provider: "groq".into(),
        model_requested: "m".into(),
        model_resolved: None,
        input_tokens: 100,
        cached_input_tokens: 0,
        output_tokens: 20,
        reasoning_tokens: 0,
        cost: NanoUsd(nanos),
        priced: true,
        success: true,
        fallback_used: false,
        latency_ms: 12,
        error_type: None,
        created_at: at.parse().unwrap(),
    }
}

/// A folder whose database has these rows in its ledger.
pub(crate) fn with_ledger(rows: &[UsageRow]) -> Place {
    let place = Place::with_database();
    let url = format!("sqlite://{}", place.path().join("simops.db").display());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        SqliteStore::open(&url).await.unwrap().record_usage(rows).await.unwrap();
    });
    place
}

fn with_two_calls() -> Place {
    with_ledger(&[
        call("2026-03-01T10:00:00Z", 1_500_000),
        UsageRow {
            success: false,
            error_type: Some("timeout".into()),
            run_id: Some("r2".into()),
            ..call("2026-03-01T11:00:00Z", 250_000)
        },
    ])
}

fn falsify(place: &Place, sql: &str) {
    let database = Connection::open(place.path().join("simops.db")).unwrap();
    assert!(database.execute(sql, []).unwrap() > 0);
}

fn costs(list: &Value) -> Vec<f64> {
    list["items"].as_array().unwrap().iter().map(|row| row["cost_usd"].as_f64().unwrap()).collect()
}

#[test]
fn sums_that_were_falsified_are_found_and_put_right() {
    let place = with_two_calls();
    let said = place.run(&["usage", "verify"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let equal =
        json!({ "ok": true, "rows": 2, "leases": 0, "days": 1, "runs": 2, "differences": [] });
    assert_eq!(said.json(), equal);
    let counted = "every sum equals the ledger: 2 rows, 0 open leases, 1 day, 2 runs\n";
    assert_eq!(said.stderr, counted);

    falsify(&place, "UPDATE usage_days SET cost = 7");
    falsify(&place, "UPDATE usage_runs SET calls = calls + 1 WHERE run_id = 'r2'");
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
    falsify(&place, "UPDATE usage_days SET calls_total = 9");
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
