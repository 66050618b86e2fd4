//! Reports made, read and kept from the console.

use std::path::Path;

use serde_json::{Value, json};
use simops_tests::browser::Browser;
use simops_tests::provider::{Provider, Reply};
use simops_tests::{ServerBuilder, cli, eventually};

/// What `read` makes of the downloaded file that ends so. A browser holds its place with an empty file.
async fn file_of<T>(folder: &Path, end: &str, read: impl Fn(&str) -> Option<T>) -> T {
    eventually("the file", async || {
        let mut files = std::fs::read_dir(folder).ok()?.filter_map(Result::ok);
        let file = files.find(|file| file.path().extension().is_some_and(|is| is == end))?;
        let text = std::fs::read_to_string(file.path()).ok().filter(|text| !text.is_empty())?;
        read(&text)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_baseline_is_generated_read_and_downloaded() {
    let dir = tempfile::tempdir().unwrap();
    let server = ServerBuilder::new(dir.path()).start().await;
    eventually("a host that can build a world", async || {
        let status = server.client.get("status").await.ok();
        (status["hosts"] != json!([])).then_some(())
    })
    .await;
    let start = json!({
        "mode": "test", "reset_world": true, "group_id": "pilot", "labels": { "seed": "3" },
    });
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
    let file = file_of(kept.path(), "json", |text| serde_json::from_str::<Value>(text).ok()).await;
    assert_eq!(file["metrics"]["rows"].as_array().unwrap().len(), 3);
    assert!(file["thresholds"]["LLM_DAILY_BUDGET_USD_HARD"].is_number());

    browser.type_into("baseline-group", "none").await;
    browser.click("baseline-generate").await;
    browser.until_text("baseline-generate-error", "there is no run of group").await;
    browser.type_into("baseline-group", "pilot").await;
    browser.type_into("baseline-labels", "seed").await;
    browser.click("baseline-generate").await;
    browser.until_text("panel-baseline", "NAME=VALUE").await;
    browser.type_into("baseline-labels", "seed=3").await;
    browser.click("baseline-generate").await;
    browser.until_text("baseline-report", "Covers only group pilot, seed=3: 1 run, 1 open.").await;
    browser.until_text("baseline-report", "Cost of these runs").await;
    assert_eq!(browser.inaccessible().await, Vec::<String>::new());
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
    let kept = browser.keep_downloads().await;
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

    server.client.post("control/run/start", &json!({"mode": "test", "run_id": "first"})).await.ok();
    eventually("something to tell", async || {
        let events = server.client.get("events?run_id=first&limit=60").await.ok();
        (events["items"].as_array()?.len() > 40).then_some(())
    })
    .await;
    browser.click("digest-generate").await;
    browser.until_text("digest-status", "created").await;
    browser.until_text("digest-report", "first").await;
    browser.until_text("digest-report", "Claim:").await;
    assert_eq!(browser.inaccessible().await, Vec::<String>::new());
    browser.run("document.querySelector('#digest .prose button.link').click()").await;
    browser.until("the evidence", "return document.querySelector('[data-testid=evidence] pre')?.textContent.startsWith('{') === true").await;
    browser.click("evidence-close").await;
    browser.click("digest-download").await;
    let file =
        file_of(kept.path(), "md", |text| text.contains("Claim:").then(|| text.to_owned())).await;
    let digests = server.client.get("digests").await.ok();
    let slug = digests["items"][0]["slug"].as_str().unwrap().to_owned();
    let digest = server.client.get(&format!("digests/{slug}")).await.ok();
    assert_eq!(file, digest["markdown"].as_str().unwrap());
    browser.confirm("digest-publish").await;
    browser.until_text("digest-list", "published").await;
    browser.click("digest-generate").await;
    browser.until_text("digest-status", "existing").await;
    // What was published can be taken back, with a reason; its text is kept.
    browser.click("digest-discard").await;
    browser.until_text("confirm", "Its text is kept").await;
    browser.type_into("confirm-reason", "a wrong figure").await;
    browser.click("confirm-ok").await;
    browser.until_text("digest-list", "discarded").await;
    let discarded = server.client.get(&format!("digests/{slug}")).await.ok();
    assert_eq!(discarded["markdown"], digest["markdown"]);
    let audit = server.client.get("audit?limit=1").await.ok();
    assert_eq!(audit["items"][0]["reason"], "a wrong figure");
    browser.until_enabled("digest-discard", false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_report_of_each_end_of_a_run_is_read_and_downloaded() {
    let dir = tempfile::tempdir().unwrap();
    let provider = Provider::start(|_| Reply::action()).await;
    let server = ServerBuilder::new(dir.path())
        .env("GROQ_BASE_URL", &provider.url)
        .env("GROQ_API_KEY", "a-key")
        // Has no price of its own, so that a few calls use up the budget.
        .env("GROQ_MODEL", "unheard-of")
        .start()
        .await;
    let browser = Browser::open(1440, 1000).await;
    let kept = browser.keep_downloads().await;
    browser.connect(&server.base, "ada").await;
    let cap =
        |hard: f64| json!({"LLM_DAILY_BUDGET_USD_SOFT": 0.0, "LLM_DAILY_BUDGET_USD_HARD": hard});
    server.client.patch(&cap(0.005)).await.ok();
    let start = json!({"mode": "test", "run_id": "first"});
    server.client.post("control/run/start", &start).await.ok();
    let ends = async |count: usize| {
        eventually("a report of that end", async || {
            let report = server.client.get("runs/first/report").await.ok();
            let ends = report["reported_ends"].as_array()?.clone();
            (report["final"] == true && ends.len() == count).then_some(ends)
        })
        .await
    };
    ends(1).await;
    server.client.patch(&cap(50.0)).await.ok();
    server.client.post("control/resume", &json!({})).await.ok();
    browser.click("nav-records").await;
    browser.until_text("panel-runs", "first").await;
    browser.run("document.querySelector('[data-run=first] details').open = true").await;
    browser.click("report-first").await;
    browser.until_text("run-report-text", "this report is provisional").await;
    assert_eq!(browser.inaccessible().await, Vec::<String>::new());
    browser.click("run-report-close").await;
    server.client.post("control/run/stop", &json!({"reason": "enough"})).await.ok();
    let ends = ends(2).await;

    browser.click("report-first").await;
    browser.until_text("run-report-text", "enough").await;
    let earlier = format!(
        "const ends = document.querySelector('[data-testid=run-report-end]'); ends.value = {}; \
         ends.dispatchEvent(new Event('change'))",
        ends[0]
    );
    browser.run(&earlier).await;
    browser.until_text("run-report-text", "hard_budget_exceeded: 0.00").await;
    browser.until_text("run-report-text", ", met").await;
    browser.click("run-report-markdown").await;
    let text = file_of(kept.path(), "md", |text| Some(text.to_owned())).await;
    assert!(text.starts_with("# Run `first`\n"), "{text}");
    browser.click("run-report-json").await;
    let file = file_of(kept.path(), "json", |text| serde_json::from_str::<Value>(text).ok()).await;
    assert_eq!(
        (&file["run"]["ended_at"], &file["run"]["ended_by"]),
        (&ends[0], &json!("guardrail"))
    );
    let args = ["run", "report", "first", "--ended-at", ends[0].as_str().unwrap()];
    let output = cli(dir.path(), &args).await;
    let output: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&output["written_at"], &output["run"]), (&file["written_at"], &file["run"]));
}
