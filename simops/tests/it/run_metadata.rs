//! What a start request says about a run is kept in its registry row.

use std::sync::Arc;

use serde_json::json;
use simops::control::Environment;
use simops::ops::{Caller, Ops, OpsOptions, StartRun, StartedRun, StopRun};
use simops::run::RunRecord;
use simops::testing::MemoryStore;
use simops::{ErrorKind, Result, SystemClock};

async fn start(ops: &Ops, request: serde_json::Value) -> Result<StartedRun> {
    let request: StartRun = serde_json::from_value(request).unwrap();
    ops.writer(&Caller::default()).await?.start_run(&request).await
}

#[tokio::test]
async fn mirror_agents_and_deviation_are_kept_in_the_row() {
    let options = OpsOptions::of(Environment::Development);
    let ops = Ops::new(Arc::new(MemoryStore::new()), Arc::new(SystemClock), options);
    start(&ops, json!({ "mode": "real", "run_id": "control" })).await.unwrap();
    let writer = ops.writer(&Caller::default()).await.unwrap();
    writer.stop_run(&StopRun::default()).await.unwrap();
    let row = serde_json::to_value(ops.run("control").await.unwrap()).unwrap();
    assert_eq!((&row["mode"], &row["run_mode"]), (&json!("real"), &json!("real")));
    assert_eq!(row["mirror_control_run_id"], json!(null));
    assert_eq!(row["protocol_deviation"], false);

    let request = json!({
        "mode": "test", "run_id": "mirror", "mirror_control_run_id": "control",
        "carryover_agent_count": 40, "fresh_agent_count": 0, "protocol_deviation": true,
        "deviation_reason": " two agents left:\r\n\t7 and 9 ",
    });
    start(&ops, request).await.unwrap();
    let record = ops.run("mirror").await.unwrap();
    let row = serde_json::to_value(&record).unwrap();
    assert_eq!((&row["mode"], &row["run_mode"]), (&json!("test"), &json!("test")));
    assert_eq!(row["mirror_control_run_id"], "control");
    assert_eq!((&row["carryover_agent_count"], &row["fresh_agent_count"]), (&json!(40), &json!(0)));
    assert_eq!(row["protocol_deviation"], true);
    assert_eq!(row["deviation_reason"], "two agents left:\n\t7 and 9");
    let again = serde_json::from_value::<RunRecord>(row.clone()).unwrap();
    assert_eq!(serde_json::to_value(again).unwrap(), row);
}

#[tokio::test]
async fn a_reason_of_a_deviation_says_that_there_is_one() {
    let options = OpsOptions::of(Environment::Development);
    let ops = Ops::new(Arc::new(MemoryStore::new()), Arc::new(SystemClock), options);
    let with = |deviates: Option<bool>, reason: &str| {
        let mut request = json!({ "mode": "test", "run_id": "r1", "deviation_reason": reason });
        if let Some(deviates) = deviates {
            request["protocol_deviation"] = json!(deviates);
        }
        request
    };
    let refused = start(&ops, with(Some(false), "agent 7 left")).await.unwrap_err();
    assert_eq!(refused.fields()[0].field, "protocol_deviation");
    start(&ops, with(None, "agent 7 left")).await.unwrap();
    assert!(ops.run("r1").await.unwrap().protocol_deviation);
    let writer = ops.writer(&Caller::default()).await.unwrap();
    writer.stop_run(&StopRun::default()).await.unwrap();
    let request = json!({ "mode": "test", "run_id": "r2", "deviation_reason": " " });
    start(&ops, request).await.unwrap();
    assert!(!ops.run("r2").await.unwrap().protocol_deviation);
}

#[tokio::test]
async fn what_is_out_of_form_or_missing_is_refused() {
    let options = OpsOptions::of(Environment::Development);
    let ops = Ops::new(Arc::new(MemoryStore::new()), Arc::new(SystemClock), options);
    let refused = start(&ops, json!({ "mode": "test", "mirror_control_run_id": "none" })).await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Rejected);
    assert_eq!(refused.detail(), "mirror run none does not exist");
    for (field, value) in [
        ("carryover_agent_count", json!(-1)),
        ("fresh_agent_count", json!(-1)),
        ("mirror_control_run_id", json!("a b")),
        ("group_id", json!("a b")),
        ("group_id", json!("x".repeat(65))),
        ("deviation_reason", json!("a\u{0}b")),
        ("deviation_reason", json!("a\rb")),
        ("deviation_reason", json!("a\u{202e}b")),
        ("deviation_reason", json!("x".repeat(501))),
    ] {
        let refused = start(&ops, json!({ "mode": "test", field: value })).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Invalid, "{field}");
        assert_eq!(refused.fields()[0].field, field);
    }
}

#[test]
fn a_row_of_an_older_version_is_read() {
    let row = json!({
        "run_id": "r", "mode": "real", "protocol_version": "protocol_v1", "condition_name": null,
        "hypothesis_id": null, "season_id": null, "season_number": null, "parent_run_id": null,
        "transfer_policy_version": null, "epoch_id": null, "run_class": "standard_72h",
        "world_epoch": null, "started_at": "2026-03-01T00:00:00Z", "started_by": "ada",
        "start_reason": null, "ended_at": null, "end_reason": null, "ended_by": null,
    });
    let record: RunRecord = serde_json::from_value(row).unwrap();
    let row = serde_json::to_value(record).unwrap();
    assert_eq!((&row["run_mode"], &row["labels"]), (&json!("real"), &json!({})));
}

#[tokio::test]
async fn group_and_labels_are_kept_in_the_row() {
    let options = OpsOptions::of(Environment::Development);
    let ops = Ops::new(Arc::new(MemoryStore::new()), Arc::new(SystemClock), options);
    let request = json!({
        "mode": "test", "run_id": "r", "group_id": "pilot",
        "labels": { "seed": "3", "model": " gro\u{0308}ßer: 10 % ", "": "x" },
    });
    let refused = start(&ops, request.clone()).await.unwrap_err();
    assert_eq!(refused.fields()[0].field, "labels.");
    let mut request = request;
    request["labels"].as_object_mut().unwrap().remove("");
    start(&ops, request).await.unwrap();
    let row = serde_json::to_value(ops.run("r").await.unwrap()).unwrap();
    assert_eq!(row["group_id"], "pilot");
    assert_eq!(row["labels"], json!({ "seed": "3", "model": "gr\u{00f6}ßer: 10 %" }));
}

#[tokio::test]
async fn labels_out_of_form_are_refused_by_name() {
    let options = OpsOptions::of(Environment::Development);
    let ops = Ops::new(Arc::new(MemoryStore::new()), Arc::new(SystemClock), options);
    let many: serde_json::Map<_, _> = (0..21).map(|n| (format!("l{n}"), json!("x"))).collect();
    for (labels, field) in [
        (json!({ "a b": "x" }), "labels.a b"),
        (json!({ "a:b": "x" }), "labels.a:b"),
        (json!({ "x".repeat(65): "x" }), &*format!("labels.{}", "x".repeat(65))),
        (json!({ "größe": "x" }), "labels.größe"),
        (json!({ "seed": "" }), "labels.seed"),
        (json!({ "seed": " \n" }), "labels.seed"),
        (json!({ "seed": "a\nb" }), "labels.seed"),
        (json!({ "seed": "a\u{202e}b" }), "labels.seed"),
        (json!({ "seed": "x".repeat(121) }), "labels.seed"),
        (json!(many), "labels"),
    ] {
        let refused = start(&ops, json!({ "mode": "test", "labels": labels })).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Invalid, "{field}");
        assert_eq!(refused.fields()[0].field, field);
    }
    let fits = json!({ "x".repeat(64): "ü".repeat(120) });
    start(&ops, json!({ "mode": "test", "labels": fits })).await.unwrap();
}
