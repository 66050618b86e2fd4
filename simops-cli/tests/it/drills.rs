//! Drills: each stages its failure for real and sees what must be seen.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::{CliOutput, SOON, TestDir, until};

#[test]
fn agents_act_through_an_outage_of_their_provider() {
    passes("provider-outage");
}

#[test]
fn calls_are_counted_while_redis_is_killed_emptied_and_hung() {
    passes("redis-unavailable");
}

#[test]
fn a_worker_goes_on_by_itself_after_its_postgres_crashed_and_was_restarted() {
    passes("db-reconnect");
}

/// A drill finds programs by the `PATH`, and leaves the folder that it is called in as it was.
fn passes(drill: &str) {
    let dir = TestDir::empty();
    let path = std::env::var_os("PATH").unwrap();
    let output = dir.command(&["drill", drill]).env("PATH", path).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["drill"], drill);
    assert_eq!(report["passed"], true);
    assert!(report["checks"].as_array().unwrap().len() > 8, "{report}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn an_interrupted_drill_ends_its_worker_and_deletes_its_folder() {
    let dir = TestDir::empty();
    let mut command = dir.command(&["drill", "provider-outage"]);
    let command = command.env("TMPDIR", dir.path()).stdout(Stdio::null());
    let mut drill = command.stderr(Stdio::null()).spawn().unwrap();
    // Between two workers of a drill there is none for a moment.
    until(SOON, "a worker", || (!workers_below(dir.path()).is_empty()).then_some(()));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    let drill_id = drill.id().to_string();
    assert!(Command::new("kill").arg(&drill_id).status().unwrap().success());
    let status = until(SOON, "the drill to exit", || drill.try_wait().unwrap());
    assert_eq!(status.code(), Some(130));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    until(SOON, "its worker to exit", || workers_below(dir.path()).is_empty().then_some(()));
}

/// The processes that work in a folder below this one. A drill works in its caller's folder, its
/// workers in a folder that it creates below `TMPDIR`.
fn workers_below(folder: &Path) -> Vec<PathBuf> {
    let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    processes
        .map(|process| process.path())
        .filter(|process| {
            let works_in = fs::read_link(process.join("cwd")).unwrap_or_default();
            works_in != folder && works_in.starts_with(folder)
        })
        .collect()
}

#[test]
fn a_drill_without_its_redis_says_what_to_install() {
    let dir = TestDir::empty();
    let output = dir.command(&["drill", "redis-unavailable"]).env("PATH", dir.path()).output();
    let output = CliOutput::of(output.unwrap());
    assert_eq!(output.code, 1);
    assert!(output.stderr.contains("apt-get install redis-server"), "{}", output.stderr);
}
