//! The form of results: a table on a terminal, JSON in a pipe, and what `-o` says everywhere.

use std::process::{Command, Stdio};

use crate::support::TestDir;

/// A folder whose database has a run.
fn with_a_run() -> TestDir {
    let dir = TestDir::with_database();
    dir.ok(&["run", "start", "--mode", "test", "--run-id", "r1", "--reason", "a, \"b\""]);
    dir
}

/// What a terminal of 100 columns shows of a command.
fn terminal(dir: &TestDir, arguments: &str) -> String {
    // `script` gives its command a terminal.
    let binary = env!("CARGO_BIN_EXE_simops-cli");
    let command = format!("stty cols 100; {binary} {arguments}");
    let mut script = Command::new("script");
    script.args(["-qec", &command, "/dev/null"]).current_dir(dir.path()).env("USER", "ada");
    let output = script.stdin(Stdio::null()).output().unwrap();
    String::from_utf8(output.stdout).unwrap().replace('\r', "")
}

#[test]
fn a_terminal_gets_a_table_and_a_pipe_json() {
    let dir = with_a_run();
    let list = terminal(&dir, "run list");
    let lines: Vec<_> = list.lines().collect();
    assert!(lines[0].starts_with("RUN_ID  MODE  CONDITION_NAME  STARTED_AT"), "{list}");
    assert!(lines[1].starts_with("r1      test  -"), "{list}");
    let show = terminal(&dir, "run show r1");
    let class = show.lines().find(|line| line.starts_with("run_class  "));
    assert!(class.is_some_and(|line| line.ends_with("  standard_72h")), "{show}");
    assert!(terminal(&dir, "run status -o json").contains("\"run_id\": \"r1\""));
    let report = terminal(&dir, "run report r1");
    assert!(report.starts_with("# Run `r1`\n"), "{report}");

    assert_eq!(dir.ok(&["run", "list"])["items"][0]["run_id"], "r1");
    let piped = dir.run(&["run", "list", "-o", "table"]).stdout;
    assert!(piped.starts_with("RUN_ID  MODE"), "{piped}");
}

#[test]
fn a_table_fits_the_terminal_and_shows_no_control_characters() {
    let dir = with_a_run();
    let long = format!("\u{9b}2J{}", "x".repeat(300));
    dir.tamper(&format!("UPDATE runs SET start_reason = '{long}', end_reason = '{long}'"));
    let list = terminal(&dir, "run list");
    assert!(list.contains('…') && list.lines().all(|line| line.chars().count() <= 100), "{list}");
    for form in ["table", "json"] {
        let shown = terminal(&dir, &format!("run show r1 -o {form}"));
        assert!(!shown.contains('\u{9b}') && shown.contains("2J"), "{shown:?}");
    }
    let shown: serde_json::Value = dir.ok(&["run", "show", "r1"]);
    assert_eq!(shown["start_reason"], long, "JSON escapes it and keeps it");
}

#[test]
fn csv_has_a_line_of_names_and_a_line_per_row() {
    let dir = with_a_run();
    let csv = dir.run(&["run", "list", "-o", "csv"]).stdout;
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let names = reader.headers().unwrap().clone();
    let rows: Vec<_> = reader.records().map(Result::unwrap).collect();
    let reason = names.iter().position(|name| name == "start_reason").unwrap();
    assert_eq!((rows.len(), &rows[0][reason]), (1, "a, \"b\""));
    let header = |args: &[&str]| {
        let csv = dir.run(&[args, &["list", "-o", "csv"]].concat()).stdout;
        csv.lines().next().unwrap_or_default().to_owned()
    };
    // What an event holds is a cell, not columns.
    assert_eq!(
        header(&["events"]),
        "id,created_at,run_id,agent,event_type,description,agent_id,metadata"
    );
    let status = dir.run(&["run", "status", "-o", "csv"]).stdout;
    assert!(status.lines().next().unwrap().contains("viewer_ops.run_id"), "{status}");
    assert_eq!(dir.run(&["config", "get", "LLM_ACTION_MAX_TOKENS", "-o", "csv"]).stdout, "350\n");
}

#[test]
fn every_command_takes_the_flag_and_markdown_is_for_texts() {
    let dir = with_a_run();
    dir.ok(&["run", "stop"]);
    dir.ok(&["baseline", "--windows", "2"]);
    for args in [
        "run status",
        "run list",
        "run show r1",
        "run metrics",
        "run report r1",
        "run compare r1 r1",
        "config get",
        "config get LLM_ACTION_MAX_TOKENS",
        "config set LLM_ACTION_MAX_TOKENS=100",
        "audit list",
        "audit verify",
        "events list",
        "usage list",
        "usage verify",
        "usage rebuild",
        "kpi rollups",
        "kpi verify",
        "kpi rebuild",
        "kpi seed --days 1 --visitors 1",
        "alert list",
        "alert messages",
        "guardrail backtest --since 7d",
        "baseline --windows 2",
        "baseline compare latest latest",
        "baseline plot",
        "digest list",
        "digest --anchor-date 2020-01-01",
        "agent once --agent-id 1 --dry-run",
        "doctor",
        "prune --older-than 200d --dry-run",
    ] {
        let words: Vec<_> = args.split(' ').collect();
        let run = |form: &str| {
            let output = dir.run(&[&words[..], &["-o", form]].concat());
            assert_eq!(output.code, 0, "{args} -o {form}: {}", output.stderr);
            output.stdout
        };
        serde_json::from_str::<serde_json::Value>(&run("json")).unwrap();
        let table = run("table");
        assert!(!table.is_empty() && !table.starts_with('{'), "{args}: {table}");
        let csv = run("csv");
        let rows = csv::Reader::from_reader(csv.as_bytes()).into_records().collect::<Vec<_>>();
        assert!(rows.iter().all(Result::is_ok), "{args}: {csv}");
    }
    let report = dir.run(&["run", "report", "r1", "-o", "markdown"]).stdout;
    assert!(report.starts_with("# Run `r1`\n"), "{report}");
    let old_name = dir.run(&["run", "report", "r1", "--format", "markdown"]).stdout;
    assert_eq!(old_name, report);
    let (code, error) = dir.fails(&["run", "list", "-o", "markdown"]);
    assert!(code == 2 && error.contains("not markdown"), "{error}");
}
