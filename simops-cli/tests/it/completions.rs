//! Completions: a shell really completes.

use std::process::Command;

use crate::support::TestDir;

/// What bash offers for a line that ends where the cursor is.
fn bash(dir: &TestDir, words: &[&str]) -> Vec<String> {
    let script = dir.run(&["completions", "bash"]);
    assert_eq!(script.code, 0, "{}", script.stderr);
    std::fs::write(dir.path().join("completions.bash"), script.stdout).unwrap();
    let line = words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ");
    let asked = format!(
        "source completions.bash
         complete=$(complete -p simops-cli); complete=${{complete#*-F }}; complete=${{complete%% *}}
         COMP_WORDS=(simops-cli {line}); COMP_CWORD={last}; COMPREPLY=()
         $complete simops-cli \"${{COMP_WORDS[{last}]}}\" \"${{COMP_WORDS[{last}-1]}}\"
         printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        last = words.len(),
    );
    let output = Command::new("bash").args(["-c", &asked]).current_dir(dir.path()).output();
    let output = output.unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    let offered = String::from_utf8(output.stdout).unwrap();
    offered.lines().filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_flags_and_values_at_every_depth() {
    let dir = TestDir::empty();
    let offered = |words: &[&str]| bash(&dir, words);
    assert_eq!(offered(&["ru"]), ["run"]);
    assert_eq!(offered(&["run", "sta"]), ["status", "start"]);
    assert!(offered(&["kpi", ""]).contains(&"import".to_owned()));
    assert_eq!(offered(&["drill", "provider"]), ["provider-outage"]);
    assert_eq!(offered(&["run", "start", "--mo"]), ["--mode"]);
    assert_eq!(offered(&["run", "start", "--mode", "t"]), ["test"]);
    assert_eq!(offered(&["usage", "list", "-o", "j"]), ["json"]);
    assert_eq!(offered(&["--url", "http://h", "baseline", "comp"]), ["compare"]);
    assert!(offered(&["worker", "--simops-world"]).contains(&"--simops-world-agents".to_owned()));
    assert_eq!(offered(&["completions", "ba"]), ["bash"]);
}

#[test]
fn a_script_is_printed_for_every_shell() {
    let dir = TestDir::empty();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = dir.run(&["completions", shell]);
        assert_eq!(output.code, 0);
        assert!(
            output.stdout.contains("simops-cli") && output.stdout.contains("backtest"),
            "{shell}"
        );
    }
}
