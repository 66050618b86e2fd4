//! Reports made, read and kept from the console.

use std::time::Duration;

use serde_json::{Value, json};
use simops_tests::browser::Browser;
use simops_tests::{ServerBuilder, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_baseline_is_generated_read_and_downloaded() {
    let dir = tempfile::tempdir().unwrap();
    let server = ServerBuilder::new(dir.path()).start().await;
    eventually("a host that can build a world", Duration::from_secs(20), async || {
        let status = server.client.get("status").await.ok();
        (status["hosts"] != json!([])).then_some(())
    })
    .await;
    let start = json!({"mode": "test", "reset_world": true});
    server.client.post("control/run/start", &start).await.ok();
    server.until_state("running").await;
    let browser = Browser::open(1440, 1000).await;
    let kept = browser.keep_downloads().await;
    browser.connect(&server.base, "ada").await;
    browser.click("nav-reports").await;
    browser.type_into("baseline-windows", "0").await;
    browser.click("baseline-generate").await;
    browser.until_text("panel-baseline", "A whole number from 1 to 1000").await;
    browser.type_into("baseline-windows", "3").await;
    browser.click("baseline-generate").await;
    browser.until_text("baseline-report", "Windows (3 of 5 min)").await;
    browser.until_text("baseline-report", "Living agents").await;
    assert_eq!(browser.inaccessible().await, Vec::<String>::new());
    browser.click("baseline-download").await;
    let file: Value = eventually("the file", Duration::from_secs(15), async || {
        let mut files = std::fs::read_dir(kept.path()).ok()?.filter_map(Result::ok);
        let file = files.find(|file| file.path().extension().is_some_and(|end| end == "json"))?;
        serde_json::from_slice(&std::fs::read(file.path()).ok()?).ok()
    })
    .await;
    assert_eq!(file["metrics"]["rows"].as_array().unwrap().len(), 3);
    assert!(file["thresholds"]["LLM_DAILY_BUDGET_USD_HARD"].is_number());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_digest_is_drafted_read_with_its_evidence_and_published() {
    let dir = tempfile::tempdir().unwrap();
    let server = ServerBuilder::new(dir.path())
        .env("ARCHIVE_WEEKLY_DRAFT_MIN_EVENTS", "30")
        .env("ARCHIVE_WEEKLY_DRAFT_MIN_LLM_CALLS", "0")
        .start()
        .await;
    let browser = Browser::open(1440, 1000).await;
    browser.connect(&server.base, "ada").await;
    browser.click("nav-reports").await;
    browser.until_text("panel-digest", "No digest has been drafted yet").await;
    browser.type_into("digest-anchor", "yesterday").await;
    browser.click("digest-generate").await;
    browser.until_text("panel-digest", "A date like 2026-03-01").await;
    browser.type_into("digest-anchor", "").await;
    browser.click("digest-generate").await;
    browser.until_text("digest-status", "insufficient evidence").await;
    browser.until_text("digest-outcome", "at least 30").await;

    server.client.post("control/run/start", &json!({"mode": "test", "run_id": "told"})).await.ok();
    eventually("something to tell", Duration::from_secs(30), async || {
        let events = server.client.get("events?run_id=told&limit=60").await.ok();
        (events["items"].as_array()?.len() > 40).then_some(())
    })
    .await;
    browser.click("digest-generate").await;
    browser.until_text("digest-status", "created").await;
    browser.until_text("digest-report", "told").await;
    browser.until_text("digest-report", "Claim:").await;
    assert_eq!(browser.inaccessible().await, Vec::<String>::new());
    browser.run("document.querySelector('#digest .prose button.link').click()").await;
    browser.until("the evidence", "return document.querySelector('[data-testid=evidence] pre')?.textContent.startsWith('{') === true").await;
    browser.click("evidence-close").await;
    browser.confirm("digest-publish").await;
    browser.until_text("digest-list", "published").await;
    browser.click("digest-generate").await;
    browser.until_text("digest-status", "existing").await;
}
