//! What visitors do, as the console shows it: partial days, immature cohorts, alerts.

use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use reqwest::Method;
use serde_json::{Value, json};
use simops_tests::browser::Browser;
use simops_tests::provider::{Provider, Reply};
use simops_tests::{Server, ServerBuilder, eventually};

/// `landed` visitors `ago` days ago, of whom `clicked` click on a run and look at it.
fn day(ago: i64, landed: usize, clicked: usize, visitor: impl Fn(usize) -> String) -> Vec<Value> {
    let at = (Timestamp::now() - SignedDuration::from_hours(24 * ago)).to_string();
    let event = |name: &str, n: usize| json!({"event_name": name, "visitor_id": visitor(n), "occurred_at": at});
    let looks = (0..clicked).flat_map(|n| {
        [event("landing_run_click", n), event("run_detail_view", n), event("replay_start", n)]
    });
    (0..landed).map(|n| event("landing_view", n)).chain(looks).collect()
}

async fn send(server: &Server, events: &[Value]) {
    let call = server.client.bare(Method::POST, "/api/analytics/kpi/events").json(&events);
    server.client.send(call).await.unwrap().ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn days_are_shown_with_what_is_partial_immature_or_alarming() {
    let dir = tempfile::tempdir().unwrap();
    let server = ServerBuilder::new(dir.path()).start().await;
    let browser = Browser::open(1440, 1000).await;
    browser.connect(&server.base, "ada").await;
    browser.click("nav-visitors").await;
    browser.until_text("panel-kpi", "No visitor events on these days").await;
    browser.until_text("retention-d1", "n/a").await;
    browser.until_text("panel-alerts", "No alert").await;

    // Of 30 who looked two days ago 6 were there the day after; today hardly anybody clicks.
    send(&server, &day(2, 60, 30, |n| format!("visitor-a-{n}"))).await;
    send(&server, &day(1, 60, 6, |n| format!("visitor-a-{n}"))).await;
    send(&server, &day(0, 60, 2, |n| format!("visitor-c-{n}"))).await;
    browser.click("days-14").await;
    browser.until_text("retention-d1", "6 of 30 came back").await;
    browser.until_text("retention-d1", "20 %").await;
    browser.until_text("retention-d7", "n/a").await;
    browser.until_text("panel-kpi", "partial: the day is not over").await;
    browser.until_text("kpi-days", "partial").await;
    let rows = "return document.querySelectorAll('#kpi tbody tr').length";
    assert_eq!(browser.run(rows).await, 14);
    browser.click("days-90").await;
    browser
        .until("ninety days", "return document.querySelectorAll('#kpi tbody tr').length === 90")
        .await;
    let drawn = "return document.querySelectorAll('#kpi canvas').length";
    assert_eq!(browser.run(drawn).await, 3, "charts");

    browser.until_text("alerts-critical", "1 critical").await;
    browser.until_text("panel-alerts", "Landing -> Run CTR").await;
    browser.until_text("panel-alerts", "60 (at least 40)").await;
    browser.until_text("nav-visitors", "1").await;
    assert_eq!(browser.inaccessible().await, Vec::<String>::new());
    // A chart is read by keyboard, too.
    let day_read = "return document.querySelector('#kpi .chart-when').textContent";
    let last = browser.run(day_read).await;
    browser.run("document.querySelector('#kpi .chart-box').focus()").await;
    browser.client.active_element().await.unwrap().send_keys("\u{e012}").await.unwrap();
    browser.until("another day is read", &format!("{day_read} !== {last}")).await;
}

/// A server that sends alerts to `receiver`, and its visitors' view.
async fn with_receiver(receiver: &Provider, dir: &Path) -> (Server, Browser) {
    let builder = ServerBuilder::new(dir).env("KPI_ALERT_WEBHOOK_ENABLED", "true");
    let server = builder.env("KPI_ALERT_WEBHOOK_URL", &receiver.url).start().await;
    let browser = Browser::open(1440, 1000).await;
    browser.connect(&server.base, "ada").await;
    browser.click("nav-visitors").await;
    (server, browser)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_is_acknowledged_and_silenced_and_what_became_of_its_message_is_shown() {
    let dir = tempfile::tempdir().unwrap();
    let receiver = Provider::start(|_| Reply::Status(503, String::new(), String::new())).await;
    let (server, browser) = with_receiver(&receiver, dir.path()).await;
    browser.until_text("alerts-delivery", "Nothing to deliver").await;
    send(&server, &day(0, 60, 2, |n| format!("visitor-c-{n}"))).await;
    browser.until_text("panel-alerts", "not acknowledged").await;
    browser.until_text("panel-alerts", "answered 503").await;
    browser.until_text("alerts-delivery", "did not take the message").await;
    assert_eq!(browser.inaccessible().await, Vec::<String>::new());

    browser.click("silence-landing_to_run_ctr").await;
    browser.until_text("confirm", "for 1 hour").await;
    browser.type_into("confirm-reason", "a campaign").await;
    browser.click("confirm-ok").await;
    browser.until_text("panel-alerts", "Silenced by ada until").await;
    browser.confirm("unsilence-landing_to_run_ctr").await;
    browser
        .until(
            "no silence",
            "return !document.querySelector('#alerts').textContent.includes('Silenced by')",
        )
        .await;
    browser.confirm("acknowledge-landing_to_run_ctr").await;
    browser.until_text("panel-alerts", "Acknowledged by ada").await;
    browser.until_enabled("acknowledge-landing_to_run_ctr", false).await;
    browser.until_text("alerts-delivery", "acknowledged or silenced").await;
    browser.click("nav-records").await;
    browser.until_text("panel-audit", "a campaign").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivered_message_is_sent_again_under_its_id() {
    let dir = tempfile::tempdir().unwrap();
    let receiver = Provider::start(|_| Reply::Status(200, String::new(), String::new())).await;
    let (server, browser) = with_receiver(&receiver, dir.path()).await;
    send(&server, &day(0, 60, 2, |n| format!("visitor-c-{n}"))).await;
    browser.until_text("panel-alerts", "delivered").await;
    browser.until("the button", "return !!document.querySelector('[data-delivery] button')").await;
    browser.run("document.querySelector('[data-delivery] button').click()").await;
    browser.until_text("confirm", "under the same id").await;
    browser.click("confirm-ok").await;
    let requests = eventually("the message again", async || {
        Some(receiver.seen()).filter(|requests| requests.len() > 1)
    })
    .await;
    let ids: Vec<_> = requests
        .iter()
        .map(|request| {
            let id = request.lines().find_map(|line| line.strip_prefix("webhook-id: "));
            id.unwrap_or_else(|| panic!("no id in {request}")).to_owned()
        })
        .collect();
    assert!(ids.len() == 2 && ids[0] == ids[1], "{ids:?}");
}
