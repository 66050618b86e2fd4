//! The runbook is run: every command of the page, and what it prints.

use std::path::Path;
use std::process::Stdio;

use simops_tests::{ServerBuilder, program};
use tokio::process::Command;

const PAGE: &str = include_str!("../../docs/runbook.md");
const TOKEN: &str = "3f0c9d1e7a5b2c4868fa01e7d9b3c5a2f4e6081b";

/// The commands of the page, each with the lines expected of it.
fn commands() -> Vec<(String, Vec<String>)> {
    let mut commands: Vec<(String, Vec<String>)> = Vec::new();
    let mut inside = false;
    for line in PAGE.lines() {
        if line.starts_with("```") {
            inside = line == "```console";
        } else if let (true, Some(command)) = (inside, line.strip_prefix("$ ")) {
            commands.push((command.to_owned(), Vec::new()));
        } else if inside {
            commands.last_mut().expect("a command").1.push(line.to_owned());
        }
    }
    commands
}

/// Whether the parts between `…` occur in `text` in their order; without one at an end, it is the end
/// of a line.
fn shows(text: &str, expected: &str) -> bool {
    text.lines().any(|line| {
        let mut rest = line;
        let parts: Vec<_> = expected.split('…').collect();
        parts.iter().enumerate().all(|(place, part)| {
            let found =
                if place == 0 { rest.starts_with(part).then_some(0) } else { rest.find(part) };
            let Some(at) = found else { return false };
            rest = &rest[at + part.len()..];
            place + 1 < parts.len() || rest.is_empty() || part.is_empty()
        })
    })
}

#[test]
fn expectations_are_compared_as_they_are_written() {
    assert!(shows("a\n  \"ok\": true,\n", "…\"ok\": true…"));
    assert!(shows("{\"ok\":true}\n", "{\"ok\":true}"));
    assert!(!shows("{\"ok\":true} and more\n", "{\"ok\":true}"));
    assert!(!shows("ok: false\n", "…true…"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_of_the_runbook_does_what_the_page_says() {
    let (dir, far) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let with_token = |dir: &Path| ServerBuilder::new(dir).env("ADMIN_API_TOKEN", TOKEN);
    let server = with_token(dir.path()).start().await;
    let production = with_token(far.path()).env("ENVIRONMENT", "production").start().await;
    let binaries = program("simops-cli").parent().unwrap().to_owned();
    let path = format!("{}:{}", binaries.display(), std::env::var("PATH").unwrap_or_default());
    let commands = commands();
    assert!(commands.len() > 25, "{} commands", commands.len());
    for (command, expected) in commands {
        let output = Command::new("sh")
            .args(["-c", &command])
            .current_dir(dir.path())
            .env("PATH", &path)
            .env("USER", "ada")
            .env("SIMOPS_URL", &server.base)
            .env("DATABASE_URL", "sqlite://simops.db")
            .env("PRODUCTION_URL", &production.base)
            .env("ADMIN_API_TOKEN", TOKEN)
            .stdin(Stdio::null())
            .output()
            .await
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command}: {text}\n{stderr}");
        for line in expected {
            assert!(shows(&text, &line), "{command} does not print {line}: {text}\n{stderr}");
        }
    }
}
