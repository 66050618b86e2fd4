//! Servers that restart, streams that do not last, panels that fail: what is shown meanwhile.

use serde_json::json;
use simops_tests::ServerBuilder;
use simops_tests::browser::Browser;
use simops_tests::provider::{Provider, Reply};
use simops_tests::proxy::{Fault, Proxy};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_outlives_a_restart_of_the_server() {
    let dir = tempfile::tempdir().unwrap();
    let first = ServerBuilder::new(dir.path()).start().await;
    let browser = Browser::open(1440, 1000).await;
    browser.connect(&first.base, "ada").await;
    browser.type_into("run-id", "outlives").await;
    browser.confirm("start-test").await;
    browser.until_text("run-state", "running").await;
    browser.run("window.reloaded = false").await;

    let address = first.base.trim_start_matches("http://").to_owned();
    first.kill().await;
    let offline = "return ['reconnecting', 'offline'].includes(document.querySelector('[data-testid=live-state]').dataset.state)";
    browser.until("the loss is shown", offline).await;
    browser.until_text("notice", "cannot be reached").await;
    // What is known stays on the page, with its age.
    browser.until_text("age-status", "old").await;
    browser.until_text("panel-status", "outlives").await;
    let _second = ServerBuilder::new(dir.path()).env("SIMOPS_LISTEN", &address).start().await;
    browser.until_text("live-state", "live").await;
    browser.until_text("run-state", "running").await;
    let fresh = "return document.querySelector('[data-testid=age-status]').hidden && window.reloaded === false";
    browser.until("fresh again, without a reload", fresh).await;
    browser.confirm("stop").await;
    browser.until_text("run-state", "stopped").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panel_that_fails_says_so_and_the_others_work() {
    let dir = tempfile::tempdir().unwrap();
    let server = ServerBuilder::new(dir.path()).start().await;
    let proxy = Proxy::start(&server.base, "").await;
    for path in ["/run/metrics", "/usage/series", "/api/admin/runs", "/kpi/", "/audit?"] {
        proxy.fail(path, Fault::Status(500));
    }
    // Without the stream nothing else would bring what these paths answer.
    proxy.fail("/api/admin/stream", Fault::Status(502));
    let browser = Browser::open(1440, 1000).await;
    browser.client.goto(&format!("{}/ops", proxy.base)).await.unwrap();
    browser.type_into("token", simops_tests::process::TOKEN).await;
    browser.click("connect").await;
    browser.until_text("panel-metrics", "Run Metrics could not be loaded").await;
    browser.until_text("panel-budget", "could not be loaded").await;
    browser.until_text("panel-budget", "of the hard cap").await;
    browser.until_text("panel-status", "idle").await;
    browser.confirm("start-test").await;
    browser.until_text("run-state", "running").await;
    browser.until_text("live-state", "polling").await;
    browser.click("nav-records").await;
    browser.until_text("panel-runs", "Runs could not be loaded").await;
    browser.until_text("panel-audit", "Audit Trail could not be loaded").await;

    proxy.mend();
    browser.until_text("live-state", "live").await;
    browser.until_text("panel-runs", "open").await;
    browser.until_text("panel-audit", "SIMULATION_ACTIVE").await;
    browser.click("nav-run").await;
    browser.until_text("panel-metrics", "Rule actions").await;
    let healed = "return [...document.querySelectorAll('#run .panel-problem')].every((problem) => problem.hidden)";
    browser.until("no failure is left", healed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_by_a_guardrail_is_shown_with_the_figures_it_was_decided_on() {
    let dir = tempfile::tempdir().unwrap();
    let provider = Provider::start(|_| Reply::Status(500, String::new(), String::new())).await;
    let server = ServerBuilder::new(dir.path()).env("GROQ_BASE_URL", &provider.url).start().await;
    server.client.patch(&json!({"STOP_PROVIDER_FAILURE_THRESHOLD": 2})).await.ok();
    let browser = Browser::open(1440, 1000).await;
    browser.connect(&server.base, "ada").await;
    browser.until_text("last-trip", "No guardrail has stopped a run").await;
    browser.type_into("run-id", "doomed").await;
    browser.confirm("start-test").await;
    browser.until_text("run-state", "stopped").await;
    browser.until_text("run-line", "was stopped by a guardrail").await;
    browser.until_text("last-trip", "Provider failures stopped doomed").await;
    browser.until_text("last-trip", "failed calls (limit 2)").await;
    browser.until_text("last-trip", "(tripped)").await;
    browser.until_text("provider-failures", "groq").await;
    browser.until_text("provider-failures", "failed (100 %)").await;
    // Once the cause is gone, the operator resumes the run.
    browser.until_enabled("resume", true).await;
}
