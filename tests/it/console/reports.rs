//! Reports made, read and kept from the console.

use std::time::Duration;

use serde_json::{Value, json};
use simops_tests::browser::Browser;
use simops_tests::{ServerBuilder, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_baseline_is_generated_read_and_downloaded() {
    let dir = tempfile::tempdir().unwrap();
    let server = ServerBuilder::new(dir.path()).start().await;
    server
        .client
        .post("control/run/start", &json!({"mode": "test", "reset_world": true}))
        .await
        .ok();
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
