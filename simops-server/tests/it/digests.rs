//! Digests over the API: every link of the text is followed, and answers with what is claimed.

use axum::http::Method;
use jiff::Timestamp;
use serde_json::{Value, json};
use simops::event::{NewEvent, RuntimeMode, kind};
use simops::usage::{NanoUsd, UsageRow};
use uuid::Uuid;

use crate::support::TestApp;

/// Events and calls of the run `r1`, now.
async fn busy() -> TestApp {
    let app = TestApp::new();
    app.post("control/run/start", json!({ "mode": "test", "run_id": "r1" })).await.ok();
    let now = Timestamp::now();
    let event = |event_type: &str, text: &str| {
        let event = NewEvent::new(event_type, text, now).in_run(Some("r1")).of_agent(1);
        event.as_action(RuntimeMode::DeterministicFallback)
    };
    let mut events: Vec<_> = (0..30).map(|_| event("work", "an agent works")).collect();
    events.push(event(kind::PROPOSAL_CREATED, "Agent 1 proposes \"[x](http://evil)\"."));
    events.push(event("a) [type](of a host)", "odd").with("category", "survival"));
    let owned = json!([{ "agent_id": 1, "food": 2 }]);
    let snapshot = NewEvent::new(kind::INVENTORY_SNAPSHOT, "", now).in_run(Some("r1"));
    events.push(snapshot.with("inventories", owned));
    app.store.append(&events).await.unwrap();
    let call = |success| UsageRow {
        id: Uuid::now_v7(),
        day: simops::clock::day_of(now),
        run_id: Some("r1".to_owned()),
        agent_id: None,
        checkpoint: None,
        provider: "groq".to_owned(),
        model_requested: "m".to_owned(),
        model_resolved: None,
        input_tokens: 1,
        cached_input_tokens: 0,
        output_tokens: 1,
        reasoning_tokens: 0,
        cost: NanoUsd(5),
        priced: true,
        success,
        sent: true,
        over_reservation: false,
        fallback_used: false,
        latency_ms: 1,
        error_type: None,
        created_at: now,
    };
    let calls: Vec<_> = (0..6).map(|n| call(n > 0)).collect();
    app.store.record_usage(&calls).await.unwrap();
    app
}

/// The paths that a text links to.
fn links(markdown: &str) -> Vec<String> {
    let evidence = markdown.lines().filter(|line| line.starts_with("  Evidence: "));
    let links = evidence.flat_map(|line| line.split("](").skip(1));
    links.map(|rest| rest.split(')').next().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn every_claim_links_to_evidence_that_answers_with_it() {
    let app = busy().await;
    let answer = app.call(Method::POST, "digest").send().await.ok();
    assert_eq!(answer["status"], "created");
    assert_eq!(answer["evidence_gate"]["observed"], json!({ "total_events": 34, "llm_calls": 6 }));
    let markdown = answer["markdown"].as_str().unwrap();
    let claims = markdown.lines().filter(|line| line.starts_with("- Claim: ")).count();
    let evidence = markdown.lines().filter(|line| line.starts_with("  Evidence: [")).count();
    assert_eq!((claims, markdown.matches("\n## ").count()), (evidence, 5), "{markdown}");
    assert!(!markdown.contains("](http"), "{markdown}");

    for path in links(markdown) {
        let found = app.get(path.strip_prefix("/api/admin/").unwrap()).await.ok();
        if path.contains("/events?") {
            // Of votes it is claimed that there were none.
            let none = path.contains("type=vote_cast");
            assert_eq!(found["items"].as_array().unwrap().is_empty(), none, "{path}");
        } else if path.contains("/activity?") {
            assert_eq!(found["total_events"], 34, "{path}");
        } else if path.contains("/usage/summary?") {
            let figures = (&found["calls"], &found["failed_calls"]);
            assert_eq!(figures, (&json!(6), &json!(1)), "{path}");
        } else if path.contains("/digest/evidence?") {
            assert_eq!(found["activity"]["total_events"], 34, "{path}");
        } else if path.contains("/runs/") {
            assert_eq!(found["run_id"], "r1");
        } else if path.contains("/audit/verify") {
            assert_eq!(found["ok"], true);
        } else {
            assert!(found["description"].is_string(), "{path}");
        }
    }
    let quoted = app.get("events?type=proposal_created").await.ok();
    let id = &quoted["items"][0]["id"];
    assert!(markdown.contains(&format!("[event {id}](/api/admin/events/{id})")), "{markdown}");
}

#[tokio::test]
async fn a_draft_is_listed_published_and_discarded_with_audit() {
    let app = busy().await;
    let draft = app.post("digest", json!({})).await.ok();
    let slug = draft["slug"].as_str().unwrap().to_owned();
    let again = app.post("digest", json!({})).await.ok();
    assert_eq!((&again["status"], &again["slug"]), (&json!("existing"), &json!(slug)));
    let other = app.post("digest", json!({ "allow_duplicate_anchor": true })).await.ok();
    assert_eq!(other["slug"], format!("{slug}-2"));
    assert_eq!(other["markdown"], draft["markdown"]);

    let published =
        app.post(&format!("digests/{slug}/publish"), json!({ "reason": "read" })).await.ok();
    assert_eq!(published["status"], "published");
    let discarded = app.call(Method::POST, &format!("digests/{slug}-2/discard")).send().await.ok();
    assert_eq!(discarded["status"], "discarded");
    app.post(&format!("digests/{slug}-2/publish"), json!({})).await.problem(409);
    app.post("digests/none/publish", json!({})).await.problem(404);

    let listed = app.get("digests?limit=1").await.ok();
    assert_eq!(listed["items"][0]["slug"], format!("{slug}-2"));
    let next = listed["next_cursor"].as_str().unwrap();
    let rest = app.get(&format!("digests?cursor={next}")).await.ok();
    assert_eq!(rest["items"][0]["slug"], slug);
    let found = app.get("digests?status=published").await.ok();
    assert_eq!(found["items"].as_array().unwrap().len(), 1);
    assert_eq!(app.get(&format!("digests/{slug}")).await.ok()["markdown"], draft["markdown"]);
    app.get("digests?status=lost").await.names("status");

    let audit = app.get("audit?limit=4").await.ok();
    let row = audit["items"].as_array().unwrap().iter().find(|row| row["new_value"] == "published");
    let row = row.unwrap();
    assert_eq!((&row["key"], &row["reason"]), (&json!(format!("DIGEST:{slug}")), &json!("read")));
    assert_eq!(app.get("audit/verify").await.ok()["ok"], true);
}

#[tokio::test]
async fn a_repeated_write_drafts_once_and_what_is_out_of_form_is_named() {
    let app = busy().await;
    let twice = async || {
        let call = app.call(Method::POST, "digest").header("idempotency-key", "k");
        call.json(&json!({ "allow_duplicate_anchor": true })).send().await.ok()
    };
    assert_eq!(twice().await, twice().await);
    assert_eq!(app.get("digests").await.ok()["items"].as_array().unwrap().len(), 1);
    for (body, field) in [
        (json!({ "anchor_date": "yesterday" }), "anchor_date"),
        (json!({ "anchor_date": "2026-02-30" }), "anchor_date"),
        (json!({ "anchor_date": "2026-02-20T10:00:00Z" }), "anchor_date"),
        (json!({ "anchor_date": "9999-12-31" }), "anchor_date"),
        (json!({ "lookback_days": 0 }), "lookback_days"),
        (json!({ "lookback_days": 91 }), "lookback_days"),
    ] {
        app.post("digest", body).await.names(field);
    }
    for (path, field) in [
        ("activity", "first_day"),
        ("activity?first_day=2026-01-01", "last_day"),
        ("activity?first_day=2026-01-02&last_day=2026-01-01", "last_day"),
        ("usage/summary?first_day=2026-01-01&last_day=2026-06-01", "last_day"),
        ("digest/evidence?lookback_days=x", "lookback_days"),
        ("events?after=now", "after"),
    ] {
        app.get(path).await.names(field);
    }
}

#[tokio::test]
async fn without_evidence_nothing_is_drafted() {
    let app = TestApp::new();
    let answer = app.post("digest", json!({ "anchor_date": "2020-01-01" })).await.ok();
    assert_eq!(answer["status"], "insufficient_evidence");
    assert_eq!((&answer["created"], &answer["markdown"]), (&json!(false), &Value::Null));
    assert_eq!(
        answer["evidence_gate"]["requirements"],
        json!({ "min_events": 25, "min_llm_calls": 5 })
    );
    assert!(!app.output.path().join("digest").exists());
}

#[tokio::test]
async fn every_link_of_a_digest_of_some_runs_answers_with_those_runs() {
    let app = busy().await;
    app.post("control/run/stop", json!({})).await.ok();
    for run_id in ["q1", "q2"] {
        let body = json!({
            "mode": "test", "host": "gateway", "run_id": run_id, "group_id": "quiet",
            "labels": { "model": "a & b" },
        });
        app.post("control/run/start", body).await.ok();
    }
    let quiet = app.post("digest", json!({ "group_id": "quiet" })).await.ok();
    assert_eq!(quiet["status"], "insufficient_evidence");
    assert_eq!(quiet["evidence_gate"]["observed"], json!({ "total_events": 2, "llm_calls": 0 }));
    let r1 = app.post("digest", json!({ "run_id": "r1" })).await.ok();
    assert_eq!((&r1["status"], &r1["runs"]["selected"]), (&json!("created"), &json!(1)));
    let text = r1["markdown"].as_str().unwrap();
    let links = links(text);
    assert!(links.iter().any(|link| link.contains("events?type=work&run_id=r1&")), "{text}");
    for link in links {
        let path = link.strip_prefix("/api/admin/").unwrap();
        let answer = app.get(path).await.ok();
        if path.starts_with("activity") || path.starts_with("usage/summary") {
            assert_eq!(answer["run_id"], "r1", "{path}");
        }
    }
    let day = jiff::Timestamp::now().strftime("%Y-%m-%d").to_string();
    let days = format!("first_day={day}&last_day={day}");
    let two = app.get(&format!("activity?{days}&label=model:a%20%26%20b")).await.ok();
    assert_eq!(
        two["runs"],
        json!({
            "run_id": null, "group_id": null, "labels": { "model": "a & b" }, "selected": 2, "open": 2,
        })
    );
    for (path, field) in [("activity", "label"), ("usage/summary", "label")] {
        app.get(&format!("{path}?{days}&label=seed")).await.names(field);
        app.get(&format!("{path}?{days}&group_id=none")).await.problem(404);
    }
    app.get("digest/evidence?label=seed:1&label=seed:2").await.names("label");
    app.get("digest/evidence?group_id=quiet").await.ok();
}
