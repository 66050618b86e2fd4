//! Every command of the program: reads, and writes under every gate and on a marked database.

use std::collections::BTreeSet;
use std::path::Path;

use crate::support::{CliOutput, TestDir};

/// The commands that write to a database on behalf of a person, with arguments that they accept.
const WRITES: &[(&str, &[&str])] = &[
    ("agent once", &["--agent", "1"]),
    ("alert ack", &[ID]),
    ("alert replay", &[ID]),
    ("alert silence", &[ID, "--minutes", "5"]),
    ("baseline", &[]),
    ("budgets delete", &["team"]),
    (
        "budgets set",
        &["team", "--scope", "deployment", "--window", "day", "--unit", "calls", "--hard", "5"],
    ),
    ("config set", &["LLM_ACTION_MAX_TOKENS=100"]),
    ("database unmark-production", &["--yes"]),
    ("digest", &[]),
    ("digest discard", &["weekly-brief"]),
    ("digest publish", &["weekly-brief"]),
    ("kpi delete", &["--day", "2026-03-01", "--visitor", "none"]),
    ("kpi import", &["-"]),
    ("kpi rebuild", &[]),
    ("kpi seed", &["--days", "1"]),
    ("prune", &["--older-than", "400d"]),
    ("run degrade", &[]),
    ("run pause", &[]),
    ("run pause", &["--all"]),
    ("run stop", &["--all"]),
    ("run limits", &["--max-calls", "5"]),
    ("run reset", &[]),
    ("run resume", &[]),
    ("run start", &["--mode", "test"]),
    ("run stop", &[]),
    ("usage rebuild", &[]),
];

/// The commands that pass a gate that is `stop-only`.
const STOPPING: [&str; 3] = ["run degrade", "run pause", "run stop"];

/// The other commands. They read, work on files or databases of their own, or are simops itself
/// (`worker`).
const OTHERS: &[&str] = &[
    "agent",
    "alert",
    "alert delivery",
    "alert list",
    "alert messages",
    "audit",
    "audit list",
    "audit verify",
    "baseline compare",
    "baseline plot",
    "budgets",
    "budgets list",
    "check",
    "check production",
    "completions",
    "config",
    "config get",
    "database",
    "digest list",
    "digest show",
    "doctor",
    "drill",
    "drill db-reconnect",
    "drill provider-outage",
    "drill redis-unavailable",
    "events",
    "events list",
    "guardrail",
    "guardrail backtest",
    "kpi",
    "kpi rollups",
    "kpi verify",
    "run",
    "run compare",
    "run list",
    "run metrics",
    "run report",
    "run show",
    "run status",
    "usage",
    "usage list",
    "usage verify",
    "worker",
];

const ID: &str = "0198c1f2-0000-7000-8000-000000000000";
const CLOSED: &str = "Admin write controls are disabled in this environment";

/// The commands that help lists below `command`, and all below these.
fn commands_below(dir: &TestDir, command: &str, found: &mut BTreeSet<String>) {
    let args: Vec<_> = command.split_whitespace().chain(["--help"]).collect();
    let help = dir.run(&args).stdout;
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    for line in lines.take_while(|line| line.starts_with("  ")) {
        // Deeper lines continue a description.
        let name = line.strip_prefix("  ").filter(|rest| !rest.starts_with(' '));
        let Some(name) = name.and_then(|rest| rest.split_whitespace().next()) else { continue };
        if name != "help" {
            let command = format!("{command} {name}").trim().to_owned();
            commands_below(dir, &command, found);
            found.insert(command);
        }
    }
}

fn run(dir: &TestDir, (command, args): (&str, &[&str]), variables: &[(&str, &str)]) -> CliOutput {
    let all: Vec<_> = command.split_whitespace().chain(args.iter().copied()).collect();
    CliOutput::of(dir.command(&all).envs(variables.iter().copied()).output().unwrap())
}

/// What a write would change: the control state's generation, the audit trail, files.
fn state(dir: &TestDir) -> (String, String, bool) {
    let generation = dir.ok(&["run", "status"])["generation"].to_string();
    let audited = dir.ok(&["audit", "list"])["count"].to_string();
    (generation, audited, Path::exists(&dir.path().join("output")))
}

/// A folder whose database is marked, as a server or worker in production marks it.
fn marked() -> TestDir {
    let dir = TestDir::with_database();
    dir.tamper("UPDATE control SET production_mark = 1");
    dir
}

#[test]
fn every_command_is_known_as_a_write_or_as_none() {
    let mut found = BTreeSet::new();
    commands_below(&TestDir::empty(), "", &mut found);
    let known = WRITES.iter().map(|(command, _)| *command).chain(OTHERS.iter().copied());
    assert_eq!(found, known.map(str::to_owned).collect());
}

#[test]
fn no_command_passes_a_closed_gate() {
    for (dir, variables) in [
        (TestDir::with_database(), &[("ENVIRONMENT", "production")][..]),
        (TestDir::with_database(), &[("ADMIN_WRITE_ENABLED", "false")]),
        (marked(), &[]),
        (marked(), &[("ENVIRONMENT", "development")]),
    ] {
        let before = state(&dir);
        for write in WRITES {
            let output = run(&dir, *write, variables);
            assert_eq!(output.code, 1, "{write:?} {variables:?}: {}", output.stderr);
            assert!(output.stderr.contains(CLOSED), "{write:?} {variables:?}: {}", output.stderr);
        }
        assert_eq!(state(&dir), before);
    }
}

#[test]
fn stop_only_lets_pause_stop_and_degrade_pass() {
    let dir = TestDir::with_database();
    let variables = [("ADMIN_WRITE_ENABLED", "stop-only")];
    for write in WRITES {
        let output = run(&dir, *write, &variables);
        match STOPPING.contains(&write.0) {
            true => assert_eq!(output.code, 0, "{write:?}: {}", output.stderr),
            false => assert!(output.stderr.contains(CLOSED), "{write:?}: {}", output.stderr),
        }
    }
}

#[test]
fn a_shell_without_environment_cannot_reset_a_marked_database() {
    let dir = marked();
    let start: (&str, &[&str]) = ("run start", &["--mode", "test", "--reset-world"]);
    let output = run(&dir, start, &[]);
    assert_eq!(output.code, 1);
    assert!(output.stderr.contains("marked as production"), "{}", output.stderr);
    let open = [("ADMIN_WRITE_ENABLED", "true")];
    for write in [start, ("run reset", &[])] {
        let output = run(&dir, write, &open);
        assert_eq!(output.code, 1);
        assert_eq!(output.stderr, "error: World reset is blocked in production\n");
    }
    let status = dir.ok(&["run", "status"]);
    assert_eq!(
        (&status["environment"], &status["production_mark"]),
        (&"production".into(), &true.into())
    );
    assert_eq!(run(&dir, ("run pause", &[]), &open).code, 0);
    assert_eq!(dir.ok(&["audit", "list"])["items"][0]["environment"], "production");
}

#[test]
fn doctor_judges_the_gate_by_the_mark_of_the_database() {
    let dir = marked();
    let gate = |variables: &[(&str, &str)]| {
        let report = run(&dir, ("doctor", &[]), variables).json();
        let checks = report["checks"].as_array().unwrap();
        let gate = checks.iter().find(|check| check["check"] == "write gate").unwrap();
        gate["found"].as_str().unwrap().to_owned()
    };
    assert_eq!(gate(&[]), "closed: this deployment is read-only");
    let open = ("ADMIN_WRITE_ENABLED", "true");
    assert!(gate(&[open]).starts_with("open in production without an allowlist"));
    assert_eq!(gate(&[open, ("ADMIN_IP_ALLOWLIST", "192.0.2.0/24")]), "open in production");
}

#[test]
fn the_mark_is_removed_only_after_a_confirmation() {
    let dir = marked();
    let open = [("ADMIN_WRITE_ENABLED", "true")];
    let output = run(&dir, ("database unmark-production", &[]), &open);
    assert_eq!(output.code, 2, "{}", output.stderr);
    assert!(output.stderr.contains("--yes"), "{}", output.stderr);
    assert_eq!(dir.ok(&["run", "status"])["production_mark"], true);

    let reason: &[&str] = &["--yes", "--reason", "a copy"];
    let output = run(&dir, ("database unmark-production", reason), &open);
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert_eq!(output.json()["was_marked"], true);
    assert_eq!(dir.ok(&["run", "status"])["admin_write_enabled"], true);
    let row = &dir.ok(&["audit", "list"])["items"][0];
    assert_eq!((&row["key"], &row["new_value"]), (&"PRODUCTION_MARK".into(), &false.into()));
    assert_eq!((&row["changed_by"], &row["reason"]), (&"ada".into(), &"a copy".into()));
    let output = run(&dir, ("database unmark-production", &[]), &[]);
    assert_eq!(output.json()["was_marked"], false);
}

#[test]
fn a_worker_in_production_marks_the_database_and_commands_do_not() {
    let dir = TestDir::with_database();
    run(&dir, ("run status", &[]), &[("ENVIRONMENT", "production")]);
    let open = [("ENVIRONMENT", "production"), ("ADMIN_WRITE_ENABLED", "true")];
    assert_eq!(run(&dir, ("run pause", &[]), &open).code, 0);
    assert_eq!(dir.ok(&["run", "status"])["production_mark"], false);
    let _worker = dir.worker(&["--environment", "production", "--agents", "3"]);
    crate::support::until(std::time::Duration::from_secs(20), "the mark", || {
        (dir.ok(&["run", "status"])["production_mark"] == true).then_some(())
    });
    let rows = dir.ok(&["audit", "list"]);
    let rows = rows["items"].as_array().unwrap();
    assert!(rows.iter().any(|row| row["key"] == "PRODUCTION_MARK"), "{rows:?}");
}

#[test]
fn run_state_from_the_environment_is_refused_by_every_command() {
    let dir = TestDir::with_database();
    for command in ["run status", "kpi rollups", "worker", "doctor", "usage verify"] {
        for name in ["SIMULATION_ACTIVE", "SIMULATION_RUN_ID", "SIMULATION_SEASON_NUMBER"] {
            let output = run(&dir, (command, &[]), &[(name, "1")]);
            assert_ne!(output.code, 0, "{command} {name}");
            assert!(output.stderr.contains(name), "{command}: {}", output.stderr);
        }
        if command == "run status" {
            assert_eq!(run(&dir, (command, &[]), &[("SIMULATION_ACTIVE", " ")]).code, 0);
        }
    }
    let output = run(
        &dir,
        ("run status", &["--url", "http://127.0.0.1:9"]),
        &[("SIMULATION_PAUSED", "true")],
    );
    assert!(output.stderr.contains("SIMULATION_PAUSED"), "{}", output.stderr);
}
