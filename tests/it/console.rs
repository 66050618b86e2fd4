//! The console in a real Chromium, with the mouse and with the keyboard alone.

use serde_json::json;
use simops_tests::browser::Browser;
use simops_tests::process::TOKEN;
use simops_tests::{Server, ServerBuilder};

async fn connect(browser: &Browser, server: &Server) {
    browser.client.goto(&format!("{}/ops", server.base)).await.unwrap();
    browser.type_into("token", TOKEN).await;
    browser.type_into("actor", "ada").await;
    browser.click("connect").await;
    browser.until_text("live-state", "live").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_takes_a_run_through_its_life_with_the_mouse() {
    let dir = tempfile::tempdir().unwrap();
    let server = ServerBuilder::new(dir.path()).start().await;
    let browser = Browser::open(1400, 1000).await;
    connect(&browser, &server).await;
    browser.until_text("banner-environment", "development").await;
    browser.until_text("banner-write", "write controls enabled").await;
    browser.until_text("run-state", "idle").await;

    browser.type_into("run-reason", "<b>first</b> & \"look\"").await;
    browser.click("start-test").await;
    browser.click("confirm-ok").await;
    browser.until_text("run-state", "running").await;
    browser.until_text("panel-events", "_").await;
    // What was typed stays text wherever it is shown.
    browser.until_text("panel-status", "<b>first</b> & \"look\"").await;
    browser.click("nav-records").await;
    browser.until_text("panel-audit", "<b>first</b> & \"look\"").await;
    browser.until_text("panel-audit", "ada").await;
    browser.until_text("audit-verified", "verified").await;
    browser.click("nav-run").await;
    let metrics = browser.find("panel-metrics").await.text().await.unwrap();
    assert!(!metrics.is_empty());

    for (button, state) in [("pause", "paused"), ("resume", "running"), ("stop", "stopped")] {
        browser.click(button).await;
        browser.click("confirm-ok").await;
        browser.until_text("run-state", state).await;
    }
    let before = server.client.get("audit?limit=1").await.ok()["count"].as_i64().unwrap();
    browser.click("reset").await;
    browser.click("confirm-cancel").await;
    assert_eq!(server.client.get("audit?limit=1").await.ok()["count"], before, "cancelled");
    browser.click("reset").await;
    browser.click("confirm-ok").await;
    browser.until_text("panel-events", "world_reset").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_operators_change_shows_without_a_reload() {
    let dir = tempfile::tempdir().unwrap();
    let server = ServerBuilder::new(dir.path()).start().await;
    let browser = Browser::open(1400, 1000).await;
    connect(&browser, &server).await;
    server
        .client
        .post("control/run/start", &json!({"mode": "real", "run_id": "elsewhere"}))
        .await
        .ok();
    browser.until_text("run-state", "running").await;
    browser.until_text("panel-status", "elsewhere").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_keyboard_alone_starts_and_stops_a_run_on_a_phone() {
    let dir = tempfile::tempdir().unwrap();
    let server = ServerBuilder::new(dir.path()).start().await;
    let browser = Browser::open(390, 844).await;
    browser.client.goto(&format!("{}/ops", server.base)).await.unwrap();
    browser.find("token").await.send_keys(TOKEN).await.unwrap();
    browser.find("token").await.send_keys("\u{e007}").await.unwrap();
    browser.until_text("live-state", "live").await;
    for (button, state) in [("start-test", "running"), ("stop", "stopped")] {
        let wanted = format!("[data-testid=\"{button}\"]");
        simops_tests::eventually(
            "the button is enabled",
            std::time::Duration::from_secs(15),
            async || browser.find(button).await.is_enabled().await.ok().filter(|enabled| *enabled),
        )
        .await;
        // Tab from where the focus is until the button has it: everything can be reached.
        let mut reached = false;
        for _ in 0..200 {
            browser.client.active_element().await.unwrap().send_keys("\u{e004}").await.unwrap();
            let script = "return document.activeElement.matches(arguments[0])";
            let at = browser.client.execute(script, vec![json!(wanted)]).await.unwrap();
            if at == json!(true) {
                reached = true;
                break;
            }
        }
        assert!(reached, "{button} cannot be reached by keyboard");
        browser.client.active_element().await.unwrap().send_keys("\u{e007}").await.unwrap();
        let confirm =
            "return document.querySelector('dialog[open]')?.contains(document.activeElement)";
        simops_tests::eventually(
            "the confirmation",
            std::time::Duration::from_secs(15),
            async || {
                let open = browser.client.execute(confirm, vec![]).await.ok()?;
                (open == json!(true)).then_some(())
            },
        )
        .await;
        for _ in 0..5 {
            let script = "return document.activeElement.dataset.testid";
            if browser.client.execute(script, vec![]).await.unwrap() == json!("confirm-ok") {
                break;
            }
            browser.client.active_element().await.unwrap().send_keys("\u{e004}").await.unwrap();
        }
        browser.client.active_element().await.unwrap().send_keys("\u{e007}").await.unwrap();
        browser.until_text("run-state", state).await;
    }
    let script = "return document.documentElement.scrollWidth <= window.innerWidth";
    assert_eq!(
        browser.client.execute(script, vec![]).await.unwrap(),
        json!(true),
        "it scrolls sideways"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn production_is_read_only_and_a_wrong_token_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let server = ServerBuilder::new(dir.path()).env("ENVIRONMENT", "production").start().await;
    let browser = Browser::open(1400, 1000).await;
    browser.client.goto(&format!("{}/ops", server.base)).await.unwrap();
    browser.type_into("token", "not-the-token").await;
    browser.click("connect").await;
    browser.until_text("connect-error", "Invalid admin credentials").await;
    browser.type_into("token", TOKEN).await;
    browser.click("connect").await;
    browser.until_text("banner-environment", "production").await;
    browser.until_text("banner-write", "read-only").await;
    for control in ["start-test", "start-real", "pause", "stop", "reset", "degrade"] {
        let enabled = browser.find(control).await.is_enabled().await.unwrap();
        assert!(!enabled, "{control} is enabled");
    }
}
