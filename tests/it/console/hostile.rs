//! Markup in what people and agents write stays text.

use jiff::Timestamp;
use serde_json::json;
use simops::event::NewEvent;
use simops::store::EventStore;
use simops_sqlite::SqliteStore;
use simops_tests::ServerBuilder;
use simops_tests::browser::Browser;

const MARKUP: &str =
    "<img src=x onerror=\"window.struck=1\"><script>window.struck=1</script><b>&amp;";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn markup_in_reasons_and_events_stays_text() {
    let dir = tempfile::tempdir().unwrap();
    let server = ServerBuilder::new(dir.path()).start().await;
    let browser = Browser::open(1440, 1000).await;
    browser.connect(&server.base, "<i>ada</i>").await;
    browser.type_into("run-reason", MARKUP).await;
    browser.click("start-test").await;
    browser.until_text("confirm", "<script>").await;
    browser.click("confirm-ok").await;
    browser.until_text("run-state", "running").await;
    browser.until_text("panel-status", MARKUP).await;
    let event =
        NewEvent::new(format!("odd_{MARKUP}"), format!("Agent says {MARKUP}"), Timestamp::now())
            .of_agent(7)
            .with("note", json!({ "</pre>": MARKUP }));
    let named = NewEvent::new("odd", "says its name", Timestamp::now()).of_agent(MARKUP);
    let path = format!("sqlite://{}", dir.path().join("simops.db").display());
    SqliteStore::open(&path).await.unwrap().append(&[named, event]).await.unwrap();
    browser.type_into("events-filter", "says its name").await;
    browser.until_text("panel-events", MARKUP).await;
    browser.type_into("events-filter", "Agent says").await;
    browser.until_text("panel-events", &format!("Agent says {MARKUP}")).await;
    browser.run("document.querySelector('#events summary').click()").await;
    browser.until_text("panel-events", "</pre>").await;
    browser.click("nav-records").await;
    browser.until_text("panel-audit", MARKUP).await;
    browser.until_text("panel-audit", "<i>ada</i>").await;

    let made = "return [window.struck ?? 0, document.querySelectorAll('main img, main script, main i, main b:not(.legend b, .funnel b)').length]";
    assert_eq!(browser.run(made).await, json!([0, 0]));
}
