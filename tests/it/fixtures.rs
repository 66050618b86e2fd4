//! Databases of earlier releases open, migrate, and answer what they answered then.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use simops_tests::fixture::{ASKED_AT, Figures, Release, restore, unpack};
use simops_tests::postgres::PostgresServer;
use simops_tests::{eventually, program};

/// The releases that have a fixture, by commit.
const RELEASES: [&str; 1] = ["60fb7a5"];

/// Fields that may differ from what a release answered: how the question begins, the field, and why.
/// Fields that later versions add need no entry: only what the release answered is compared.
const MAY_DIFFER: &[(&str, &str, &str)] = &[
    ("GET status", "server_time_utc", "the clock of the server"),
    ("GET status", "guardrails.2.observed", "the load of the connection pool now"),
    ("GET status", "guardrails.2.distance", "the load of the connection pool now"),
    ("GET config", "description", "prose"),
    ("GET kpi/rollups", "generated_at", "the time of the answer"),
    ("GET usage/series", "until", "the time of the answer"),
    ("GET runs/", "markdown", "prose; its figures are in the fields"),
    ("GET runs/open-run/report", "written_at", "the time of the answer: the run is open"),
    ("GET runs/open-run/report", "duration_seconds", "the run is open"),
    ("GET runs/open-run/report", "guardrails.2.observed", "the load of the connection pool now"),
    ("GET runs/open-run/report", "guardrails.2.distance", "the load of the connection pool now"),
    ("GET run/compare?a=open-run", "metrics.0.a", "the duration of the open run"),
    ("GET run/compare?a=open-run", "metrics.0.change", "the duration of the open run"),
    ("GET run/compare?a=open-run", "metrics.0.change_ratio", "the duration of the open run"),
];

/// Today's binaries on a copy of a fixture.
fn today(dir: &Path, database_url: &str) -> Release {
    let server = program("simops-server");
    let binaries = server.parent().expect("a folder").to_owned();
    Release { binaries, dir: dir.to_owned(), database_url: database_url.to_owned() }
}

fn fixture(release: &str, engine: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(release).join(engine)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_databases_of_earlier_releases_answer_every_figure_as_before() {
    for release in RELEASES {
        let dir = tempfile::tempdir().unwrap();
        let folder = fixture(release, "sqlite");
        let file = dir.path().join("simops.db");
        unpack(&folder.join("simops.db.gz"), &file);
        let url = format!("sqlite://{}", file.display());
        answers_as_before(&today(dir.path(), &url), &folder).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_databases_of_earlier_releases_answer_every_figure_as_before() {
    for release in RELEASES {
        let dir = tempfile::tempdir().unwrap();
        let folder = fixture(release, "postgres");
        let dump = dir.path().join("database.sql");
        unpack(&folder.join("database.sql.gz"), &dump);
        let database = PostgresServer::shared().database();
        restore(&dump, &database.url());
        answers_as_before(&today(dir.path(), &database.url()), &folder).await;
    }
}

async fn answers_as_before(today: &Release, folder: &Path) {
    let figures = today.dir.join("figures.json");
    unpack(&folder.join("figures.json.gz"), &figures);
    let text = std::fs::read_to_string(figures).unwrap();
    let before: Figures = serde_json::from_str(&text).unwrap();
    // The server migrates the database.
    let server = today.server(ASKED_AT).start().await;
    let mut differences = Vec::new();
    for (question, expected) in &before {
        let answer = today.answer(&server, question).await;
        compare(question, "", expected, &answer, &mut differences);
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert!(before.len() > 90, "{} questions", before.len());
    assert!(server.terminate().await);
    can_be_worked_on(today).await;
}

/// A run that the fixture left open is stopped, another one is started in a new world and stopped.
async fn can_be_worked_on(today: &Release) {
    let server = today.server(ASKED_AT).env("SIMOPS_HOST", "commons").start().await;
    let open = server.client.get("runs?limit=1").await.ok()["items"][0].clone();
    assert_eq!(open["ended_at"], Value::Null, "{open}");
    server.client.post("control/run/stop", &json!({})).await.ok();
    server.until_state("stopped").await;
    let body = json!({"mode": "test", "run_id": "afterwards", "reset_world": true});
    eventually("the world is rebuilt and the run starts", async || {
        let answer = server.client.post("control/run/start", &body).await;
        (answer.status == 200).then_some(())
    })
    .await;
    eventually("agents act", async || {
        let metrics = server.client.get("run/metrics?run_id=afterwards").await.ok();
        (metrics["activity"]["deterministic_actions"].as_i64()? > 5).then_some(())
    })
    .await;
    server.client.post("control/run/stop", &json!({"reason": "seen"})).await.ok();
    server.until_state("stopped").await;
    eventually("its report", async || {
        let report = server.client.get("runs/afterwards/report").await.ok();
        (report["final"] == true).then_some(())
    })
    .await;
    assert!(server.terminate().await);
    for verify in [["audit", "verify"], ["usage", "verify"], ["kpi", "verify"]] {
        assert_eq!(today.cli(ASKED_AT, &verify).await["ok"], true, "{verify:?}");
    }
}

/// Notes where `found` lacks a value of `expected`.
fn compare(
    question: &str,
    path: &str,
    expected: &Value,
    found: &Value,
    differences: &mut Vec<String>,
) {
    if may_differ(question, path) {
        return;
    }
    match (expected, found) {
        (Value::Object(expected), Value::Object(found)) => {
            for (name, expected) in expected {
                let found = found.get(name).unwrap_or(&Value::Null);
                compare(question, &format!("{path}.{name}"), expected, found, differences);
            }
        }
        (Value::Array(expected), Value::Array(found)) if expected.len() == found.len() => {
            for (place, (expected, found)) in expected.iter().zip(found).enumerate() {
                compare(question, &format!("{path}.{place}"), expected, found, differences);
            }
        }
        (Value::Number(expected), Value::Number(found)) if expected.as_f64() == found.as_f64() => {}
        _ if expected == found => {}
        _ => differences.push(format!("{question}: {path}: {expected} was, {found} is")),
    }
}

fn may_differ(question: &str, path: &str) -> bool {
    MAY_DIFFER
        .iter()
        .any(|(kind, field, _)| question.starts_with(kind) && path.ends_with(&format!(".{field}")))
}

#[test]
fn a_changed_or_missing_figure_is_noticed_and_an_added_one_is_not() {
    let expected = json!({"calls": 3, "cost": 0.5, "days": [{"calls": 1}, {"calls": 2}]});
    let differ = |found: Value| {
        let mut differences = Vec::new();
        compare("GET x", "", &expected, &found, &mut differences);
        differences.len()
    };
    let same = json!({"calls": 3.0, "cost": 0.5, "days": [{"calls": 1}, {"calls": 2, "new": 1}]});
    assert_eq!(differ(same), 0);
    assert_eq!(differ(json!({"calls": 3, "days": [{"calls": 1}, {"calls": 1}]})), 2);
    assert_eq!(differ(json!({"calls": 3, "cost": 0.5, "days": [{"calls": 1}]})), 1);
}
