//! Audit, events, runs and metrics.

use axum::http::Method;
use serde_json::json;
use simops::event::NewEvent;

use crate::support::TestApp;

#[tokio::test]
async fn listings_are_paged_newest_first() {
    let app = TestApp::new();
    for n in 0..5 {
        let body = json!({ "mode": "test", "run_id": format!("r{n}"), "reason": "why" });
        app.post("control/run/start", body).await.ok();
        app.post("control/run/stop", json!({})).await.ok();
    }
    let page = app.get("runs?limit=2").await.ok();
    assert_eq!(page["items"][0]["run_id"], "r4");
    let cursor = page["next_cursor"].as_str().unwrap();
    let next = app.get(&format!("runs?limit=500&cursor={cursor}")).await.ok();
    assert_eq!(next["items"].as_array().unwrap().len(), 3);
    assert!(next["next_cursor"].is_null());

    let events = app.get("events?run_id=r3&type=run_started").await.ok();
    assert_eq!(events["items"].as_array().unwrap().len(), 1);
    let id = &events["items"][0]["id"];
    assert_eq!(app.get(&format!("events/{id}")).await.ok(), events["items"][0]);

    let audit = app.get("audit?limit=1&offset=1").await.ok();
    assert_eq!((&audit["limit"], &audit["offset"]), (&json!(1), &json!(1)));
    let count = audit["count"].as_i64().unwrap();
    assert_eq!(audit["items"][0]["id"], count - 1);
}

#[tokio::test]
async fn events_show_the_number_of_an_agent_and_its_name() {
    let app = TestApp::new();
    let event = |at| NewEvent::new("said", "An agent says so.", at);
    let at = |second: i64| jiff::Timestamp::from_second(1_767_225_600 + second).unwrap();
    let events =
        [event(at(0)), event(at(1)).of_agent(7), event(at(2)).of_agent("Zo\u{65}\u{308} \n\"B\"")];
    app.store.append(&events).await.unwrap();
    let listed = app.get("events").await.ok();
    let shown: Vec<_> = listed["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| json!([e["agent_id"], e["agent"]]))
        .collect();
    assert_eq!(shown, [json!([null, "Zoë  \"B\""]), json!([7, "7"]), json!([null, null])]);
    let described = app.bare(Method::GET, "/api/openapi.json").send().await.ok();
    let event = described["components"]["schemas"]["Event"].to_string();
    assert!(event.contains("AgentFields"), "{event}");
    let fields = &described["components"]["schemas"]["AgentFields"]["properties"];
    assert!(fields["agent_id"].is_object() && fields["agent"].is_object(), "{described}");
}

#[tokio::test]
async fn runs_are_found_by_group_and_labels_with_their_figures() {
    let app = TestApp::new();
    for n in 0..6 {
        let body = json!({
            "mode": "test", "run_id": format!("r{n}"), "group_id": "pilot",
            "labels": { "seed": (n % 3).to_string(), "model": "a & b" }, "reason": "=1+1, \"x\"",
        });
        app.post("control/run/start", body).await.ok();
        app.post("control/run/stop", json!({})).await.ok();
    }
    app.post("control/run/start", json!({ "mode": "test", "run_id": "other" })).await.ok();
    let found = async |query: &str| -> Vec<String> {
        let page = app.get(&format!("runs?{query}")).await.ok();
        let rows = page["items"].as_array().unwrap().iter();
        rows.map(|run| run["run_id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(found("group_id=pilot").await, ["r5", "r4", "r3", "r2", "r1", "r0"]);
    assert_eq!(found("group_id=&label=").await.len(), 7);
    assert_eq!(found("label=seed:1").await, ["r4", "r1"]);
    assert_eq!(found("label=seed:1&label=model:a%20%26%20b&group_id=pilot").await, ["r4", "r1"]);
    assert_eq!(found("label=seed:1&label=seed:2").await, [""; 0]);
    assert_eq!(found("label=seed:9").await, [""; 0]);

    let plain = &app.get("runs?label=seed:1").await.ok()["items"][0];
    assert_eq!((&plain["labels"]["seed"], &plain["llm"]), (&json!("1"), &json!(null)));
    let whole = &app.get("runs?label=seed:1&figures=true").await.ok()["items"][0];
    let metrics = app.get("run/metrics?run_id=r4").await.ok();
    for object in ["llm", "activity", "governance"] {
        assert!(whole[object].is_object(), "{whole}");
        assert_eq!(whole[object], metrics[object]);
    }

    let answer = app.get("runs?group_id=pilot&label=model:a+%26+b&format=csv&limit=4").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["content-type"], "text/csv; charset=utf-8");
    let lines: Vec<_> = answer.text.lines().collect();
    assert!(lines[0].starts_with("run_id,group_id,mode,"), "{}", lines[0]);
    assert!(lines[0].contains(",label.model,label.seed,calls,success_calls,"), "{}", lines[0]);
    assert!(lines[1].starts_with("r5,pilot,test,") && lines[1].contains(",a & b,2,0,"));
    assert!(lines[1].contains(",\"'=1+1, \"\"x\"\"\","), "no formula: {}", lines[1]);
    assert_eq!(lines.len(), 5);
    let next = answer.headers["link"].to_str().unwrap();
    let next =
        next.strip_prefix('<').and_then(|next| next.strip_suffix(">; rel=\"next\"")).unwrap();
    let last = app.get(&format!("runs{next}")).await;
    let ids: Vec<_> = last.text.lines().skip(1).map(|line| &line[..2]).collect();
    assert_eq!((ids, last.headers.get("link")), (vec!["r1", "r0"], None));
}

#[tokio::test]
async fn a_group_is_reported_with_a_row_per_run_and_summaries() {
    let app = TestApp::new();
    for (n, condition) in ["warm", "cold", "warm"].into_iter().enumerate() {
        let body = json!({
            "mode": "test", "host": "gateway", "run_id": format!("r{n}"), "group_id": "pilot",
            "condition_name": condition, "labels": { "seed": n.to_string(), "note": "=1+1" },
        });
        app.post("control/run/start", body).await.ok();
    }
    let report = app.get("run/report?group_id=pilot").await.ok();
    assert_eq!((&report["by"], &report["final"]), (&json!("condition_name"), &json!(false)));
    assert_eq!(report["items"].as_array().unwrap().len(), 3);
    assert_eq!(report["items"][0]["metrics"]["total_events"], 1.0);
    let summaries = report["summaries"].as_array().unwrap();
    let runs: Vec<_> = summaries.iter().map(|of| (&of["value"], &of["runs"])).collect();
    assert_eq!(runs, [(&json!("cold"), &json!(1)), (&json!("warm"), &json!(2))]);
    let by_seed = app.get("run/report?label=note:%3D1%2B1&by=seed").await.ok();
    assert_eq!(by_seed["summaries"].as_array().unwrap().len(), 3);

    let csv = app.get("run/report?group_id=pilot&label=seed:1&format=csv").await;
    assert_eq!(csv.headers["content-type"], "text/csv; charset=utf-8");
    let lines: Vec<_> = csv.text.lines().collect();
    assert!(lines[0].starts_with("run_id,group_id,mode,condition_name,label.note,label.seed,"));
    assert!(lines[1].starts_with("r1,pilot,test,cold,'=1+1,1,"), "{}", lines[1]);
    assert_eq!(lines.len(), 2);
    let summary = app.get("run/report?group_id=pilot&format=summary_csv").await.text;
    assert!(summary.starts_with("condition_name,runs,open,metric,n,mean,"), "{summary}");
    assert!(summary.contains("\nwarm,2,2,total_events,2,1,0,1,1,1,1\n"), "{summary}");

    app.get("run/report").await.names("group_id");
    app.get("run/report?group_id=pilot&by=size").await.names("by");
    app.get("run/report?group_id=pilot&format=xml").await.names("format");
    app.get("run/report?group_id=pilot&label=seed").await.names("label");
    app.get("run/report?group_id=none").await.problem(404);
}

#[tokio::test]
async fn the_audit_trail_is_verified_against_a_remembered_head() {
    let app = TestApp::new();
    app.post("control/run/start", json!({ "mode": "test" })).await.ok();
    let verified = app.get("audit/verify").await.ok();
    assert_eq!((&verified["ok"], &verified["detail"]), (&json!(true), &json!(null)));
    let (id, hash) = (&verified["head"]["id"], verified["head"]["hash"].as_str().unwrap());
    app.post("control/run/stop", json!({})).await.ok();
    let path = format!("audit/verify?head_id={id}&head_hash={hash}");
    assert_eq!(app.get(&path).await.ok()["ok"], true);
    let forged = app.get(&format!("audit/verify?head_id={id}&head_hash=00")).await.ok();
    assert_eq!((&forged["ok"], &forged["rows"]), (&json!(false), &json!(null)));
    assert!(forged["detail"].as_str().unwrap().contains("rewritten"));
}

#[tokio::test]
async fn metrics_are_those_of_a_run_or_zeros() {
    let app = TestApp::new();
    let none = app.get("run/metrics").await.ok();
    assert!(none["run_id"].is_null() && none["run_metadata"].is_null());
    assert_eq!(none["llm"]["calls"], 0);
    app.post("control/run/start", json!({ "mode": "test", "run_id": "r1" })).await.ok();
    app.post("control/run/stop", json!({ "clear_run_id": true })).await.ok();
    assert!(app.get("run/metrics").await.ok()["run_id"].is_null());
    let of_run = app.get("run/metrics?run_id=r1").await.ok();
    assert_eq!(of_run["run_id"], "r1");
    assert_eq!(of_run["simulation_active"], false);
}

#[tokio::test]
async fn calls_are_shown_along_time_with_a_forecast() {
    let app = TestApp::new();
    let rows: Vec<_> = [("groq", true), ("groq", false), ("gemini", true)]
        .map(|(provider, success)| row(provider, success))
        .into();
    app.store.record_usage(&rows).await.unwrap();
    let series = app.get("usage/series?since=1h").await.ok();
    assert_eq!(series["step_seconds"], 60);
    let sum = |provider: &str, figure: &str| -> i64 {
        let items = series["items"].as_array().unwrap().iter();
        items.filter(|i| i["provider"] == provider).map(|i| i[figure].as_i64().unwrap()).sum()
    };
    assert_eq!((sum("groq", "calls"), sum("groq", "failed"), sum("gemini", "calls")), (2, 1, 1));
    assert!((series["forecast"]["usd_per_hour"].as_f64().unwrap() - 0.036).abs() < 1e-9);
    assert_eq!(app.get("usage/series").await.ok()["step_seconds"], 600);
    for since in ["yesterday", "9d", "2999-01-01"] {
        app.get(&format!("usage/series?since={since}")).await.names("since");
    }
}

fn row(provider: &str, success: bool) -> simops::usage::UsageRow {
    let now = simops::clock::truncate_to_micros(jiff::Timestamp::now());
    simops::usage::UsageRow {
        id: uuid::Uuid::now_v7(),
        day: simops::clock::day_of(now),
        run_id: None,
        agent_id: None,
        checkpoint: None,
        provider: provider.to_owned(),
        model_requested: "m".to_owned(),
        model_resolved: None,
        input_tokens: 100,
        cached_input_tokens: 0,
        output_tokens: 20,
        reasoning_tokens: 0,
        cost: simops::usage::NanoUsd(1_000_000),
        priced: true,
        success,
        sent: true,
        over_reservation: false,
        fallback_used: false,
        latency_ms: 5,
        error_type: (!success).then(|| "timeout".to_owned()),
        created_at: now,
    }
}
