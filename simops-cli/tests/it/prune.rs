//! `prune`.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use simops::event::NewEvent;
use simops::kpi::{Kind, KpiEvent};
use simops::store::{EventStore, KpiStore};

use crate::support::{CliOutput, TestDir, call};

#[test]
fn old_events_go_and_a_dry_run_only_counts_them() {
    let dir = TestDir::with_database();
    let old = Timestamp::from_second(1_000_000_000).unwrap();
    let events: Vec<_> = (0..7).map(|_| NewEvent::new("work", "long ago", old)).collect();
    let url = format!("sqlite://{}", dir.path().join("simops.db").display());
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let store = simops_sqlite::SqliteStore::open(&url).await.unwrap();
        store.append(&events).await.unwrap();
        store.append(&[NewEvent::new("work", "now", Timestamp::now())]).await.unwrap();
    });
    let prune = |arguments: &[&str]| {
        let all = [&["prune", "--older-than", "30d"], arguments].concat();
        let output = CliOutput::of(dir.command(&all).output().unwrap());
        assert_eq!(output.code, 0, "{}", output.stderr);
        let answer: serde_json::Value = serde_json::from_str(&output.stdout).unwrap();
        (answer["events"]["old"].as_u64().unwrap(), answer["events"]["deleted"].as_u64().unwrap())
    };
    assert_eq!(prune(&["--dry-run"]), (7, 0));
    assert_eq!(prune(&[]), (7, 7));
    assert_eq!(prune(&[]), (0, 0));
}

fn visit(days: i64) -> KpiEvent {
    let at = Timestamp::now() - SignedDuration::from_hours(24 * days);
    KpiEvent::new(Kind::RunDetailView, "visitor", at)
}

#[test]
fn old_calls_and_visits_go_and_verification_knows_of_them() {
    let dir = TestDir::with_database();
    let calls = (1..=9).map(|number| call("2024-01-01T00:00:00Z", number));
    dir.record(&calls.collect::<Vec<_>>());
    let url = format!("sqlite://{}", dir.path().join("simops.db").display());
    let visits: Vec<_> = (0..130).map(visit).collect();
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let store = simops_sqlite::SqliteStore::open(&url).await.unwrap();
        store.record_kpi(&visits).await.unwrap();
    });

    let (code, output) = dir.fails(&["prune", "--what", "ledger,visits", "--older-than", "60d"]);
    assert_eq!(code, 2);
    assert!(output.contains("must be at least 91 days ago"), "{output}");
    assert_eq!(dir.fails(&["prune", "--what", "audit", "--older-than", "100d"]).0, 2);

    let pruned = dir.ok(&["prune", "--what", "visits,ledger", "--older-than", "100d"]);
    // The newest of the ledger stays; the newest visit, recorded last, is the oldest by date.
    assert_eq!(pruned["ledger"], json!({ "old": 8, "deleted": 8 }));
    assert_eq!(pruned["visits"], json!({ "old": 29, "deleted": 29 }));
    assert_eq!(pruned.get("events"), None);
    let verified = dir.run(&["usage", "verify"]);
    assert_eq!(verified.code, 0, "{}", verified.stderr);
    assert!(verified.stderr.contains("1 row, 8 pruned"), "{}", verified.stderr);
    let verified = dir.run(&["kpi", "verify"]);
    assert_eq!(verified.code, 0, "{}", verified.stderr);
    let rebuilt = dir.ok(&["kpi", "rebuild"]);
    assert_eq!(rebuilt["pruned"], 29);
    assert_eq!(rebuilt["repaired"], json!([]));
    // What is wrong is still found.
    dir.tamper("UPDATE usage_days SET calls_total = calls_total + 1");
    dir.tamper(
        "UPDATE kpi_pruned SET events = events + 1 WHERE day = (SELECT min(day) FROM kpi_pruned)",
    );
    assert_eq!(dir.fails(&["usage", "verify"]).0, 1);
    assert_eq!(dir.fails(&["kpi", "verify"]).0, 1);
}
