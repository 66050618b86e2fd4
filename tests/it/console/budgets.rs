//! The panel of budgets: defining, editing and deleting one, and what is shown of its use.

use jiff::Timestamp;
use serde_json::{Value, json};
use simops::store::UsageStore;
use simops::usage::{NanoUsd, UsageRow};
use simops_sqlite::SqliteStore;
use simops_tests::browser::Browser;
use simops_tests::{Server, ServerBuilder, eventually};
use uuid::Uuid;

/// The budget of that id, as the API shows it.
async fn budget(server: &Server, id: &str) -> Option<Value> {
    let all = server.client.get("budgets").await.ok();
    all["items"].as_array().unwrap().iter().find(|budget| budget["id"] == id).cloned()
}

async fn choose(browser: &Browser, field: &str, value: &str) {
    let select = browser.find(&format!("budget-field-{field}")).await;
    select.select_by_value(value).await.unwrap();
}

async fn fill(browser: &Browser, field: &str, text: &str) {
    browser.type_into(&format!("budget-field-{field}"), text).await;
}

/// Whether the field is marked as wrong.
fn marked(field: &str) -> String {
    format!(
        "return document.querySelector('#budget-field-{field}').getAttribute('aria-invalid') === 'true'"
    )
}

async fn until_closed(browser: &Browser, what: &str) {
    browser.until(what, "return document.querySelector('dialog') === null").await;
}

fn call(run_id: &str, agent_id: i64) -> UsageRow {
    let now = Timestamp::now();
    UsageRow {
        id: Uuid::now_v7(),
        day: simops::clock::day_of(now),
        run_id: Some(run_id.to_owned()),
        agent_id: Some(agent_id.into()),
        checkpoint: None,
        provider: "groq".to_owned(),
        model_requested: "m".to_owned(),
        model_resolved: None,
        input_tokens: 90,
        cached_input_tokens: 0,
        output_tokens: 10,
        reasoning_tokens: 0,
        cost: NanoUsd(1_000),
        priced: true,
        success: true,
        sent: true,
        over_reservation: false,
        fallback_used: false,
        latency_ms: 5,
        error_type: None,
        created_at: now,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_defines_edits_and_deletes_a_budget() {
    let dir = tempfile::tempdir().unwrap();
    let server = ServerBuilder::new(dir.path()).start().await;
    let browser = Browser::open(1440, 1000).await;
    browser.connect(&server.base, "ada").await;

    // The caps of the settings are listed, and not changed here.
    let cap = "budget-row-llm_max_calls_per_day_openrouter_free";
    browser.until_text(cap, "model names ending in :free").await;
    browser.until_text(cap, "Setting LLM_MAX_CALLS_PER_DAY_OPENROUTER_FREE").await;
    browser.until_text(cap, "settings panel").await;
    let editable = format!(
        "return [...document.querySelectorAll('[data-testid={cap}] button')].some((button) => button.checkVisibility())"
    );
    assert_eq!(browser.run(&editable).await, false);

    // What is wrong is shown at its field: first by the page, then by the server.
    browser.click("new-budget").await;
    browser.until_enabled("budget-field-key", false).await;
    browser.click("budget-save").await;
    browser.until_text("budget-dialog", "An ID is needed").await;
    fill(&browser, "id", "llm_daily_budget_usd").await;
    browser.click("budget-save").await;
    browser.until_text("budget-dialog", "A budget has this ID already").await;
    fill(&browser, "id", "team-a-daily").await;
    choose(&browser, "scope", "group").await;
    fill(&browser, "key", "a*b").await;
    fill(&browser, "soft", "3").await;
    fill(&browser, "hard", "many").await;
    browser.click("budget-save").await;
    browser.until_text("budget-dialog", "A number, or empty for no limit").await;
    browser.until("the limit is marked", &marked("hard")).await;
    fill(&browser, "hard", "2").await;
    browser.click("budget-save").await;
    browser.until_text("budget-dialog", "may hold one *").await;
    browser.until_text("budget-dialog", "must not be above hard").await;
    for field in ["key", "soft"] {
        browser.until(field, &marked(field)).await;
    }
    let wrong = browser.inaccessible().await;
    assert!(wrong.is_empty(), "the dialog: {wrong:#?}");
    fill(&browser, "key", "team-a").await;
    fill(&browser, "soft", "1").await;
    fill(&browser, "reason", "a new team").await;
    browser.click("budget-save").await;
    until_closed(&browser, "the budget is set").await;
    let row = "budget-row-team-a-daily";
    browser.until_text(row, "$0.0000 of $2.0000").await;
    browser.until_text(row, "Counts group team-a, per UTC day").await;
    browser.until_text(row, "Soft limit $1.0000").await;
    let set = budget(&server, "team-a-daily").await.unwrap();
    assert_eq!((&set["key"], &set["hard"]), (&json!("team-a"), &json!(2.0)));

    // The dialog is filled in with what there is; the ID is fixed.
    browser.click("edit-budget-team-a-daily").await;
    let filled = "return ['id', 'scope', 'key', 'soft', 'hard'].map((name) => document.querySelector(`#budget-field-${name}`).value)";
    assert_eq!(browser.run(filled).await, json!(["team-a-daily", "group", "team-a", "1", "2"]));
    let fixed = "return document.querySelector('#budget-field-id').readOnly";
    assert_eq!(browser.run(fixed).await, true);
    fill(&browser, "hard", "2.5").await;
    choose(&browser, "window", "month").await;
    browser.click("budget-save").await;
    until_closed(&browser, "the budget is changed").await;
    browser.until_text(row, "$0.0000 of $2.5000").await;
    browser.until_text(row, "per calendar month").await;

    // What another operator does shows without a reload.
    let path = "budgets/others";
    let body =
        json!({ "scope": "agent", "key": "*", "window": "lifetime", "unit": "calls", "soft": 9 });
    let put = server.client.request(reqwest::Method::PUT, path).json(&body);
    server.client.send(put).await.unwrap().ok();
    browser.until_text("budget-row-others", "0 of 9 calls (soft)").await;
    browser.until_text("budget-row-others", "Counts each agent, for all time").await;

    browser.click("delete-budget-team-a-daily").await;
    browser.until_text("confirm", "$0.0000 of $2.5000").await;
    browser.type_into("confirm-reason", "the team is gone").await;
    browser.click("confirm-ok").await;
    let gone = format!("return document.querySelector('[data-testid={row}]') === null");
    browser.until("the budget is deleted", &gone).await;
    assert_eq!(budget(&server, "team-a-daily").await, None);
    let audit = server.client.get("audit?limit=20").await.ok();
    let rows = audit["items"].as_array().unwrap();
    let of_it: Vec<_> = rows.iter().filter(|row| row["key"] == "BUDGET:team-a-daily").collect();
    let reasons: Vec<_> = of_it.iter().filter_map(|row| row["reason"].as_str()).collect();
    assert_eq!((of_it.len(), reasons), (3, vec!["the team is gone", "a new team"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uses_are_shown_and_a_limit_that_ends_a_run_needs_agreement() {
    let dir = tempfile::tempdir().unwrap();
    let server = ServerBuilder::new(dir.path()).env("SIMOPS_HOST", "none").start().await;
    let start = json!({ "mode": "test", "run_id": "first" });
    server.client.post("control/run/start", &start).await.ok();
    let url = format!("sqlite://{}", dir.path().join("simops.db").display());
    let store = SqliteStore::open(&url).await.unwrap();
    store.record_usage(&[call("first", 1), call("first", 2), call("first", 2)]).await.unwrap();
    let browser = Browser::open(1440, 1000).await;
    browser.connect(&server.base, "ada").await;

    browser.click("new-budget").await;
    fill(&browser, "id", "agents").await;
    choose(&browser, "scope", "agent").await;
    fill(&browser, "key", "*").await;
    // A day may end during the test.
    choose(&browser, "window", "lifetime").await;
    choose(&browser, "unit", "calls").await;
    fill(&browser, "soft", "2").await;
    fill(&browser, "hard", "1000").await;
    browser.click("budget-save").await;
    until_closed(&browser, "the budget is set").await;
    browser.until_text("budget-row-agents", "2 of 1,000 calls").await;
    browser.until_text("budget-row-agents", "The soft limit of 2 calls is reached").await;
    browser.until_text("budget-uses-agents", "2 uses").await;
    browser.run("document.querySelector('[data-testid=budget-uses-agents] summary').click()").await;
    let uses = "return [...document.querySelectorAll('[data-testid=budget-uses-agents] tbody tr')] \
                .map((row) => [0, 2, 4].map((n) => row.children[n].textContent))";
    let wanted = json!([["2", "2", "998"], ["1", "1", "999"]]);
    eventually("the uses", async || (browser.run(uses).await == wanted).then_some(())).await;
    let wrong = browser.inaccessible().await;
    assert!(wrong.is_empty(), "the uses: {wrong:#?}");

    browser.click("new-budget").await;
    fill(&browser, "id", "run").await;
    choose(&browser, "scope", "run").await;
    fill(&browser, "key", "first").await;
    choose(&browser, "window", "lifetime").await;
    choose(&browser, "unit", "tokens").await;
    fill(&browser, "hard", "200").await;
    browser.click("budget-save").await;
    browser.until_text("budget-form-error", "would end at once").await;
    browser.until_text("budget-dialog", "Set it anyway").await;
    assert_eq!(budget(&server, "run").await, None);
    // Agreement holds for these values only.
    let force = "return document.querySelector('#budget-force')";
    browser.click("budget-force").await;
    fill(&browser, "hard", "100").await;
    browser.until("it is withdrawn", &format!("{force}.checked === false")).await;
    browser.until("it is hidden", &format!("{force}.checkVisibility() === false")).await;
    browser.click("budget-save").await;
    browser.until_text("budget-form-error", "would end at once").await;
    browser.click("budget-force").await;
    browser.click("budget-save").await;
    until_closed(&browser, "the budget is set").await;
    browser.until_text("budget-row-run", "300 of 100 tokens").await;
    browser.until_text("budget-row-run", "The hard limit is reached").await;
}
