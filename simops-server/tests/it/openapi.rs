//! The description of the API, against the API.

use std::collections::BTreeSet;

use axum::http::Method;
use serde_json::{Value, json};

use crate::support::TestApp;

const VISITS: &str = "/api/analytics/kpi/events";

async fn description(app: &TestApp) -> Value {
    app.bare(Method::GET, "/api/openapi.json").send().await.ok()
}

#[tokio::test]
async fn every_route_of_the_contract_is_described() {
    let described = description(&TestApp::new()).await;
    let mut found = BTreeSet::new();
    let all = described["paths"].as_object().unwrap().iter();
    for (path, item) in all.filter(|(path, _)| path.as_str() != VISITS) {
        for (method, operation) in item.as_object().unwrap() {
            found.insert(format!("{method} {}", path.strip_prefix("/api/admin/").unwrap()));
            for status in ["200", "401", "403", "429", "503"] {
                assert!(operation["responses"][status].is_object(), "{method} {path} {status}");
            }
            let writes = method != "get";
            assert_eq!(operation["responses"]["409"].is_object(), writes, "{method} {path}");
            assert_eq!(operation["requestBody"].is_object(), writes, "{method} {path}");
        }
    }
    let contract = [
        "get activity",
        "get budgets",
        "put budgets/{id}",
        "delete budgets/{id}",
        "get audit",
        "get audit/verify",
        "get config",
        "get digest/evidence",
        "get digests",
        "get digests/{slug}",
        "get events",
        "get events/{id}",
        "get kpi/alerts",
        "get kpi/alerts/{id}",
        "get kpi/deliveries/{id}",
        "get kpi/notifications",
        "get kpi/rollups",
        "post kpi/visits/delete",
        "post kpi/alerts/{id}/acknowledge",
        "post kpi/alerts/{id}/silence",
        "post kpi/deliveries/{id}/replay",
        "get run/compare",
        "get run/metrics",
        "get run/report",
        "get runs/{run_id}/report",
        "get runs",
        "get runs/{run_id}",
        "get status",
        "get stream",
        "get usage/series",
        "get usage/summary",
        "patch config",
        "patch control/run/limits",
        "post baseline",
        "post digest",
        "post digests/{slug}/discard",
        "post digests/{slug}/publish",
        "post control/degrade",
        "post control/degrade/clear",
        "post control/pause",
        "post control/pause-all",
        "post control/resume",
        "post control/run-mode",
        "post control/run/reset-dev",
        "post control/run/start",
        "post control/run/stop",
        "post control/stop-all",
    ];
    assert_eq!(found, contract.map(str::to_owned).into());
    assert!(described["components"]["securitySchemes"]["bearer"].is_object());
}

#[tokio::test]
async fn the_public_door_for_visitors_is_described_as_it_is() {
    let app = TestApp::new();
    let described = description(&app).await;
    let operation = &described["paths"][VISITS]["post"];
    assert_eq!(operation["security"], json!([]));
    let event = &described["components"]["schemas"]["VisitorEvent"];
    let names = event["properties"]["event_name"]["enum"].as_array().unwrap();
    assert_eq!(names.len(), 13);
    let sent: Vec<_> = names
        .iter()
        .map(|name| json!({ "event_name": name, "visitor_id": "visitor-1", "target": null }))
        .collect();
    sent.iter().for_each(|sent| check(&described, event, sent, "event"));
    let answer = app.bare(Method::POST, VISITS).json(&json!(sent)).send().await.ok();
    let taken = &operation["responses"]["200"]["content"]["application/json"]["schema"];
    check(&described, taken, &answer, "taken");
    assert_eq!(answer["accepted"], 13);
    let wrong = app.bare(Method::POST, VISITS).json(&json!([{}])).send().await;
    let status = wrong.status.as_str().to_owned();
    assert!(operation["responses"][&status].is_object(), "{status}");
}

#[tokio::test]
async fn every_operation_has_a_name_of_its_own() {
    let described = description(&TestApp::new()).await;
    let mut names = BTreeSet::new();
    for item in described["paths"].as_object().unwrap().values() {
        for operation in item.as_object().unwrap().values() {
            let name = operation["operationId"].as_str().unwrap();
            let is_word = |c: char| c.is_ascii_lowercase() || c == '_';
            assert!(name.chars().all(is_word) && names.insert(name), "{name}");
        }
    }
    assert!(names.contains("get_runs_run_id") && names.contains("post_control_pause"));
}

#[tokio::test]
async fn limits_are_described_as_they_are_checked() {
    let app = TestApp::new();
    let described = description(&app).await;
    let mut tried = 0;
    for (path, item) in described["paths"].as_object().unwrap() {
        let below = path.trim_start_matches("/api/admin/").replace("{run_id}", "none");
        for parameter in item["get"]["parameters"].as_array().into_iter().flatten() {
            let Some(max) = parameter["schema"]["maximum"].as_i64() else { continue };
            let name = parameter["name"].as_str().unwrap();
            for (number, fits) in [(0, false), (1, true), (max, true), (max + 1, false)] {
                let answer = app.get(&format!("{below}?{name}={number}")).await;
                assert_eq!(answer.status != 422, fits, "{below} {name}={number}");
            }
            tried += 1;
        }
    }
    assert!(tried >= 8, "{tried}");
    let start = &described["components"]["schemas"]["StartRun"]["properties"];
    for (name, schema) in start.as_object().unwrap() {
        let Some(max) = schema["maxLength"].as_u64() else { continue };
        let body =
            json!({ "mode": "test", "season_number": 1, name: "x".repeat(max as usize + 1) });
        app.post("control/run/start", body).await.names(name);
    }
    assert_eq!(start["mode"]["enum"], json!(["test", "real"]));
    assert_eq!(start["season_number"]["maximum"], 9999);
}

#[tokio::test]
async fn every_reference_leads_somewhere() {
    let described = description(&TestApp::new()).await;
    let text = described.to_string();
    let names: BTreeSet<_> = text
        .split("\"#/components/schemas/")
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap())
        .collect();
    assert!(names.len() > 20);
    for name in names {
        assert!(described["components"]["schemas"][name].is_object(), "{name}");
    }
}

#[tokio::test]
async fn answers_are_as_described() {
    let app = TestApp::new().with_host().await;
    let described = description(&app).await;
    let calls = [
        ("get", "config", "config", json!(null)),
        (
            "post",
            "control/run/start",
            "control/run/start",
            json!({ "mode": "test", "run_id": "r1", "reset_world": true }),
        ),
        ("get", "status", "status", json!(null)),
        ("get", "runs", "runs", json!(null)),
        ("get", "runs/{run_id}", "runs/r1", json!(null)),
        ("get", "runs/{run_id}/report", "runs/r1/report", json!(null)),
        ("get", "run/compare", "run/compare?a=r1&b=r1", json!(null)),
        ("get", "run/metrics", "run/metrics", json!(null)),
        ("get", "events", "events", json!(null)),
        ("get", "events/{id}", "events/1", json!(null)),
        ("get", "audit", "audit", json!(null)),
        ("get", "audit/verify", "audit/verify", json!(null)),
        ("get", "usage/series", "usage/series?since=6h", json!(null)),
        ("patch", "config", "config", json!({ "updates": { "OPENROUTER_RPM_LIMIT": 7 } })),
        ("post", "baseline", "baseline", json!({ "windows": 2 })),
        ("post", "digest", "digest", json!({})),
        ("get", "digest/evidence", "digest/evidence", json!(null)),
        ("get", "digests", "digests", json!(null)),
        ("get", "activity", "activity?first_day=2026-01-01&last_day=2026-01-02", json!(null)),
        (
            "get",
            "usage/summary",
            "usage/summary?first_day=2026-01-01&last_day=2026-01-02",
            json!(null),
        ),
        ("post", "control/pause", "control/pause", json!({})),
        ("post", "control/resume", "control/resume", json!({})),
        ("post", "control/degrade", "control/degrade", json!({})),
        ("post", "control/degrade/clear", "control/degrade/clear", json!({})),
        ("post", "control/run/stop", "control/run/stop", json!({})),
        ("post", "control/run-mode", "control/run-mode", json!({ "mode": "real" })),
        ("post", "control/run/reset-dev", "control/run/reset-dev", json!({})),
    ];
    for (method, route, path, body) in calls {
        let operation = &described["paths"][format!("/api/admin/{route}")][method];
        let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
        let call = app.call(method, path);
        let answer = if body.is_null() { call } else { call.json(&body) }.send().await.ok();
        let schema = &operation["responses"]["200"]["content"]["application/json"]["schema"];
        assert!(schema.is_object(), "{route}");
        check(&described, schema, &answer, route);
    }
    let problem = app.get("nope").await.json;
    check(&described, &json!({ "$ref": "#/components/schemas/Problem" }), &problem, "problem");
}

/// Checks types, required fields, and that nothing is answered that is not described.
fn check(all: &Value, schema: &Value, found: &Value, place: &str) {
    if let Some(reference) = schema["$ref"].as_str() {
        let name = reference.rsplit('/').next().unwrap();
        return check(all, &all["components"]["schemas"][name], found, place);
    }
    if let Some(parts) = schema["allOf"].as_array() {
        return parts.iter().for_each(|part| check(all, part, found, place));
    }
    if let Some(choices) = schema["oneOf"].as_array() {
        let choice = choices.iter().find(|choice| (choice["type"] == "null") == found.is_null());
        return check(all, choice.unwrap_or_else(|| panic!("{place}: {found}")), found, place);
    }
    let allowed: Vec<_> = match &schema["type"] {
        Value::Array(types) => types.iter().filter_map(Value::as_str).collect(),
        single => single.as_str().into_iter().collect(),
    };
    let kind = match found {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) if allowed.contains(&"number") => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    assert!(allowed.is_empty() || allowed.contains(&kind), "{place}: {found} is no {allowed:?}");
    for name in schema["required"].as_array().into_iter().flatten() {
        assert!(found.get(name.as_str().unwrap()).is_some(), "{place}: {name} is missing");
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        if let Some(value) = found.get(name) {
            check(all, property, value, &format!("{place}.{name}"));
        }
    }
    for item in found.as_array().into_iter().flatten() {
        check(all, &schema["items"], item, &format!("{place}[]"));
    }
}
