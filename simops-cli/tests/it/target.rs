//! A command works on what the user names, or refuses: it never looks elsewhere.

use crate::support::{CliOutput, TestDir};

/// Commands that cannot run on a server.
const DATABASE_ONLY: [&[&str]; 12] = [
    &["usage", "list"],
    &["usage", "verify"],
    &["usage", "rebuild"],
    &["kpi", "verify"],
    &["kpi", "rebuild"],
    &["kpi", "import", "-"],
    &["kpi", "seed"],
    &["prune", "--older-than", "90d"],
    &["agent", "once", "--agent-id", "1", "--dry-run"],
    &["guardrail", "backtest", "--since", "7d"],
    &["worker"],
    &["doctor"],
];

fn with_url(dir: &TestDir, args: &[&str]) -> CliOutput {
    let mut command = dir.command(args);
    CliOutput::of(command.env("SIMOPS_URL", "http://127.0.0.1:1").output().unwrap())
}

#[test]
fn a_command_that_cannot_run_on_a_server_refuses_and_says_what_to_do() {
    let dir = TestDir::with_database();
    for args in DATABASE_ONLY {
        let name = args.iter().take_while(|word| !word.starts_with('-')).copied();
        let name = format!("`{}` cannot run on", name.take(2).collect::<Vec<_>>().join(" "));
        let output = with_url(&dir, args);
        assert_eq!((output.code, output.stdout.as_str()), (2, ""), "{args:?}: {}", output.stderr);
        for part in [&*name, "SIMOPS_URL", "--database-url", "unset"] {
            assert!(output.stderr.contains(part), "{args:?}: {}", output.stderr);
        }
        let flag = dir.run(&[args, &["--url", "http://127.0.0.1:1"]].concat());
        assert_eq!(flag.code, 2);
        assert!(flag.stderr.contains(&name) && flag.stderr.contains("--url"), "{}", flag.stderr);
    }
}

#[test]
fn a_database_on_the_command_line_beats_a_server_in_the_environment() {
    let dir = TestDir::with_database();
    for args in [&["usage", "list"][..], &["run", "list"], &["kpi", "rollups"]] {
        let here = ["--database-url", "sqlite://simops.db"];
        let output = with_url(&dir, &[args, &here].concat());
        assert_eq!(output.code, 0, "{args:?}: {}", output.stderr);
    }
    let output = with_url(&dir, &["run", "list"]);
    assert!(output.code == 1 && output.stderr.contains("cannot be reached"), "{}", output.stderr);
}

#[test]
fn two_targets_on_the_command_line_and_one_that_a_drill_cannot_use_are_refused() {
    let dir = TestDir::with_database();
    let both = ["--url", "http://127.0.0.1:1", "--database-url", "sqlite://simops.db"];
    for args in [&["run", "status"][..], &["usage", "list"], &["baseline"]] {
        let (code, error) = dir.fails(&[args, &both].concat());
        assert!(code == 2 && error.contains("give only one of them"), "{args:?}: {error}");
    }
    for target in [&both[..2], &both[2..]] {
        let (code, error) = dir.fails(&[&["drill", "provider-outage"], target].concat());
        assert!(code == 2 && error.contains("`drill provider-outage`"), "{error}");
    }
    let (code, error) = dir.fails(&["check", "production"]);
    assert!(code == 2 && error.contains("name it with --url"), "{error}");
}

#[test]
fn run_state_in_the_environment_is_refused() {
    let dir = TestDir::with_database();
    for args in [&["run", "status"][..], &["config", "get"], &["worker"]] {
        for variable in ["SIMULATION_ACTIVE", "SIMULATION_CONDITION_NAME"] {
            let output = CliOutput::of(dir.command(args).env(variable, "true").output().unwrap());
            assert_eq!((output.code, output.stdout.as_str()), (2, ""), "{args:?}");
            assert!(output.stderr.contains(variable), "{}", output.stderr);
        }
    }
}
