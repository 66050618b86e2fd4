//! A run's whole life with the mouse, and what two operators see of each other.

use serde_json::json;
use simops_tests::browser::Browser;
use simops_tests::wait::Stopwatch;
use simops_tests::{ServerBuilder, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_takes_a_run_through_its_life_with_the_mouse() {
    let dir = tempfile::tempdir().unwrap();
    let server = ServerBuilder::new(dir.path()).start().await;
    let browser = Browser::open(1440, 1000).await;
    browser.connect(&server.base, "ada").await;
    browser.until_text("banner-environment", "development").await;
    browser.until_text("banner-write", "write controls enabled").await;
    browser.until_text("run-state", "idle").await;
    assert!(browser.find("reset-world").await.is_selected().await.unwrap(), "on by default");
    browser.until_text("panel-controls", "No run has been started").await;

    // Invalid input is marked at its field, and nothing is sent.
    browser.type_into("field-season_id", "s1").await;
    browser.type_into("field-condition_name", "no spaces here").await;
    browser.click("start-test").await;
    browser.until_text("panel-controls", "Only letters, digits").await;
    browser.until_text("panel-controls", "At least 1 when a season ID is given").await;
    browser.type_into("field-season_number", "3").await;
    browser.type_into("field-condition_name", "baseline:a").await;
    browser.type_into("field-hypothesis_id", "H1").await;
    browser.type_into("field-carryover_agent_count", "7").await;
    browser.type_into("field-group_id", "pilot").await;
    browser.type_into("field-labels", "seed=3, seed=4").await;
    browser.click("start-test").await;
    browser.until_text("panel-controls", "“seed” is given twice").await;
    browser.type_into("field-labels", "seed=3, model=a = b").await;
    browser.type_into("field-deviation_reason", "a shorter day").await;
    browser.type_into("run-id", "first").await;
    browser.type_into("run-reason", "to see it run").await;
    browser.click("start-test").await;
    browser.until_text("confirm", "First a new world is built").await;
    browser.until_text("confirm", "to see it run").await;
    browser.click("confirm-ok").await;
    browser.until_text("run-state", "running").await;
    browser.until_text("panel-status", "baseline:a").await;
    browser.until_text("panel-status", "s1, no. 3").await;
    browser.until_text("panel-status", "a shorter day").await;
    let run = server.client.get("runs/first").await.ok();
    assert_eq!(
        (&run["carryover_agent_count"], &run["protocol_deviation"]),
        (&json!(7), &json!(true))
    );
    let labels = json!({ "seed": "3", "model": "a = b" });
    assert_eq!((&run["group_id"], &run["labels"]), (&json!("pilot"), &labels));
    browser.until_text("panel-status", "model=a = b, seed=3").await;
    browser.until_text("panel-events", "_").await;
    browser.until_text("hosts", "running").await;
    // Only one run is open at a time: the control says so instead of failing.
    browser.until_enabled("start-real", false).await;
    browser.until_text("panel-controls", "Run first has not ended").await;

    browser.confirm("degrade").await;
    browser.until_text("degrade", "Clear degrade").await;
    browser.confirm("degrade").await;
    browser
        .until(
            "the usual routes",
            "return document.querySelector('[data-testid=degrade]').textContent === 'Degrade'",
        )
        .await;
    for (control, state) in [("pause", "paused"), ("resume", "running"), ("stop", "stopped")] {
        browser.confirm(control).await;
        browser.until_text("run-state", state).await;
    }
    let before = server.client.get("audit?limit=1").await.ok()["count"].as_i64().unwrap();
    browser.click("reset").await;
    browser.click("confirm-cancel").await;
    assert_eq!(server.client.get("audit?limit=1").await.ok()["count"], before, "cancelled");
    browser.confirm("reset").await;
    browser.until_text("panel-events", "world_reset").await;

    // The metadata of the ended run serve the next one; its id does not.
    browser.click("load-current").await;
    browser
        .until(
            "the fields are filled",
            "return document.querySelector('[data-testid=field-hypothesis_id]').value === 'H1'",
        )
        .await;
    browser.type_into("run-id", "second").await;
    browser.confirm("start-real").await;
    browser.until_text("run-state", "running").await;
    browser.until_text("panel-status", "real").await;
    browser.confirm("stop").await;
    browser.until_text("run-state", "stopped").await;

    browser.click("nav-records").await;
    browser.until_text("panel-audit", "to see it run").await;
    browser.until_text("panel-audit", "ada").await;
    browser.until_text("audit-verified", "verified").await;
    browser.until_text("panel-runs", "second").await;
    browser.click("compare").await;
    browser.until_text("comparison", "Rule actions").await;
    browser.until_text("comparison", "differs").await;
    browser.until_text("comparison", "Action entropy bits").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_are_edited_reviewed_and_applied_together() {
    let dir = tempfile::tempdir().unwrap();
    let server = ServerBuilder::new(dir.path()).start().await;
    let browser = Browser::open(1440, 1000).await;
    browser.connect(&server.base, "ada").await;
    browser.click("nav-settings").await;
    browser.type_into("setting-AGENT_LOOP_DELAY_SECONDS", "7").await;
    browser.until_text("panel-config", "A whole number from 60 to 900").await;
    browser.until_enabled("config-review", false).await;
    browser.type_into("setting-AGENT_LOOP_DELAY_SECONDS", "90").await;
    browser.type_into("setting-LLM_DAILY_BUDGET_USD_HARD", "0.25").await;
    browser.click("config-review").await;
    browser.until_text("panel-config", "must not be below the soft one").await;
    browser.type_into("setting-LLM_DAILY_BUDGET_USD_HARD", "2").await;
    browser.type_into("config-reason", "more room").await;
    browser.click("config-review").await;
    browser.until_text("confirm", "150 → 90").await;
    browser.until_text("confirm", "more room").await;
    browser.click("confirm-ok").await;
    browser.until_text("toast", "2 settings changed").await;
    let config = server.client.get("config").await.ok();
    assert_eq!(config["effective"]["LLM_DAILY_BUDGET_USD_HARD"], 2.0);
    let changed = "return document.querySelectorAll('.setting[data-overridden]').length";
    assert!(browser.run(changed).await.as_i64().unwrap() >= 2, "changed values are marked");
    // What another operator changes shows, but what is being typed stays.
    browser.type_into("setting-OPENROUTER_RPM_LIMIT", "9").await;
    server
        .client
        .patch(&json!({"OPENROUTER_RPM_LIMIT": 12, "LLM_MEMORY_MAX_CHARS": 999}))
        .await
        .ok();
    let shown = "return document.querySelector('[data-testid=setting-LLM_MEMORY_MAX_CHARS]').value === '999'";
    browser.until("the other's change", shown).await;
    browser.until_text("panel-config", "now 12").await;
    let typed = "return document.querySelector('[data-testid=setting-OPENROUTER_RPM_LIMIT]').value";
    assert_eq!(browser.run(typed).await, "9");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_operators_change_shows_at_the_others_within_a_second() {
    let dir = tempfile::tempdir().unwrap();
    let server = ServerBuilder::new(dir.path()).start().await;
    let (ada, ben) = tokio::join!(Browser::open(1440, 1000), Browser::open(1200, 900));
    ada.connect(&server.base, "ada").await;
    ben.connect(&server.base, "ben").await;
    // The other window notes when it shows the change, as WebDriver is slow.
    ben.run(
        "window.noted = new Map(); \
         const state = document.querySelector('[data-testid=run-state]'); \
         new MutationObserver(() => { \
             if (!noted.has(state.dataset.state)) noted.set(state.dataset.state, Date.now()); \
         }).observe(state, { subtree: true, childList: true, characterData: true, attributes: true });",
    )
    .await;
    ada.type_into("run-id", "shared").await;
    let stopwatch = Stopwatch::start();
    ada.confirm("start-real").await;
    let seen = eventually("ben sees the run", async || {
        ben.run("return noted.get('running') ?? noted.get('starting') ?? null").await.as_i64()
    })
    .await;
    let stalled = stopwatch.stalled();
    ben.until_text("run-name", "shared").await;
    let started = server.client.get("runs/shared").await.ok()["started_at"].clone();
    let started: jiff::Timestamp = started.as_str().unwrap().parse().unwrap();
    let took = seen - started.as_millisecond();
    assert!(took < 1_000 + i64::try_from(stalled.as_millis()).unwrap(), "{took} ms, {stopwatch:?}");

    // Both press at once: one wins, the other shows the result.
    ada.click("pause").await;
    ben.click("stop").await;
    ada.click("confirm-ok").await;
    ben.click("confirm-ok").await;
    for browser in [&ada, &ben] {
        browser.until_text("run-state", "stopped").await;
        browser.until_text("run-line", "was stopped").await;
    }
    ada.click("nav-records").await;
    ada.until_text("panel-audit", "ben").await;
}
