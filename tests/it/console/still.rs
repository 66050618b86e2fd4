//! Nothing moves under the pointer: neither what is read nor what is about to be clicked.

use std::collections::BTreeMap;

use fantoccini::actions::{InputSource, MouseActions, PointerAction};
use serde_json::json;
use simops_tests::browser::Browser;
use simops_tests::{ServerBuilder, eventually};

/// Where the controls stand on the page.
async fn places(browser: &Browser) -> BTreeMap<String, f64> {
    let script = "return Object.fromEntries( \
        ['pause', 'resume', 'stop', 'degrade', 'reset', 'start-test', 'start-real'].map((id) => \
            [id, Math.round(document.querySelector(`[data-testid=${id}]`).getBoundingClientRect().top + scrollY)]))";
    serde_json::from_value(browser.run(script).await).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn controls_stay_where_they_are_whatever_the_run_does() {
    let dir = tempfile::tempdir().unwrap();
    let server = ServerBuilder::new(dir.path()).start().await;
    let browser = Browser::open(1440, 1000).await;
    browser.connect(&server.base, "ada").await;
    browser.until_text("hosts", "idle").await;
    let begin = places(&browser).await;
    let body = json!({"mode": "test", "reset_world": true, "run_id": "r".repeat(40)});
    server.client.post("control/run/start", &body).await.ok();
    for (control, state) in [("pause", "paused"), ("resume", "running"), ("run/stop", "stopped")] {
        server.client.post(&format!("control/{control}"), &json!({})).await.ok();
        browser.until_text("run-state", state).await;
        assert_eq!(places(&browser).await, begin, "{state}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_is_read_holds_back_what_is_new() {
    let dir = tempfile::tempdir().unwrap();
    let server = ServerBuilder::new(dir.path()).start().await;
    let browser = Browser::open(1440, 1000).await;
    browser.connect(&server.base, "ada").await;
    server.client.post("control/run/start", &json!({"mode": "test"})).await.ok();
    browser.until("rows", "return document.querySelectorAll('#events li').length > 5").await;
    // The page may replace the row between two commands.
    eventually("the pointer is on a row", async || {
        let second = fantoccini::Locator::Css("#events li:nth-child(2)");
        let row = browser.client.find(second).await.ok()?;
        let over = PointerAction::MoveToElement { element: row, duration: None, x: 0., y: 0. };
        let mouse = MouseActions::new("mouse".to_owned()).then(over);
        browser.client.perform_actions(mouse).await.ok()
    })
    .await;
    let first = "return document.querySelector('#events li').dataset.event";
    let held = browser.run(first).await;
    browser.until_text("panel-events", "new event").await;
    assert_eq!(browser.run(first).await, held, "the rows moved");
    browser.run("document.querySelector('#events .waiting').click()").await;
    eventually("the new rows", async || (browser.run(first).await != held).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_a_type_are_found_in_the_whole_log() {
    let dir = tempfile::tempdir().unwrap();
    let server = ServerBuilder::new(dir.path()).start().await;
    server.client.post("control/run/start", &json!({"mode": "test", "run_id": "long"})).await.ok();
    // This many events later the start is no longer among those that are kept on the page.
    eventually("many events", async || {
        let newest = server.client.get("events?limit=1").await.ok();
        newest["items"][0]["id"].as_i64().filter(|id| *id > 700)
    })
    .await;
    server.client.post("control/pause", &json!({})).await.ok();
    let browser = Browser::open(1440, 1000).await;
    browser.connect(&server.base, "ada").await;
    browser.until("a type", "return document.querySelectorAll('#events option').length > 3").await;
    let choose = "const select = document.querySelector('[data-testid=events-type]'); \
                  const [wanted] = arguments; \
                  if (![...select.options].some((option) => option.value === wanted)) \
                      select.append(new Option(wanted, wanted)); \
                  select.value = wanted; select.dispatchEvent(new Event('change'));";
    browser.client.execute(choose, vec![json!("run_started")]).await.unwrap();
    browser.until_text("panel-events", "Run long started").await;
    let rows = "return [...document.querySelectorAll('#events li .tag')].every((tag) => tag.textContent === 'run_started')";
    assert_eq!(browser.run(rows).await, true);
}
