//! Drills: each stages its failure for real and sees what must be seen.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{Place, Said};

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
    let place = Place::empty();
    let path = std::env::var_os("PATH").unwrap();
    let output = place.command(&["drill", drill]).env("PATH", path).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["drill"], drill);
    assert_eq!(report["passed"], true);
    assert!(report["checks"].as_array().unwrap().len() > 8, "{report}");
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
}

#[test]
fn a_drill_that_is_interrupted_ends_what_it_has_started() {
    let place = Place::empty();
    let mut command = place.command(&["drill", "provider-outage"]);
    let mut drill = command.env("TMPDIR", place.path()).stderr(Stdio::piped()).spawn().unwrap();
    let mut told = BufReader::new(drill.stderr.take().unwrap()).lines();
    // By then there is a folder with a database, and a worker on it.
    told.find(|line| line.as_ref().unwrap().contains("agents act")).unwrap().unwrap();
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
    let id = drill.id().to_string();
    let workers = || Command::new("pgrep").args(["-P", &id]).output().unwrap().stdout;
    let worker = String::from_utf8(workers()).unwrap();
    assert_eq!(worker.lines().count(), 1, "{worker}");
    assert!(Command::new("kill").arg(&id).status().unwrap().success());
    assert_eq!(drill.wait().unwrap().code(), Some(130));
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
    let process = format!("/proc/{}/exe", worker.trim());
    let begun = Instant::now();
    while fs::read_link(&process).is_ok() {
        assert!(begun.elapsed() < Duration::from_secs(10), "the worker lives on");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_drill_without_its_redis_says_what_to_install() {
    let place = Place::empty();
    let output = place.command(&["drill", "redis-unavailable"]).env("PATH", place.path()).output();
    let said = Said::of(output.unwrap());
    assert_eq!(said.code, 1);
    assert!(said.stderr.contains("apt-get install redis-server"), "{}", said.stderr);
}
