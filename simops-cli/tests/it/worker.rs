//! Workers: they act while a run is open, wait for their database, and exit on SIGTERM.

use std::time::Duration;

use rusqlite::Connection;

use crate::support::{CliOutput, SOON, TestDir, until};

#[test]
fn a_worker_acts_from_start_to_stop_and_leaves_on_sigterm() {
    let dir = TestDir::empty();
    let mut worker = dir.worker(&["--speed", "100", "--agents", "10", "--host-id", "w1"]);
    until(SOON, "the worker", || {
        let status = dir.run(&["run", "status"]);
        (status.code == 0 && status.json()["hosts"][0]["id"] == "w1").then_some(())
    });
    let started = dir.ok(&["run", "start", "--mode", "test", "--reset-world", "--run-id", "r1"]);
    assert_eq!(started["reset_result"]["world"]["agents"], 10);
    until(SOON, "events of agents", || {
        let metrics = dir.ok(&["run", "metrics"]);
        (metrics["activity"]["deterministic_actions"].as_i64() > Some(3)).then_some(())
    });
    assert_eq!(dir.ok(&["run", "status"])["run_state"], "running");
    let events = dir.ok(&["events", "list", "--run-id", "r1", "--limit", "500"]);
    let acted = events["items"].as_array().unwrap().iter().any(|e| e["agent_id"].is_i64());
    assert!(acted, "{events}");

    dir.ok(&["run", "stop"]);
    until(SOON, "the worker to confirm the stop", || {
        (dir.ok(&["run", "status"])["run_state"] == "stopped").then_some(())
    });
    worker.terminate();
    assert!(worker.exits_within(Duration::from_secs(10)).success(), "{}", dir.worker_log());
    assert_eq!(dir.ok(&["run", "status"])["hosts"].as_array().unwrap().len(), 0, "it has left");
    assert_eq!(dir.ok(&["audit", "verify"])["ok"], true);
}

#[test]
fn a_worker_in_the_middle_of_a_run_leaves_within_ten_seconds() {
    let dir = TestDir::empty();
    let mut worker = dir.worker(&["--speed", "100"]);
    until(SOON, "the worker", || dir.worker_log().contains("host follows").then_some(()));
    dir.ok(&["run", "start", "--mode", "test"]);
    until(SOON, "the run", || (dir.ok(&["run", "status"])["run_state"] == "running").then_some(()));
    worker.terminate();
    assert!(worker.exits_within(Duration::from_secs(10)).success(), "{}", dir.worker_log());
    assert_eq!(dir.ok(&["run", "status"])["run_state"], "starting", "the run waits for a host");
}

#[test]
fn a_worker_waits_for_an_unavailable_database_and_logs_it_once() {
    let dir = TestDir::empty();
    let mut worker = dir.worker(&["--database-url", "sqlite://later/simops.db"]);
    let waiting = "the database is unavailable";
    until(SOON, "a log line about it", || dir.worker_log().contains(waiting).then_some(()));
    std::fs::create_dir(dir.path().join("later")).unwrap();
    until(SOON, "the worker", || dir.worker_log().contains("host follows").then_some(()));
    assert_eq!(dir.worker_log().matches(waiting).count(), 1, "{}", dir.worker_log());
    worker.terminate();
    assert!(worker.exits_within(Duration::from_secs(10)).success());
}

#[test]
fn a_worker_that_waits_for_its_database_leaves_at_once() {
    let dir = TestDir::empty();
    let mut worker = dir.worker(&["--database-url", "sqlite://never/simops.db"]);
    until(SOON, "a log line about it", || {
        dir.worker_log().contains("is unavailable").then_some(())
    });
    worker.terminate();
    assert!(worker.exits_within(Duration::from_secs(2)).success());
}

#[test]
fn a_newer_or_a_foreign_database_ends_a_worker() {
    let newer = TestDir::with_database();
    let database = Connection::open(newer.path().join("simops.db")).unwrap();
    database.pragma_update(None, "user_version", 9_999).unwrap();
    database.execute("UPDATE schema_writers SET min_writer = 9999", []).unwrap();
    let (code, error) = newer.fails(&["worker"]);
    assert_eq!((code, error.contains("newer simops")), (1, true), "{error}");

    let foreign = TestDir::empty();
    std::fs::write(
        foreign.path().join("simops.db"),
        "not a database at all, but long enough to be \
        looked at: a header of SQLite has a hundred bytes and begins with its name",
    )
    .unwrap();
    let (code, error) = foreign.fails(&["worker"]);
    assert_eq!((code, error.contains("no SQLite database")), (1, true), "{error}");
}

#[test]
fn a_dry_turn_shows_what_an_agent_would_do_and_stores_nothing() {
    let dir = TestDir::with_database();
    let report = dir.ok(&["agent", "once", "--agent", "7", "--dry-run"]);
    assert_eq!((&report["agent_id"], &report["dry_run"]), (&7.into(), &true.into()));
    let event = &report["events"][0];
    for shown in [&report, event] {
        assert_eq!((&shown["agent_id"], &shown["agent"]), (&7.into(), &"7".into()), "{shown}");
    }
    assert!(!report["events"].as_array().unwrap().is_empty());
    assert_eq!(dir.ok(&["events", "list"])["items"].as_array().unwrap().len(), 0);

    let (code, error) = dir.fails(&["agent", "once", "--agent", "7"]);
    assert_eq!(code, 1, "no run is open: {error}");
    let (code, error) = dir.fails(&["agent", "once", "--agent", "7000", "--dry-run"]);
    assert_eq!((code, error.contains("7000")), (1, true), "{error}");
    let (code, error) = dir.fails(&["agent", "once", "--agent-id", "Alice", "--dry-run"]);
    assert_eq!(
        (code, error.contains("no agent Alice") && error.contains("numbers")),
        (1, true),
        "{error}"
    );
    let (code, error) = dir.fails(&["agent", "once", "--dry-run"]);
    assert_eq!((code, error.contains("--agent N")), (2, true), "{error}");
    for wrong in ["", "Al\u{200b}ice", &"x".repeat(129)] {
        let (code, error) = dir.fails(&["agent", "once", "--agent-id", wrong, "--dry-run"]);
        assert_eq!((code, error.contains("--agent-id")), (2, true), "{error}");
    }
}

#[test]
fn a_turn_on_request_is_stored_in_the_open_run() {
    let dir = TestDir::empty();
    let mut worker = dir.worker(&["--log-format", "json"]);
    until(SOON, "a world", || dir.worker_log().contains("host follows").then_some(()));
    worker.terminate();
    worker.exits_within(Duration::from_secs(10));
    let log = dir.worker_log();
    let line = log.lines().find(|line| line.contains("host follows")).unwrap();
    assert_eq!(serde_json::from_str::<serde_json::Value>(line).unwrap()["level"], "INFO");
    dir.ok(&["run", "start", "--mode", "test", "--run-id", "r1"]);
    let report = dir.ok(&["agent", "once", "--agent", "7"]);
    assert_eq!(report["run_id"], "r1");
    let events = dir.ok(&["events", "list", "--run-id", "r1"]);
    let of_agent = |event: &&serde_json::Value| event["agent_id"] == 7;
    assert!(events["items"].as_array().unwrap().iter().filter(of_agent).count() > 0, "{events}");
}

#[test]
fn a_wrong_model_setting_is_wrong_usage_and_a_key_is_never_shown() {
    let dir = TestDir::with_database();
    for command in [&["worker"][..], &["agent", "once", "--agent", "1", "--dry-run"]] {
        let (code, output) = dir.fails(&[command, &["--llm-unpriced-policy=perhaps"]].concat());
        assert_eq!(code, 2, "{output}");
        assert!(output.contains("LLM_UNPRICED_POLICY: \"perhaps\""), "{output}");
        assert!(output.contains("fallback or refuse"), "{output}");
        let mut command = dir.command(command);
        let output = CliOutput::of(command.env("GROQ_API_KEY", "hidden key").output().unwrap());
        assert_eq!(output.code, 2, "{}", output.stderr);
        let shown = output.stderr;
        assert!(shown.contains("GROQ_API_KEY") && !shown.contains("hidden"), "{shown}");
    }
}
