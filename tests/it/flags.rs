//! The table of variables in the README is true: each is a flag of a binary, secrets excepted.

use std::collections::BTreeSet;

use simops_tests::program;
use tokio::process::Command;

const README: &str = include_str!("../../README.md");
const PROVIDERS: [&str; 4] = ["OPENROUTER", "GROQ", "MISTRAL", "GEMINI"];

/// What the variables share that a row of the table abbreviates.
const STEMS: [&str; 6] = [
    "DATABASE",
    "KPI_ALERT_WEBHOOK",
    "KPI_ALERT_PAGERDUTY",
    "KPI_EVENT_RATE_LIMIT",
    "KPI_EVENT_TOTAL_LIMIT",
    "ARCHIVE_WEEKLY_DRAFT",
];

/// Whether a variable holds a secret: it comes from the environment or from a file.
fn is_secret(name: &str) -> bool {
    ["_TOKEN", "_SECRET", "_KEY", "_SLACK_URL", "_DISCORD_URL"]
        .iter()
        .any(|ending| name.ends_with(ending))
}

/// The variables of the table: `_URL` after `A_B_ENABLED` is the ending of `A_B_URL`.
fn variables() -> Vec<String> {
    let table = README.split("| name | default | meaning |").nth(1).unwrap();
    let mut names: Vec<String> = Vec::new();
    for row in table.lines().skip(2).take_while(|line| line.starts_with('|')) {
        let cell = row.split('|').nth(1).unwrap();
        for name in cell.split('`').skip(1).step_by(2) {
            if let Some(ending) = name.strip_prefix("<NAME>") {
                names.extend(PROVIDERS.map(|provider| format!("{provider}{ending}")));
            } else if name.starts_with('_') {
                let stem = STEMS.into_iter().find(|stem| names.last().unwrap().starts_with(stem));
                names.push(format!("{}{name}", stem.unwrap()));
            } else {
                names.push(name.to_owned());
            }
        }
    }
    names
}

/// The flags of a command, and the variables that its help names.
async fn help(binary: &str, command: &[&str]) -> (BTreeSet<String>, BTreeSet<String>) {
    let mut asked = Command::new(program(binary));
    let output = asked.args(command).arg("--help").env_clear().output().await.unwrap();
    assert!(output.status.success(), "{binary} {command:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let word = |c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_';
    let flags = text.split(word).filter_map(|part| part.strip_prefix("--")).map(str::to_owned);
    let named = text.split("[env: ").skip(1).map(|part| part.split(['=', ']']).next().unwrap());
    (flags.collect(), named.map(str::to_owned).collect())
}

#[tokio::test]
async fn every_variable_of_the_readme_is_a_flag_and_no_secret_is_one() {
    let mut flags = BTreeSet::new();
    for (binary, command) in [
        ("simops-server", &[][..]),
        ("simops-cli", &["worker"]),
        ("simops-cli", &["agent", "once"]),
        ("simops-cli", &["digest"]),
        ("simops-cli", &["doctor"]),
        ("simops-cli", &["kpi", "rollups"]),
    ] {
        let (of_command, named) = help(binary, command).await;
        for name in named {
            let flag = name.to_lowercase().replace('_', "-");
            assert!(
                of_command.contains(&flag),
                "{binary} {command:?} reads {name} without --{flag}"
            );
        }
        flags.extend(of_command);
    }
    let variables = variables();
    assert!(variables.len() > 50, "{variables:?}");
    for name in variables {
        let flag = name.to_lowercase().replace('_', "-");
        assert_eq!(flags.contains(&flag), !is_secret(&name), "{name}");
    }
    for (secret, file) in
        [("admin-api-token", "admin-api-token-file"), ("groq-api-key", "groq-api-key-file")]
    {
        assert!(!flags.contains(secret) && flags.contains(file), "{secret}");
    }
}
