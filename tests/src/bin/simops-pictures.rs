//! Takes the pictures of the README: `cargo run -p simops-tests --bin simops-pictures`, after a build
//! of all binaries. They show the real console on a real server, with a day's calls and six weeks of
//! visitors made up beforehand.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use reqwest::Method;
use serde_json::{Value, json};
use simops::clock::{day_of, truncate_to_micros};
use simops::store::UsageStore;
use simops::usage::{NanoUsd, UsageRow};
use simops_sqlite::SqliteStore;
use simops_tests::browser::Browser;
use simops_tests::provider::{Provider, Reply};
use simops_tests::{Server, ServerBuilder};

#[tokio::main]
async fn main() {
    let images = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/img");
    let dir = tempfile::tempdir().expect("a folder");
    let provider = Provider::start(|n| match n % 9 {
        4 => Reply::Status(503, String::new(), "{}".to_owned()),
        _ => Reply::action(),
    })
    .await;
    let server = ServerBuilder::new(dir.path())
        .env("GROQ_BASE_URL", &provider.url)
        .env("SIMOPS_WORLD_SPEED", "20")
        .start()
        .await;
    fill(&server, dir.path()).await;

    let browser = Browser::open(1440, 1000).await;
    browser.prefer("light").await;
    browser.connect(&server.base, "ada").await;
    browser.until_text("run-state", "running").await;
    // Long enough for the page to have a past of its own.
    tokio::time::sleep(Duration::from_secs(40)).await;
    let shoot = async |name: &str| {
        browser.picture(&images.join(name)).await;
        println!("{name}");
    };
    shoot("ops.png").await;
    browser.prefer("dark").await;
    browser.click("nav-run").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    shoot("ops-dark.png").await;
    browser.prefer("light").await;
    browser.click("nav-visitors").await;
    browser.until_text("panel-kpi", "Retention").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    shoot("ops-visitors.png").await;
    browser.click("nav-run").await;
    browser.resize(360, 780).await;
    browser.prefer("dark").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    shoot("ops-phone.png").await;
}

/// A day's ledger, weeks of visitors, and a run under way.
async fn fill(server: &Server, dir: &Path) {
    let database: PathBuf = dir.join("simops.db");
    let store = SqliteStore::open(&format!("sqlite://{}", database.display())).await.expect("it");
    let now = truncate_to_micros(Timestamp::now());
    let rows: Vec<_> = (0..420_i64).map(|n| call(n, now)).collect();
    store.record_usage(&rows).await.expect("the ledger");
    for ago in (0..42).rev() {
        let call = server.client.bare(Method::POST, "/api/analytics/kpi/events");
        server.client.send(call.json(&visits(ago, now))).await.expect("an answer").ok();
    }
    let run = json!({
        "mode": "test", "run_id": "commons-gossip-2", "condition_name": "treatment:gossip",
        "hypothesis_id": "H1:cooperation", "season_id": "spring", "season_number": 4,
        "reset_world": true, "reason": "second arm of H1",
    });
    server.client.post("control/run/start", &run).await.ok();
}

/// The nth of the calls made today, in the last six hours at most.
fn call(n: i64, now: Timestamp) -> UsageRow {
    let (provider, model, cost) = match n % 5 {
        0 => ("openrouter", "meta-llama/llama-3.3-70b-instruct:free", 0),
        1 => ("gemini", "gemini-2.5-flash", 820_000),
        _ => ("groq", "llama-3.3-70b-versatile", 610_000),
    };
    let today = now.as_second().rem_euclid(86_400).clamp(600, 21_600);
    let at = now - SignedDuration::from_secs(today - n * today / 421);
    let success = n % 13 != 7;
    UsageRow {
        id: uuid::Uuid::now_v7(),
        day: day_of(at),
        run_id: None,
        agent_id: Some((n % 50).into()),
        checkpoint: None,
        provider: provider.to_owned(),
        model_requested: model.to_owned(),
        model_resolved: None,
        input_tokens: 900,
        cached_input_tokens: 0,
        output_tokens: 60,
        reasoning_tokens: 0,
        cost: NanoUsd(if success { cost + (n % 7) * 40_000 } else { 0 }),
        priced: true,
        success,
        sent: true,
        over_reservation: false,
        fallback_used: false,
        latency_ms: 400,
        error_type: (!success).then(|| "timeout".to_owned()),
        created_at: at,
    }
}

/// What visitors did this many days ago: more on Mondays than on Sundays, and some come back.
fn visits(ago: i64, now: Timestamp) -> Vec<Value> {
    let week = [96, 104, 100, 92, 84, 61, 66];
    let landed = week[usize::try_from(ago % 7).unwrap_or(0)] - if ago == 0 { 30 } else { 0 };
    let mut events = Vec::new();
    for n in 0..landed {
        let at = now - SignedDuration::from_hours(24 * ago) - SignedDuration::from_mins(n % 40);
        // A third of a day's visitors were here the day before, some a week ago.
        let (since, who) = match (n % 3, n % 5) {
            (0, _) => (ago + 1, n + 1),
            (rest, 0) => (ago + 7, n + rest),
            _ => (ago, n),
        };
        let visitor = format!("visitor-{since}-{who}");
        let mut add = |name: &str, share: i64| {
            // The same visitor does the same whenever it comes.
            if (who * 37) % 100 < share {
                let at = at.to_string();
                events.push(json!({"event_name": name, "visitor_id": visitor, "occurred_at": at}));
            }
        };
        add("landing_view", 100);
        add("landing_run_click", if ago == 0 { 9 } else { 31 });
        add("run_detail_view", 46);
        add("replay_start", 30);
        add("replay_complete", 19);
        add("share_clicked", 6);
        add("shared_link_open", 4);
        add("onboarding_shown", 25);
        add("onboarding_completed", 14);
        add("onboarding_skipped", 8);
    }
    events
}
