//! The command line itself: exit codes, environment, what is never shown, what is never created.

use std::process::Stdio;

use crate::support::{CliOutput, TestDir};

#[test]
fn wrong_usage_exits_2_with_a_hint() {
    let dir = TestDir::with_database();
    for args in [
        &["run", "start"][..],
        &["run", "start", "--mode", "serious"],
        &["run", "fly"],
        &["config", "set", "NO_VALUE"],
        &["config", "set", "LLM_ACTION_MAX_TOKENS=100", "LLM_ACTION_MAX_TOKENS=200"],
        &["audit", "verify", "--head", "12"],
        &["agent", "once", "--agent", "0"],
        &["--environment", "staging", "run", "status"],
        &["--admin-write-enabled", "maybe", "run", "status"],
        &["--log", "info=loud", "run", "status"],
        &["--url", "ftp://example.org", "run", "status"],
        &["--url", "http://example.org", "worker"],
        &["--url", "http://example.org", "usage", "verify"],
        &["usage", "list", "--since", "yesterday"],
        &["guardrail", "backtest"],
        &["guardrail", "backtest", "--since", "7d", "--set", "NO_VALUE"],
        &[],
    ] {
        let output = dir.run(args);
        assert_eq!((output.code, output.stdout.as_str()), (2, ""), "{args:?}");
        assert!(!output.stderr.is_empty());
    }
}

#[test]
fn nothing_but_a_worker_creates_a_database() {
    let dir = TestDir::empty();
    for args in [
        &["run", "status"][..],
        &["run", "start", "--mode", "test"],
        &["config", "set", "LLM_ACTION_MAX_TOKENS=100"],
        &["audit", "verify"],
        &["usage", "rebuild"],
        &["agent", "once", "--agent", "1", "--dry-run"],
    ] {
        let (code, error) = dir.fails(args);
        assert_eq!((code, error.contains("there is no database simops.db")), (1, true), "{error}");
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn every_command_has_help_with_examples() {
    let dir = TestDir::empty();
    for command in [
        "run status",
        "run start",
        "run stop",
        "run pause",
        "run resume",
        "run reset",
        "run degrade",
        "run list",
        "run show",
        "run metrics",
        "config get",
        "config set",
        "audit list",
        "audit verify",
        "events list",
        "usage list",
        "usage verify",
        "usage rebuild",
        "guardrail backtest",
        "agent once",
        "worker",
        "completions",
    ] {
        let args: Vec<_> = command.split(' ').chain(["--help"]).collect();
        let help = dir.run(&args);
        assert_eq!(help.code, 0);
        assert!(help.stdout.contains(&format!("Examples:\n  simops-cli {command}")), "{command}");
    }
}

#[test]
fn dotenv_is_read_the_environment_wins_and_an_empty_value_is_none() {
    let dir = TestDir::with_database();
    std::fs::write(dir.path().join(".env"), "ENVIRONMENT=production\nLLM_ACTION_MAX_TOKENS=99\n")
        .unwrap();
    assert_eq!(dir.ok(&["run", "status"])["environment"], "production");
    let max = dir.ok(&["config", "get", "LLM_ACTION_MAX_TOKENS"]);
    assert_eq!(max, 99);

    let status = |value: &str| {
        let mut command = dir.command(&["run", "status"]);
        command.env("ENVIRONMENT", value).env("SIMOPS_URL", "").env("DATABASE_URL", "");
        command.env("ADMIN_WRITE_ENABLED", "").env("LLM_ACTION_MAX_TOKENS", "");
        CliOutput::of(command.output().unwrap())
    };
    for value in ["development", " Development ", ""] {
        let output = status(value);
        assert_eq!(output.code, 0, "{}", output.stderr);
        assert_eq!(output.json()["environment"], "development");
    }
}

#[test]
fn a_secret_in_the_environment_or_in_dotenv_is_never_shown() {
    let dir = TestDir::with_database();
    let shows = |args: &[&str]| {
        let mut command = dir.command(args);
        command.env("ADMIN_API_TOKEN", "top-secret-1\u{7f}");
        command.env("DATABASE_URL", "mysql://simops:top-secret-2@db/simops");
        command.env("SIMOPS_URL", "https://ada:top-secret-3@sim.example.org");
        let output = CliOutput::of(command.output().unwrap());
        [output.stdout, output.stderr].concat()
    };
    for args in [
        &["--help"][..],
        &["run", "status"],
        &["run", "status", "--url", "http://127.0.0.1:1"],
        &["worker"],
    ] {
        let shown = shows(args);
        assert!(!shown.is_empty() && !shown.contains("top-secret"), "{args:?}: {shown}");
    }
    std::fs::write(dir.path().join(".env"), "ADMIN_API_TOKEN top-secret-4\n").unwrap();
    let (code, error) = dir.fails(&["run", "status"]);
    assert_eq!((code, error.contains("top-secret")), (2, false), "{error}");
}

#[test]
fn a_server_that_dotenv_names_gets_only_a_token_that_dotenv_holds() {
    let dir = TestDir::empty();
    std::fs::write(dir.path().join("token"), "of-a-file").unwrap();
    let asked = |file: &str, args: &[&str], token: &str| {
        std::fs::write(dir.path().join(".env"), file).unwrap();
        let mut command = dir.command(args);
        CliOutput::of(command.env("ADMIN_API_TOKEN", token).output().unwrap())
    };
    let url = "SIMOPS_URL=http://127.0.0.1:1\n";
    let status = ["run", "status"];
    let check = ["check", "production"];
    let with_file = [&status[..], &["--token-file", "token"]].concat();
    for (file, args, token) in [
        (url.to_owned(), &status[..], "of-the-shell"),
        (url.to_owned(), &check[..], "of-the-shell"),
        (url.to_owned(), &with_file[..], ""),
        (format!("{url}ADMIN_API_TOKEN=x\n"), &status[..], "of-the-shell"),
        (format!("{url}ADMIN_API_TOKEN_FILE=token\n"), &status[..], ""),
    ] {
        let output = asked(&file, args, token);
        assert_eq!(output.code, 2, "{file}{args:?}: {}", output.stderr);
        assert!(
            output.stderr.contains(".env") && output.stderr.contains("--url"),
            "{}",
            output.stderr
        );
    }
    let named = [&status[..], &["--url", "http://127.0.0.1:1"]].concat();
    for (file, args, token) in [
        (url, &named[..], "of-the-shell"),
        ("", &named[..], "of-the-shell"),
        (url, &status[..], ""),
    ] {
        let output = asked(file, args, token);
        assert!(
            output.code == 1 && output.stderr.contains("cannot be reached"),
            "{}",
            output.stderr
        );
    }
    let mut command = dir.command(&status);
    std::fs::write(dir.path().join(".env"), format!("{url}ADMIN_API_TOKEN='of $the file'\n"))
        .unwrap();
    let output = CliOutput::of(command.output().unwrap());
    assert!(output.stderr.contains("cannot be reached"), "{}", output.stderr);
}

#[test]
fn no_secret_of_the_environment_is_sent_where_dotenv_says() {
    let dir = TestDir::empty();
    let turn = ["agent", "once", "--agent-id", "1", "--dry-run"];
    let status = ["run", "status", "--url", "http://127.0.0.1:1"];
    for (file, args, secret, named) in [
        ("GROQ_BASE_URL=http://127.0.0.1:1", &turn[..], "GROQ_API_KEY", "GROQ_BASE_URL"),
        ("https_proxy=http://127.0.0.1:1", &turn, "GROQ_API_KEY", "https_proxy"),
        ("HTTP_PROXY=http://127.0.0.1:1", &status, "ADMIN_API_TOKEN", "HTTP_PROXY"),
        ("SSL_CERT_FILE=mine.pem", &status, "ADMIN_API_TOKEN", "SSL_CERT_FILE"),
        ("DATABASE_URL=postgres://u@127.0.0.1:1/d", &status[..2], "PGPASSWORD", "DATABASE_URL"),
    ] {
        std::fs::write(dir.path().join(".env"), format!("{file}\n")).unwrap();
        let output = CliOutput::of(dir.command(args).env(secret, "hush").output().unwrap());
        let error = &output.stderr;
        assert!(matches!(output.code, 1 | 2) && !error.contains("hush"), "{file}: {error}");
        assert!(error.contains(named) && error.contains("is not sent there"), "{file}: {error}");

        std::fs::write(dir.path().join(".env"), format!("{file}\n{secret}=hush\n")).unwrap();
        let output = CliOutput::of(dir.command(args).output().unwrap());
        assert!(!output.stderr.contains("is not sent there"), "{file}: {}", output.stderr);
    }
    // A password of its own is the one that is sent.
    let url = "DATABASE_URL=postgres://u:of-the-file@127.0.0.1:1/d\n";
    std::fs::write(dir.path().join(".env"), url).unwrap();
    let mut command = dir.command(&status[..2]);
    let output = CliOutput::of(command.env("PGPASSWORD", "hush").output().unwrap());
    assert!(output.stderr.contains("does not answer"), "{}", output.stderr);
}

#[test]
fn the_address_of_a_database_is_never_shown() {
    let dir = TestDir::empty();
    for url in [
        "host=db password=top-secret user=simops",
        "password=top-secret:x",
        "top-secret",
        "mysql://u:top-secret@h/d",
        "postgres:top-secret@h",
        "postgres://u:top-secret@h:port/d",
        "postgres://u:top-secret@127.0.0.1:1/d",
        "postgres://u@127.0.0.1:1/d?password=top-secret",
        "postgresql://u:top secret@h/d",
        "sqlite://x?password=top-secret",
    ] {
        for args in [&["run", "status"][..], &["doctor"], &["config", "get"]] {
            for name in ["DATABASE_URL", "DATABASE_DIRECT_URL", "REDIS_URL"] {
                let mut command = dir.command(args);
                if name != "DATABASE_URL" {
                    command.env("DATABASE_URL", "postgres://u@127.0.0.1:1/d");
                }
                command.env("DATABASE_ACQUIRE_TIMEOUT_SECONDS", "1").env(name, url);
                let output = CliOutput::of(command.output().unwrap());
                let shown = [output.stdout, output.stderr].concat();
                assert_ne!(output.code, 0, "{url} {args:?}");
                let hidden = !shown.contains("top-secret") && !shown.contains("top secret");
                assert!(hidden, "{name}={url} {args:?}: {shown}");
            }
        }
    }
}

#[test]
fn a_reader_that_has_closed_its_end_is_no_failure() {
    let dir = TestDir::with_database();
    let mut command = dir.command(&["config", "get"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = CliOutput::of(child.wait_with_output().unwrap());
    assert_eq!((output.code, output.stderr.as_str()), (0, ""));
}

#[cfg(unix)]
#[test]
fn a_database_that_may_only_be_read_is_read_and_a_write_is_refused_in_one_line() {
    use std::fs::{Permissions, metadata, set_permissions};
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::os::unix::process::CommandExt;

    let dir = TestDir::with_database();
    let binary = dir.path().join("simops-cli");
    // By another process: a file that this one has open for writing cannot be executed.
    let copied = std::process::Command::new("cp")
        .args([std::path::Path::new(env!("CARGO_BIN_EXE_simops-cli")), &binary])
        .status();
    assert!(copied.unwrap().success());
    let is_root = metadata(dir.path()).unwrap().uid() == 0;
    let mode = |path: &std::path::Path, mode| {
        set_permissions(path, Permissions::from_mode(mode)).unwrap();
    };
    mode(&dir.path().join("simops.db"), 0o444);
    mode(dir.path(), 0o555);
    let run = |args: &[&str]| {
        let mut command = std::process::Command::new(&binary);
        command.args(args).current_dir(dir.path()).env_clear().env("USER", "ada");
        if is_root {
            // Nothing is read-only for root.
            command.uid(65_534);
        }
        CliOutput::of(command.output().unwrap())
    };
    for args in [
        &["run", "status"][..],
        &["run", "list"],
        &["config", "get"],
        &["events", "list"],
        &["audit", "verify"],
        &["usage", "list"],
        &["usage", "verify"],
        &["kpi", "rollups"],
        &["kpi", "verify"],
        &["alert", "list"],
        &["digest", "list"],
        &["guardrail", "backtest", "--since", "7d"],
    ] {
        let output = run(args);
        let read = (output.code, output.stdout.is_empty());
        assert_eq!(read, (0, false), "{args:?}: {}", output.stderr);
    }
    for args in [&["run", "pause"][..], &["usage", "rebuild"], &["config", "set", "LLM_STREAM=1"]] {
        let output = run(args);
        let lines = output.stderr.lines().count();
        assert_eq!((output.code, output.stdout.as_str(), lines), (1, "", 1), "{}", output.stderr);
        assert!(output.stderr.starts_with("error: simops.db: the database cannot be written"));
        assert!(output.stderr.contains("run this as its owner"), "{}", output.stderr);
    }
    mode(dir.path(), 0o755);
}
