//! The exact words of the operators' printed runbook, each where the runbook says it is.

use jiff::Timestamp;
use reqwest::Method;
use serde_json::json;
use simops_tests::browser::Browser;
use simops_tests::{Server, ServerBuilder};

/// Waits until the visible text inside `css` holds each of `words`, to the letter.
async fn reads(browser: &Browser, css: &str, words: &[&str]) {
    for word in words {
        let script = format!(
            "const nodes = [...document.querySelectorAll({css})]; \
             return nodes.some((node) => node.innerText.replaceAll('\\u00a0', ' ').includes({word}));",
            css = json!(css),
            word = json!(word)
        );
        browser.until(&format!("{word:?} in {css}"), &script).await;
    }
}

/// Waits until the list entry labelled `label` inside `css` shows `value`.
async fn fact(browser: &Browser, css: &str, label: &str, value: &str) {
    let script = format!(
        "return [...document.querySelectorAll({css})].some((row) => \
             row.querySelector('dt')?.innerText === {label} && row.querySelector('dd')?.innerText === {value});",
        css = json!(format!("{css} .facts > div")),
        label = json!(label),
        value = json!(value)
    );
    browser.until(&format!("{label}: {value} in {css}"), &script).await;
}

async fn console(server: &Server) -> Browser {
    let browser = Browser::open(1600, 1000).await;
    browser.client.goto(&format!("{}/ops", server.base)).await.unwrap();
    reads(&browser, "#connect", &["Admin token", "Actor name", "Connect"]).await;
    browser.connect(&server.base, "ada").await;
    browser
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_words_of_the_printed_runbook_are_on_screen() {
    let dir = tempfile::tempdir().unwrap();
    let server = ServerBuilder::new(dir.path()).start().await;
    let browser = console(&server).await;
    reads(&browser, ".banner", &["DEVELOPMENT", "Write controls enabled"]).await;
    reads(&browser, "#controls h2", &["Run Controls"]).await;
    let controls = [
        "Run ID",
        "Run reason",
        "Reset + reseed world before test start",
        "Start Test Run",
        "Stop Run",
        "Reset Dev World",
    ];
    reads(&browser, "#controls", &controls).await;
    reads(&browser, "#status h2", &["Status"]).await;
    fact(&browser, "#status", "Simulation active", "no").await;

    browser.type_into("run-id", "printed").await;
    browser.type_into("run-reason", "as the runbook says").await;
    browser.confirm("start-test").await;
    fact(&browser, "#status", "Simulation active", "yes").await;
    fact(&browser, "#status", "Paused", "no").await;
    fact(&browser, "#status", "Run ID", "printed").await;
    reads(&browser, "#metrics h2", &["Run Metrics"]).await;
    let metrics = [
        "Runtime actions",
        "Model actions",
        "Rule actions",
        "Proposal actions",
        "Vote actions",
        "Forum actions",
    ];
    reads(&browser, "#metrics", &metrics).await;
    // The sum is that of the two kinds below it.
    browser
        .until(
            "runtime actions are counted",
            "const fact = (name) => Number(document.querySelector(`#metrics [data-fact=${name}]`) \
                 .innerText.replaceAll(',', '')); \
             return fact('runtime_actions') > 0 && fact('runtime_actions') === \
                 fact('checkpoint_actions') + fact('deterministic_actions');",
        )
        .await;

    browser.confirm("stop").await;
    fact(&browser, "#status", "Paused", "yes").await;
    browser.confirm("reset").await;
    reads(&browser, ".toast", &["Dev world reset + reseeded"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_words_of_the_printed_runbook_for_visitors_are_on_screen() {
    let dir = tempfile::tempdir().unwrap();
    let server = ServerBuilder::new(dir.path()).start().await;
    let browser = console(&server).await;
    browser.click("nav-visitors").await;
    reads(&browser, "#kpi h2", &["KPI Rollups"]).await;
    let rates = ["Landing -> Run CTR", "Run -> Replay Start", "Replay Completion", "D1", "D7"];
    for rate in rates {
        fact(&browser, "#kpi", rate, "n/a (n/a)").await;
    }
    reads(&browser, "#alerts h2", &["KPI Alerts"]).await;
    reads(&browser, "#alerts", &["0 critical", "0 warning"]).await;

    // 60 visitors land and 2 of them click: below the critical floor.
    let at = Timestamp::now().to_string();
    let event = |name: &str, n: usize| json!({"event_name": name, "visitor_id": format!("visitor-{n}"), "occurred_at": at});
    let mut events: Vec<_> = (0..60).map(|n| event("landing_view", n)).collect();
    events.extend((0..2).map(|n| event("landing_run_click", n)));
    let call = server.client.bare(Method::POST, "/api/analytics/kpi/events").json(&events);
    server.client.send(call).await.unwrap().ok();
    fact(&browser, "#kpi", "Landing -> Run CTR", "3.3\u{a0}% (n/a)").await;
    reads(&browser, "#alerts", &["1 critical", "0 warning"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refresh_requests_everything_again_and_says_when() {
    let dir = tempfile::tempdir().unwrap();
    let server = ServerBuilder::new(dir.path()).start().await;
    let browser = console(&server).await;
    browser
        .run(
            "const original = window.fetch; window.requested = []; \
             window.fetch = (...args) => { requested.push(String(args[0]?.url ?? args[0])); return original(...args); };",
        )
        .await;
    browser.click("refresh").await;
    browser
        .until(
            "the time of the refresh",
            "return /^Refreshed at \\d\\d:\\d\\d:\\d\\d UTC$/.test(document.querySelector('[data-testid=refreshed]').textContent)",
        )
        .await;
    let topics = [
        "status",
        "run/metrics",
        "audit?",
        "audit/verify",
        "events?",
        "config",
        "runs?",
        "usage/series",
        "kpi/alerts",
        "kpi/notifications",
        "kpi/rollups",
        "digests?",
    ];
    for topic in topics {
        let script = format!("return requested.some((url) => url.includes('/api/admin/{topic}'))");
        browser.until(&format!("a request of {topic}"), &script).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_production_console_says_so_in_the_words_of_the_runbook() {
    let dir = tempfile::tempdir().unwrap();
    let builder = ServerBuilder::new(dir.path()).env("ENVIRONMENT", "production");
    let server = builder.start().await;
    let browser = console(&server).await;
    reads(&browser, ".banner", &["PRODUCTION", "Read-only"]).await;
    reads(&browser, "#controls", &["Blocked in production."]).await;
}
