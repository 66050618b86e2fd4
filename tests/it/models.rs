//! Agents that ask a model: answers of every kind, outages, budgets, power cuts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use simops::Clock;
use simops::clock::day_of;
use simops::store::{UsageFilter, UsageStore};
use simops::usage::keep_expiring;
use simops::usage::{NanoUsd, UsageCounter};
use simops_sqlite::SqliteStore;
use simops_tests::provider::{Provider, Reply};
use simops_tests::{Server, ServerBuilder, cli, eventually};

const KEY: &str = "sk-hush-0123456789";

fn builder(dir: &tempfile::TempDir, provider: &Provider) -> ServerBuilder {
    ServerBuilder::new(dir.path()).env("GROQ_BASE_URL", &provider.url).env("GROQ_API_KEY", KEY)
}

async fn start_run(server: &Server, run_id: &str) {
    let body = json!({"mode": "test", "run_id": run_id});
    server.client.post("control/run/start", &body).await.ok();
}

/// Waits until a guardrail has stopped the run; its event.
async fn until_stopped_by(server: &Server, reason: &str) -> Value {
    let event = eventually("a stop by a guardrail", async || {
        let events = server.client.get("events?type=simulation_stopped_guardrail").await.ok();
        events["items"].as_array().unwrap().first().cloned()
    })
    .await;
    assert_eq!(event["metadata"]["reason"], reason, "{event}");
    event
}

async fn calls(server: &Server) -> i64 {
    server.client.get("status").await.ok()["llm_budget"]["calls_total"].as_i64().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_provider_answers_the_run_goes_on_and_every_call_is_booked() {
    let dir = tempfile::tempdir().unwrap();
    let provider = Provider::start(|n| match n {
        2 => Reply::Hangs,
        _ => match n % 10 {
            3 => Reply::Says("I would rather rest.".to_owned()),
            5 => Reply::Status(429, "retry-after: 1\r\n".to_owned(), String::new()),
            7 => Reply::Status(500, String::new(), format!("who is {KEY}?")),
            9 => Reply::Half,
            _ => Reply::action(),
        },
    })
    .await;
    let server = builder(&dir, &provider).start().await;
    start_run(&server, "r1").await;
    let metrics = eventually("actions of both kinds", async || {
        let metrics = server.client.get("run/metrics").await.ok();
        let enough = |group: &str, field: &str| metrics[group][field].as_i64() > Some(2);
        let enough = enough("activity", "checkpoint_actions")
            && enough("activity", "deterministic_actions")
            && metrics["llm"]["calls"].as_i64() > Some(40);
        enough.then_some(metrics)
    })
    .await;
    let llm = &metrics["llm"];
    assert!(llm["success_calls"].as_i64() < llm["calls"].as_i64(), "{llm}");
    assert!(llm["total_tokens"].as_i64() > Some(1_000), "{llm}");
    server.client.post("control/run/stop", &json!({})).await.ok();
    let status = server.until_state("stopped").await;
    let budget = &status["llm_budget"];
    assert_eq!(budget["calls_groq"], budget["calls_total"]);
    assert_eq!(status["hosts"][0]["in_flight_calls"], 0);
    let asked = provider.seen();
    // Of the run: the day may have changed meanwhile.
    let llm = server.client.get("run/metrics").await.ok()["llm"].clone();
    assert!(llm["estimated_cost_usd"].as_f64() > Some(0.0), "{llm}");
    assert_eq!(llm["calls"].as_i64().unwrap(), asked.len() as i64, "one row a call");
    assert!(asked[0].contains(KEY), "the provider gets the key");

    let config = server.client.get("config").await.ok();
    let events = server.client.get("events?limit=500").await.ok();
    let log = std::fs::read_to_string(&server.log).unwrap();
    for text in [status.to_string(), metrics.to_string(), config.to_string(), events.to_string()] {
        assert!(!text.contains(KEY));
    }
    assert!(!log.contains(KEY) && log.contains("model routing enabled"), "{log}");
    assert!(server.terminate().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streamed_answers_are_put_together_and_half_ones_are_failed_calls() {
    let dir = tempfile::tempdir().unwrap();
    let action = r#"{"action":"work","resource":"food"}"#;
    let provider = Provider::start(move |n| Reply::Streams(action.to_owned(), n % 4 != 3)).await;
    let server = builder(&dir, &provider).env("LLM_STREAM", "true").start().await;
    start_run(&server, "r1").await;
    let metrics = eventually("actions of both kinds", async || {
        let metrics = server.client.get("run/metrics").await.ok();
        let some = |field: &str| metrics["activity"][field].as_i64() > Some(4);
        (some("checkpoint_actions") && some("deterministic_actions")).then_some(metrics)
    })
    .await;
    assert!(provider.seen()[0].contains(r#""stream":true"#));
    assert!(metrics["llm"]["success_calls"].as_i64() < metrics["llm"]["calls"].as_i64());
    server.client.post("control/run/stop", &json!({})).await.ok();
    server.until_state("stopped").await;
    assert!(server.terminate().await);
    let rows = cli(dir.path(), &["usage", "list", "--run-id=r1", "--limit=500"]).await;
    let rows: Value = serde_json::from_slice(&rows.stdout).unwrap();
    for row in rows["items"].as_array().unwrap() {
        match row["success"].as_bool() {
            Some(true) => assert_eq!(
                (&row["input_tokens"], &row["output_tokens"]),
                (&json!(1_000), &json!(10))
            ),
            // A model has run: the reserved bound is charged.
            _ => assert!(
                row["error_type"] == "invalid_response" && row["cost_usd"].as_f64() > Some(0.0),
                "{row}"
            ),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_keeps_failing_stops_the_run() {
    let dir = tempfile::tempdir().unwrap();
    let provider =
        Provider::start(|_| Reply::Status(500, String::new(), "out of order".to_owned())).await;
    let server = builder(&dir, &provider).start().await;
    let threshold = |failures: u32| json!({ "STOP_PROVIDER_FAILURE_THRESHOLD": failures });
    server.client.patch(&threshold(50_000)).await.ok();
    start_run(&server, "r1").await;
    let warnings = || {
        let log = std::fs::read_to_string(&server.log).unwrap();
        log.matches("model call failed; using fallback rule").count()
    };
    // A call fails after its retries. A stop may come before the first of them has failed.
    eventually("a failed call", async || (warnings() > 0).then_some(())).await;
    server.client.patch(&threshold(8)).await.ok();
    let event = until_stopped_by(&server, "provider_failures_repeated").await;
    let failures = &event["metadata"]["details"]["conditions"][1];
    assert!(failures["observed"].as_f64() >= Some(8.0), "{event}");
    server.until_state("stopped").await;
    let run = server.client.get("runs/r1").await.ok();
    assert_eq!(run["end_reason"], "provider_failures_repeated");
    assert_eq!(warnings(), 1, "an outage is logged once");
}

/// More calls are refused by the circuit breaker than the cap allows to make; then the provider answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_uses_up_no_cap() {
    let dir = tempfile::tempdir().unwrap();
    let is_up = Arc::new(AtomicBool::new(false));
    let provider = Provider::start({
        let is_up = Arc::clone(&is_up);
        move |_| match is_up.load(Ordering::SeqCst) {
            true => Reply::action(),
            false => Reply::Status(401, String::new(), "no such key".to_owned()),
        }
    })
    .await;
    let server = builder(&dir, &provider).start().await;
    let settings = json!({
        "LLM_MAX_CALLS_PER_DAY_TOTAL": 30, "STOP_PROVIDER_FAILURE_THRESHOLD": 50_000,
    });
    server.client.patch(&settings).await.ok();
    start_run(&server, "r1").await;
    let unsent = async || {
        let rows = cli(dir.path(), &["usage", "list", "--run-id=r1", "--limit=500"]).await;
        let rows: Value = serde_json::from_slice(&rows.stdout).unwrap();
        let rows = rows["items"].as_array().unwrap().clone();
        rows.into_iter().filter(|row| row["sent"] == false).collect::<Vec<_>>()
    };
    let refused = eventually("more refused calls than the cap", async || {
        let refused = unsent().await;
        (refused.len() > 30).then_some(refused)
    })
    .await;
    for row in &refused {
        assert_eq!((&row["error_type"], &row["cost_usd"]), (&json!("circuit_open"), &json!(0.0)));
    }
    assert!(calls(&server).await <= 10, "a few calls and probes were made");
    is_up.store(true, Ordering::SeqCst);
    eventually("answers", async || {
        let metrics = server.client.get("run/metrics").await.ok();
        (metrics["llm"]["success_calls"].as_i64() > Some(3)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_budget_that_cannot_pay_for_a_call_stops_the_run_until_it_is_raised() {
    let dir = tempfile::tempdir().unwrap();
    let provider = Provider::start(|_| Reply::action()).await;
    // Without a price: 0.50 and 1.50 USD per million tokens.
    let server = builder(&dir, &provider).env("GROQ_MODEL", "unheard-of").start().await;
    let caps =
        |hard: f64| json!({"LLM_DAILY_BUDGET_USD_SOFT": 0.0, "LLM_DAILY_BUDGET_USD_HARD": hard});
    server.client.patch(&caps(0.005)).await.ok();
    start_run(&server, "r1").await;
    let event = until_stopped_by(&server, "hard_budget_exceeded").await;
    let details = &event["metadata"]["details"];
    let (needed, budget) =
        (details["refused_call_usd"].as_f64().unwrap(), &details["conditions"][0]);
    let spent = budget["observed"].as_f64().unwrap();
    assert!(spent < 0.005 && spent + needed > 0.005, "{event}");
    server.until_state("stopped").await;

    server.client.patch(&caps(50.0)).await.ok();
    server.client.post("control/resume", &json!({})).await.ok();
    let before = calls(&server).await;
    eventually("more calls", async || (calls(&server).await > before + 20).then_some(())).await;
    assert_eq!(server.client.get("status").await.ok()["run_state"], "running");
}

/// Six calls of a group are made, not a seventh, and the run that makes them ends; another run, and an
/// agent whose budget is spent, end nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_budget_of_a_group_ends_its_run_and_one_of_agents_ends_none() {
    let dir = tempfile::tempdir().unwrap();
    let provider = Provider::start(|_| Reply::action()).await;
    let server = builder(&dir, &provider).start().await;
    let budget = async |id: &str, scope: &str, key: &str, hard: i64| {
        let body = json!({
            "scope": scope, "key": key, "window": "run", "unit": "calls", "hard": hard,
        });
        let request = server.client.request(reqwest::Method::PUT, &format!("budgets/{id}"));
        server.client.send(request.json(&body)).await.unwrap().ok()
    };
    budget("team", "group", "team", 6).await;
    let start = json!({"mode": "test", "run_id": "r1", "group_id": "team"});
    server.client.post("control/run/start", &start).await.ok();
    let event = until_stopped_by(&server, "hard_budget_exceeded").await;
    assert_eq!(event["metadata"]["details"]["budget"], "team", "{event}");
    server.until_state("stopped").await;
    assert_eq!(calls(&server).await, 6);

    budget("each-agent", "agent", "*", 1).await;
    start_run(&server, "r2").await;
    let listed = async || server.client.get("budgets").await.ok()["items"].clone();
    let of_agents = eventually("budgets of agents are spent", async || {
        let items = listed().await;
        let mut items = items.as_array().unwrap().iter();
        let agents = items.find(|budget| budget["id"] == "each-agent").unwrap();
        let uses = agents["uses"].as_array().unwrap();
        let spent = uses.iter().filter(|used| used["left"] == 0).count();
        (spent >= 3).then(|| uses.clone())
    })
    .await;
    assert!(of_agents.iter().all(|used| used["spent"].as_i64() <= Some(1)), "{of_agents:?}");
    eventually("agents act without a model", async || {
        let metrics = server.client.get("run/metrics").await.ok();
        (metrics["activity"]["deterministic_actions"].as_i64() > Some(3)).then_some(())
    })
    .await;
    assert_eq!(server.client.get("status").await.ok()["run_state"], "running");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_single_turn_and_a_worker_process_ask_the_provider_of_their_flags() {
    let dir = tempfile::tempdir().unwrap();
    let provider = Provider::start(|_| Reply::action()).await;
    let server = ServerBuilder::new(dir.path()).arg("--host=none").start().await;
    let url = format!("--groq-base-url={}", provider.url);
    let once = ["agent", "once", "--agent=1", "--dry-run", &url, "--llm-unpriced-policy=refuse"];
    let output = cli(dir.path(), &once).await;
    assert!(output.status.success(), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["decision"]["source"], "model", "{report}");
    assert_eq!(report["events"][0]["metadata"]["runtime"]["calls"]["provider"], "groq");
    assert_eq!(calls(&server).await, 1, "the call of a dry run is booked");
    let refused = cli(dir.path(), &[&once[..], &["--groq-model=unheard-of"]].concat()).await;
    let report: Value = serde_json::from_slice(&refused.stdout).unwrap();
    assert_eq!(report["decision"]["calls"]["refused"], "unpriced", "{report}");

    let mut worker = tokio::process::Command::new(simops_tests::program("simops-cli"))
        .args(["worker", "--speed", "100", &url])
        .current_dir(dir.path())
        .stderr(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    eventually("the worker reports", async || {
        let status = server.client.get("status").await.ok();
        (!status["hosts"].as_array().unwrap().is_empty()).then_some(())
    })
    .await;
    start_run(&server, "r1").await;
    eventually("calls of the worker", async || (calls(&server).await > 5).then_some(())).await;
    worker.kill().await.unwrap();
}

/// An hour from now.
struct Later;

impl Clock for Later {
    fn now(&self) -> Timestamp {
        Timestamp::now() + SignedDuration::from_hours(1)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_cut_off_by_a_power_cut_become_rows_that_say_so() {
    let dir = tempfile::tempdir().unwrap();
    let provider = Provider::start(|_| Reply::Hangs).await;
    let server = builder(&dir, &provider).start().await;
    start_run(&server, "r1").await;
    eventually("a call", async || (provider.seen().len() >= 4).then_some(())).await;
    // Calls in flight hold the pause open, and no other begins.
    server.client.post("control/pause", &json!({})).await.ok();
    let status = eventually("the host has seen the pause", async || {
        let status = server.client.get("status").await.ok();
        (status["hosts"][0]["generation"] == status["generation"]).then_some(status)
    })
    .await;
    assert_eq!(status["run_state"], "pausing", "{status}");
    assert_eq!(status["hosts"][0]["in_flight_calls"], 4);
    let asked = provider.seen().len();
    server.kill().await;
    assert_eq!(provider.seen().len(), asked);

    let url = format!("sqlite://{}", dir.path().join("simops.db").display());
    let store = SqliteStore::open(&url).await.unwrap();
    let today = day_of(Timestamp::now());
    let reserved = store.day_use(today).await.unwrap().reserved;
    assert!(reserved.cost > NanoUsd(0));
    let booked = eventually_expired(&store, asked);
    let rows = tokio::select! {
        rows = booked => rows,
        () = keep_expiring(&store, &Later) => unreachable!("it never ends"),
    };
    let cost: NanoUsd = rows.iter().map(|row| row.cost).sum();
    assert_eq!(cost, reserved.cost);
    for row in rows {
        assert_eq!(row.error_type.as_deref(), Some("lease_expired"));
        assert_eq!(row.run_id.as_deref(), Some("r1"));
    }
}

async fn eventually_expired(store: &SqliteStore, wanted: usize) -> Vec<simops::usage::UsageRow> {
    eventually("rows of expired leases", async || {
        let rows = store.usage_rows(&UsageFilter::default(), 100).await.unwrap().items;
        (rows.len() == wanted).then_some(rows)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_with_hanging_calls_ends_in_time() {
    let dir = tempfile::tempdir().unwrap();
    let provider = Provider::start(|_| Reply::Hangs).await;
    let server = builder(&dir, &provider).start().await;
    start_run(&server, "r1").await;
    eventually("a call", async || (!provider.seen().is_empty()).then_some(())).await;
    let log = server.log.clone();
    assert!(server.terminate().await);
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains("leases will expire") && !log.contains("shutdown timed out"), "{log}");
}
