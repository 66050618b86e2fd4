//! Budgets through the API: listed, defined, changed, deleted, and what they refuse.

use axum::http::Method;
use serde_json::{Value, json};
use simops::usage::{Lease, NanoUsd, UsageRow};

use crate::support::{Answer, TestApp};

/// A call of run `r1` that cost 0.002 USD is in the ledger.
async fn a_call_was_made(app: &TestApp) {
    let now = jiff::Timestamp::now();
    let lease = Lease {
        id: uuid::Uuid::now_v7(),
        day: simops::clock::day_of(now),
        run_id: Some("r1".to_owned()),
        agent_id: None,
        checkpoint: None,
        provider: "groq".to_owned(),
        model: "m".to_owned(),
        upper_bound: NanoUsd(2_000_000),
        priced: true,
        created_at: now,
        expires_at: now,
        input_tokens: 10,
        output_tokens: 5,
    };
    let row = UsageRow { success: true, error_type: None, ..lease.expired(now) };
    app.store.record_usage(&[row]).await.unwrap();
}

async fn put(app: &TestApp, id: &str, body: Value) -> Answer {
    app.call(Method::PUT, &format!("budgets/{id}")).json(&body).send().await
}

fn calls(hard: i64) -> Value {
    json!({ "scope": "deployment", "window": "day", "unit": "calls", "hard": hard })
}

async fn listed(app: &TestApp) -> Vec<String> {
    let items = app.get("budgets").await.ok()["items"].clone();
    let ids =
        items.as_array().unwrap().iter().map(|budget| budget["id"].as_str().unwrap().to_owned());
    ids.collect()
}

#[tokio::test]
async fn a_budget_is_defined_changed_and_deleted() {
    let app = TestApp::new();
    assert_eq!(listed(&app).await.len(), 5, "those of the settings");
    let body = json!({
        "scope": "provider", "key": "Groq", "window": "month", "unit": "usd", "soft": 1, "hard": 2.5,
        "reason": "a trial",
    });
    let set = put(&app, "trial", body).await.ok();
    assert_eq!(
        (&set["key"], &set["hard"], &set["spent"]),
        (&json!("groq"), &json!(2.5), &json!(0.0))
    );
    assert_eq!((&set["counted"], &set["setting"]), (&json!(true), &Value::Null));
    assert!(set["resets_at"].as_str().unwrap().ends_with("-01T00:00:00Z"), "{set}");
    let changed = json!({
        "scope": "provider", "key": "groq", "window": "month", "unit": "usd", "hard": 3,
    });
    let changed_to = put(&app, "trial", changed.clone()).await.ok();
    assert_eq!((&changed_to["soft"], &changed_to["hard"]), (&Value::Null, &json!(3.0)));
    put(&app, "trial", changed).await.ok();
    let raised = put(&app, "trial", json!({ "soft": 2 })).await.ok();
    assert_eq!((&raised["soft"], &raised["hard"]), (&json!(2.0), &json!(3.0)));
    assert_eq!((&raised["window"], &raised["unit"]), (&json!("month"), &json!("usd")));
    put(&app, "trial", json!({ "hard": 1 })).await.names("soft");
    put(&app, "trial", json!({ "window": "day", "hard": 1 })).await.names("scope");
    assert!(listed(&app).await.contains(&"trial".to_owned()));
    let misspelt = json!({ "resaon": "x" });
    app.call(Method::DELETE, "budgets/trial").json(&misspelt).send().await.names("resaon");
    let delete =
        || app.call(Method::DELETE, "budgets/trial").json(&json!({ "reason": "over" })).send();
    assert_eq!(delete().await.ok(), json!({ "ok": true, "id": "trial" }));
    assert!(delete().await.problem(404).contains("trial"));
    let audit = app.get("audit").await.ok();
    let rows: Vec<_> = audit["items"].as_array().unwrap().iter().map(|row| &row["key"]).collect();
    assert_eq!(rows, ["BUDGET:trial"; 4], "what changes nothing leaves no row");
    assert_eq!(audit["items"][0]["new_value"], Value::Null);
    assert_eq!(audit["items"][3]["reason"], "a trial");
}

#[tokio::test]
async fn wrong_fields_are_named_and_settings_are_no_budgets() {
    let app = TestApp::new();
    let with = |field: &str, value: Value| {
        let mut body = calls(5);
        body[field] = value;
        body
    };
    for (field, value) in [
        ("scope", json!("planet")),
        ("window", json!("week")),
        ("unit", json!("euro")),
        ("hard", json!(-1)),
        ("hard", json!(0)),
        ("hard", json!(1.5)),
        ("hard", json!("many")),
        ("soft", json!(6)),
        ("key", json!("x")),
        ("hrad", json!(1)),
    ] {
        put(&app, "b", with(field, value)).await.names(field);
    }
    put(&app, "b", json!({})).await.names("scope");
    let refused = put(&app, "b", with("hard", json!("many"))).await;
    let detail = refused.problem(422);
    assert!(detail.contains("must be a number, not string"), "{detail}");
    put(&app, "b%20c", calls(5)).await.names("id");
    let of_run = json!({ "scope": "run", "key": "nix", "window": "run", "unit": "usd", "hard": 1 });
    put(&app, "b", of_run).await.names("key");
    let setting = put(&app, "llm_daily_budget_usd", calls(5)).await;
    assert!(setting.problem(409).contains("PATCH config"));
    assert_eq!(listed(&app).await.len(), 5);
}

#[tokio::test]
async fn a_spent_budget_refuses_a_start_and_a_limit_that_ends_a_run_is_forced() {
    let app = TestApp::new();
    a_call_was_made(&app).await;
    app.post("control/run/start", json!({ "mode": "test", "run_id": "r1" })).await.ok();
    let one = |hard: i64| json!({ "scope": "run", "key": "r1", "window": "run", "unit": "calls", "hard": hard });
    let refused = put(&app, "one", one(1)).await;
    assert!(refused.problem(409).contains("r1 has used 1 calls"), "{}", refused.problem(409));
    put(&app, "one", one(2)).await.ok();
    put(&app, "one", one(1)).await.problem(409);
    let mut forced = one(1);
    forced["force"] = json!(true);
    let set = put(&app, "one", forced).await.ok();
    assert_eq!((&set["spent"], &set["left"]), (&json!(1), &json!(0)));
    assert_eq!(set["uses"][0]["window"], "r1");
    app.post("control/pause", json!({})).await.ok();
    let refused = app.post("control/resume", json!({})).await;
    assert!(refused.problem(409).contains("budget one is spent: 1 of 1 calls"));
    app.post("control/run/stop", json!({})).await.ok();

    put(
        &app,
        "all",
        json!({
            "scope": "deployment", "window": "lifetime", "unit": "usd", "hard": 0.002,
        }),
    )
    .await
    .ok();
    let refused = app.post("control/run/start", json!({ "mode": "test" })).await;
    assert!(refused.problem(409).contains("budget all is spent: 0.002 of 0.002 usd"));
    app.call(Method::DELETE, "budgets/all").json(&json!({})).send().await.ok();
    app.post("control/run/start", json!({ "mode": "test" })).await.ok();
}
