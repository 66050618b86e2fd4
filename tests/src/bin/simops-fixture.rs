//! Makes the fixture of a release: a small database in which everything has happened, and the
//! figures that the release answers from it.
//!
//! `simops-fixture sqlite|postgres BINARIES FOLDER` runs the `simops-server` and `simops-cli` of the
//! folder BINARIES through three weeks of March 2026 (their clocks are set with faketime) and writes
//! the packed database and `figures.json.gz` to FOLDER.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use jiff::civil::Date;
use reqwest::Method;
use serde_json::{Value, json};
use simops_tests::fixture::{ASKED_AT, Release, pack};
use simops_tests::postgres::PostgresServer;
use simops_tests::provider::{Provider, Reply};
use simops_tests::{Server, ServerBuilder, eventually};

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [engine, binaries, folder] = arguments.as_slice() else {
        panic!("usage: simops-fixture sqlite|postgres BINARIES FOLDER");
    };
    let dir = tempfile::tempdir().expect("a folder");
    let folder = Path::new(folder);
    std::fs::create_dir_all(folder).expect("the folder");
    let sqlite_file = dir.path().join("simops.db");
    let postgres = (engine == "postgres").then(PostgresServer::own);
    let database = postgres.as_ref().map(PostgresServer::database);
    let sqlite = format!("sqlite://{}", sqlite_file.display());
    let database_url = database.as_ref().map_or(sqlite, |database| database.url());
    let binaries = PathBuf::from(binaries);
    let release = Release { binaries, dir: dir.path().to_owned(), database_url };

    history(&release).await;
    let figures = settled_figures(&release).await;
    let text = serde_json::to_string_pretty(&figures).expect("JSON");
    let file = dir.path().join("figures.json");
    std::fs::write(&file, text + "\n").expect("figures.json");
    pack(&file, &folder.join("figures.json.gz"));
    if database.is_some() {
        let dump = dir.path().join("database.sql");
        dump_postgres(&release.database_url, &dump);
        pack(&dump, &folder.join("database.sql.gz"));
    } else {
        let database = rusqlite::Connection::open(&sqlite_file).expect("the database");
        database.pragma_query(None, "wal_checkpoint", |_| Ok(())).expect("a checkpoint");
        database.close().expect("the last connection deletes the log");
        pack(&sqlite_file, &folder.join("simops.db.gz"));
    }
}

/// The figures once nothing moves any more: asked of two servers one after the other, they are equal.
async fn settled_figures(release: &Release) -> Value {
    let server = release.server(ASKED_AT).start().await;
    eventually("every ended run has its report", async || {
        let runs = server.client.get("runs?limit=500").await.ok();
        for run in runs["items"].as_array()? {
            let path = format!("runs/{}/report", run["run_id"].as_str()?);
            let report = server.client.get(&path).await.ok();
            if run["ended_at"].is_string() && report["final"] != true {
                return None;
            }
        }
        Some(())
    })
    .await;
    assert!(server.terminate().await);
    let server = release.server(ASKED_AT).start().await;
    let figures = release.figures(&server).await;
    assert!(server.terminate().await);
    json!(figures)
}

fn dump_postgres(url: &str, to: &Path) {
    let output = Command::new("pg_dump").args(["--no-owner", url]).output().expect("pg_dump");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    // Newer versions of pg_dump write commands that older versions of psql do not know.
    let known = |line: &&str| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict");
    let lines: Vec<_> = text.lines().filter(known).collect();
    std::fs::write(to, lines.join("\n") + "\n").expect("the dump");
}

/// A provider whose behaviour is switched while it runs.
struct Switched {
    provider: Provider,
    mode: Arc<AtomicU8>,
}

const GOOD: u8 = 0;
const MIXED: u8 = 1;
const FAILS: u8 = 2;
const HANGS: u8 = 3;

impl Switched {
    async fn start(mode: u8) -> Self {
        let mode = Arc::new(AtomicU8::new(mode));
        let read = Arc::clone(&mode);
        let provider = Provider::start(move |n| match (read.load(Ordering::Relaxed), n % 5) {
            (FAILS, _) | (MIXED, 1) => Reply::Status(500, String::new(), "overloaded".to_owned()),
            (MIXED, 3) => Reply::Says("I would rather rest.".to_owned()),
            (HANGS, _) => Reply::Hangs,
            _ => Reply::action(),
        });
        Self { provider: provider.await, mode }
    }

    fn switch(&self, mode: u8) {
        self.mode.store(mode, Ordering::Relaxed);
    }
}

/// A server with a small world whose agents ask `provider`.
fn with_world(release: &Release, moment: &str, provider: &Switched) -> ServerBuilder {
    release
        .server(moment)
        .env("SIMOPS_HOST", "commons")
        .env("SIMOPS_WORLD_AGENTS", "6")
        .env("GROQ_BASE_URL", &provider.provider.url)
        .env("GROQ_API_KEY", "sk-fixture-0123456789")
}

async fn history(release: &Release) {
    long_ago(release).await;
    first_run(release).await;
    guarded_run(release).await;
    unpriced_run(release).await;
    runs_after_a_crash(release).await;
    visitors_and_digests(release).await;
    an_open_run(release).await;
    let prune = ["prune", "--what", "events,ledger,visits", "--older-than", "2025-12-01"];
    release.cli("2026-03-10 18:00:00", &prune).await;
    alerts(release).await;
}

async fn post(server: &Server, path: &str, body: Value) -> Value {
    server.client.post(path, &body).await.ok()
}

async fn start(server: &Server, body: Value) {
    post(server, "control/run/start", body).await;
    server.until_state("running").await;
}

async fn until_calls(server: &Server, wanted: i64) {
    eventually("model calls", async || {
        let status = server.client.get("status").await.ok();
        (status["llm_budget"]["calls_total"].as_i64()? >= wanted).then_some(())
    })
    .await;
}

async fn until_guardrail(server: &Server, reason: &str) {
    eventually("the guardrail stops the run", async || {
        let events = server.client.get("events?type=simulation_stopped_guardrail&limit=1").await;
        (events.ok()["items"][0]["metadata"]["reason"] == reason).then_some(())
    })
    .await;
    server.until_state("stopped").await;
}

/// Sends events of visitors; each is `(day, kind, visitor)`. Every 20th is sent twice.
async fn visit(server: &Server, events: Vec<(Date, &str, String)>) {
    let events: Vec<_> = events
        .into_iter()
        .enumerate()
        .map(|(place, (day, kind, visitor))| {
            let second = place % 60;
            json!({
                "event_name": kind,
                "visitor_id": visitor,
                "event_uid": format!("{day}-{kind}-{visitor}"),
                "session_id": format!("session-{visitor}"),
                "run_id": "first-run",
                "surface": "landing",
                "path": "/",
                "occurred_at": format!("{day}T07:30:{second:02}Z"),
            })
        })
        .collect();
    let again: Vec<_> = events.iter().step_by(20).cloned().collect();
    for batch in [&events, &again] {
        let request = server.client.bare(Method::POST, "/api/analytics/kpi/events");
        server.client.send(request.json(batch)).await.expect("an answer").ok();
    }
}

fn day(text: &str) -> Date {
    text.parse().expect("a date")
}

fn visitors(
    day: Date,
    kind: &'static str,
    numbers: std::ops::Range<u32>,
) -> Vec<(Date, &'static str, String)> {
    numbers.map(|number| (day, kind, format!("{day}-{number}"))).collect()
}

/// November: what is pruned later.
async fn long_ago(release: &Release) {
    let provider = Switched::start(GOOD).await;
    let server = with_world(release, "2025-11-20 10:00:00", &provider).start().await;
    for date in ["2025-11-18", "2025-11-19", "2025-11-20"] {
        visit(&server, visitors(day(date), "landing_view", 0..10)).await;
        visit(&server, visitors(day(date), "landing_run_click", 0..4)).await;
    }
    start(&server, json!({"mode": "test", "run_id": "long-ago", "reset_world": true})).await;
    until_calls(&server, 12).await;
    post(&server, "control/run/stop", json!({"reason": "a first trial"})).await;
    server.until_state("stopped").await;
    assert!(server.terminate().await);
}

/// A run with all its metadata: paused, resumed, degraded, stopped by an operator.
async fn first_run(release: &Release) {
    let provider = Switched::start(MIXED).await;
    let server = with_world(release, "2026-03-02 08:00:00", &provider).start().await;
    let settings = json!({
        "AGENT_LOOP_DELAY_SECONDS": 120,
        "LLM_ACTION_MAX_TOKENS": 400,
        "OPENROUTER_RPM_LIMIT": 12,
        "LLM_DAILY_BUDGET_USD_HARD": 2.5,
    });
    server.client.patch(&settings).await.ok();
    let february = (0..28)
        .map(|after| day("2026-02-02").checked_add(jiff::Span::new().days(after)).expect("a date"));
    let mut events = Vec::new();
    for (week, date) in february.enumerate() {
        let new = if week % 7 == 4 { 40 } else { 12 };
        events.extend(visitors(date, "landing_view", 0..new));
        events.extend(visitors(date, "landing_run_click", 0..new / 3));
        events.extend(visitors(date, "run_detail_view", 0..new / 3));
        events.extend(visitors(date, "replay_start", 0..new / 4));
        events.extend(visitors(date, "replay_complete", 0..new / 5));
        events.extend(visitors(date, "share_clicked", 0..2));
        for later in [1, 7] {
            let back = date.checked_add(jiff::Span::new().days(later)).expect("a date");
            if back < day("2026-03-02") {
                let visitors =
                    (0..new / 4).map(|n| (back, "run_detail_view", format!("{date}-{n}")));
                events.extend(visitors);
            }
        }
    }
    for batch in events.chunks(500) {
        visit(&server, batch.to_vec()).await;
    }
    let body = json!({
        "mode": "test", "run_id": "first-run", "reset_world": true, "season_id": "season-1",
        "season_number": 1, "condition_name": "baseline", "hypothesis_id": "h-1",
        "protocol_version": "protocol_v2", "epoch_id": "spring", "run_class": "deep_96h",
        "transfer_policy_version": "none", "reason": "the first run of spring",
    });
    for _ in 0..2 {
        let request = server.client.request(Method::POST, "control/run/start").json(&body);
        let request = request.header("Idempotency-Key", "start-first-run");
        server.client.send(request).await.expect("an answer").ok();
    }
    server.until_state("running").await;
    until_calls(&server, 15).await;
    post(&server, "control/pause", json!({"reason": "lunch"})).await;
    server.until_state("paused").await;
    post(&server, "control/resume", json!({})).await;
    server.until_state("running").await;
    post(&server, "control/degrade", json!({"reason": "cost check"})).await;
    until_calls(&server, 30).await;
    post(&server, "control/degrade/clear", json!({})).await;
    let request = server.client.request(Method::POST, "control/run/stop");
    let request = request.header("Idempotency-Key", "stop-first-run");
    let stop = request.json(&json!({"reason": "enough"}));
    server.client.send(stop).await.expect("an answer").ok();
    server.until_state("stopped").await;
    post(&server, "baseline", json!({})).await;
    assert!(server.terminate().await);
}

/// A run that two guardrails stop, one after the other.
async fn guarded_run(release: &Release) {
    let provider = Switched::start(FAILS).await;
    let server = with_world(release, "2026-03-03 10:00:00", &provider).start().await;
    server.client.patch(&json!({"STOP_PROVIDER_FAILURE_THRESHOLD": 5})).await.ok();
    let body = json!({"mode": "test", "run_id": "guarded", "parent_run_id": "first-run"});
    post(&server, "control/run/start", body).await;
    until_guardrail(&server, "provider_failures_repeated").await;
    provider.switch(GOOD);
    server.client.patch(&json!({"STOP_PROVIDER_FAILURE_THRESHOLD": 50_000})).await.ok();
    post(&server, "control/resume", json!({"reason": "the provider is back"})).await;
    server.until_state("running").await;
    let acted = async || {
        let metrics = server.client.get("run/metrics?run_id=guarded").await.ok();
        (metrics["llm"]["success_calls"].as_i64()? >= 10).then_some(())
    };
    eventually("calls succeed again", acted).await;
    let caps = json!({
        "LLM_DAILY_BUDGET_USD_SOFT": 0.0001, "LLM_DAILY_BUDGET_USD_HARD": 0.0006,
    });
    server.client.patch(&caps).await.ok();
    until_guardrail(&server, "hard_budget_exceeded").await;
    let caps = json!({"LLM_DAILY_BUDGET_USD_SOFT": 0.5, "LLM_DAILY_BUDGET_USD_HARD": 2.5});
    server.client.patch(&caps).await.ok();
    eventually("its report", async || {
        let report = server.client.get("runs/guarded/report").await.ok();
        (report["final"] == true).then_some(())
    })
    .await;
    assert!(server.terminate().await);
}

/// Calls to a model without a price, cut off by a crash.
async fn unpriced_run(release: &Release) {
    let provider = Switched::start(GOOD).await;
    let builder = with_world(release, "2026-03-04 10:00:00", &provider);
    let server = builder.env("GROQ_MODEL", "house-model").start().await;
    start(&server, json!({"mode": "test", "run_id": "unpriced"})).await;
    until_calls(&server, 10).await;
    let before = provider.provider.seen().len();
    provider.switch(HANGS);
    eventually("calls hang", async || (provider.provider.seen().len() >= before + 4).then_some(()))
        .await;
    server.kill().await;
}

/// Leases expire; the run that the crash left open is ended by a reset; a real run follows.
async fn runs_after_a_crash(release: &Release) {
    let provider = Switched::start(GOOD).await;
    let server = with_world(release, "2026-03-04 12:00:00", &provider).start().await;
    eventually("leases expire", async || {
        let args = ["usage", "list", "--run-id", "unpriced", "--limit", "500"];
        let rows = release.cli("2026-03-04 12:00:00", &args).await;
        let mut rows = rows["items"].as_array()?.iter();
        rows.any(|row| row["error_type"] == "lease_expired").then_some(())
    })
    .await;
    eventually("a world host", async || {
        let reset = server.client.post("control/run/reset-dev", &json!({"reason": "crash"})).await;
        (reset.status == 200).then_some(())
    })
    .await;
    post(&server, "control/run-mode", json!({"mode": "real"})).await;
    let body = json!({
        "mode": "real", "run_id": "real-run", "parent_run_id": "guarded", "season_number": 2,
        "season_id": "season-2",
    });
    start(&server, body).await;
    until_calls(&server, 35).await;
    let stop = json!({"reason": "recorded", "clear_run_id": true});
    post(&server, "control/run/stop", stop).await;
    server.until_state("idle").await;
    assert!(server.terminate().await);
}

fn with_receiver(release: &Release, moment: &str, receiver: &Provider) -> ServerBuilder {
    release
        .server(moment)
        .env("KPI_ALERT_WEBHOOK_ENABLED", "true")
        .env("KPI_ALERT_WEBHOOK_URL", &receiver.url)
        .env("KPI_ALERT_WEBHOOK_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
}

fn accepted() -> Reply {
    Reply::Status(204, String::new(), String::new())
}

async fn alert_of(server: &Server, metric: &str) -> String {
    eventually("an alert", async || {
        let alerts = server.client.get("kpi/alerts?limit=500").await.ok();
        let mut alerts = alerts["items"].as_array()?.iter();
        let alert = alerts.find(|alert| alert["metric"] == metric)?;
        Some(alert["id"].as_str()?.to_owned())
    })
    .await
}

/// A day of few clicks; its alerts are delivered, acknowledged, silenced. Digests of every state.
async fn visitors_and_digests(release: &Release) {
    let receiver = Provider::start(|n| if n == 0 { Reply::HangsUp } else { accepted() }).await;
    let server = with_receiver(release, "2026-03-09 12:00:00", &receiver).start().await;
    let (cohort, bad) = (day("2026-03-03"), day("2026-03-09"));
    // Six days late.
    visit(&server, visitors(cohort, "landing_view", 0..30)).await;
    visit(&server, visitors(cohort, "landing_run_click", 0..12)).await;
    visit(&server, visitors(cohort, "run_detail_view", 0..30)).await;
    visit(&server, visitors(bad, "landing_view", 0..60)).await;
    visit(&server, visitors(bad, "landing_run_click", 0..1)).await;
    visit(&server, visitors(bad, "run_detail_view", 0..40)).await;
    visit(&server, visitors(bad, "replay_start", 0..30)).await;
    visit(&server, visitors(bad, "replay_complete", 0..5)).await;
    let clicks = alert_of(&server, "landing_to_run_ctr").await;
    let replays = alert_of(&server, "replay_completion_rate").await;
    eventually("the message is delivered", async || {
        let messages = server.client.get("kpi/notifications").await.ok();
        let messages = messages["items"].as_array()?;
        let delivered = |message: &Value| message["deliveries"][0]["state"] == "delivered";
        messages.iter().all(delivered).then_some(())
    })
    .await;
    let reason = json!({"reason": "the landing page is being fixed"});
    post(&server, &format!("kpi/alerts/{clicks}/acknowledge"), reason).await;
    let silence = json!({"minutes": 10_000, "reason": "replays are being rebuilt"});
    post(&server, &format!("kpi/alerts/{replays}/silence"), silence).await;

    for (anchor, duplicate) in
        [("2026-03-08", false), ("2026-03-08", true), ("2026-03-04", false), ("2026-02-10", false)]
    {
        let options = json!({"anchor_date": anchor, "allow_duplicate_anchor": duplicate});
        post(&server, "digest", options).await;
    }
    let read = json!({"reason": "read and checked"});
    post(&server, "digests/weekly-brief-2026-03-08/publish", read).await;
    let spare = json!({"reason": "written twice"});
    post(&server, "digests/weekly-brief-2026-03-08-2/discard", spare).await;
    assert!(server.terminate().await);
}

/// A better day, which resolves one alert, and a run that stays open.
async fn an_open_run(release: &Release) {
    let provider = Switched::start(GOOD).await;
    let server = with_world(release, "2026-03-10 09:00:00", &provider).start().await;
    let today = day("2026-03-10");
    visit(&server, visitors(today, "landing_view", 0..60)).await;
    visit(&server, visitors(today, "landing_run_click", 0..20)).await;
    visit(&server, visitors(today, "replay_start", 0..30)).await;
    visit(&server, visitors(today, "replay_complete", 0..5)).await;
    // Few of two cohorts come back.
    let back = |from: &str, many: u32| -> Vec<_> {
        (0..many).map(|number| (today, "run_detail_view", format!("{from}-{number}"))).collect()
    };
    visit(&server, [back("2026-03-09", 3), back("2026-03-03", 1)].concat()).await;
    eventually("the alert is resolved", async || {
        let alerts = server.client.get("kpi/alerts?limit=500").await.ok();
        let mut alerts = alerts["items"].as_array()?.iter();
        alerts.any(|alert| alert["state"] == "resolved").then_some(())
    })
    .await;
    let body = json!({
        "mode": "test", "run_id": "open-run", "reset_world": true, "parent_run_id": "first-run",
    });
    start(&server, body).await;
    until_calls(&server, 12).await;
    assert!(server.terminate().await);
}

/// Alerts about cohorts, to a receiver that fails; one delivery is replayed.
async fn alerts(release: &Release) {
    let receiver = Provider::start(|n| match n {
        0 => Reply::Status(500, String::new(), "not now".to_owned()),
        1 => Reply::Status(503, String::new(), String::new()),
        _ => accepted(),
    })
    .await;
    let moment = "2026-03-11 08:00:00";
    let server = with_receiver(release, moment, &receiver).start().await;
    alert_of(&server, "d1_retention_rate").await;
    let week = alert_of(&server, "d7_retention_rate").await;
    post(&server, &format!("kpi/alerts/{week}/acknowledge"), json!({"reason": "expected"})).await;
    let messages = eventually("a delivery fails", async || {
        let messages = server.client.get("kpi/notifications").await.ok();
        let failed = messages["items"][0]["deliveries"][0]["last_error"].is_string();
        failed.then_some(messages)
    })
    .await;
    let messages = messages["items"].as_array().expect("messages");
    let oldest = messages.last().expect("a message");
    let delivery = oldest["deliveries"][0]["id"].as_str().expect("an id");
    let asked = receiver.seen().len();
    post(&server, &format!("kpi/deliveries/{delivery}/replay"), json!({"reason": "again"})).await;
    eventually("it is tried again", async || (receiver.seen().len() > asked).then_some(())).await;
    assert!(server.terminate().await);
}
