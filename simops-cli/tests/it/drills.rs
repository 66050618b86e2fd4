//! Drills: each stages its failure for real and sees what must be seen.

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
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0);
}

#[test]
fn a_drill_without_its_redis_says_what_to_install() {
    let place = Place::empty();
    let output = place.command(&["drill", "redis-unavailable"]).env("PATH", place.path()).output();
    let said = Said::of(output.unwrap());
    assert_eq!(said.code, 1);
    assert!(said.stderr.contains("apt-get install redis-server"), "{}", said.stderr);
}
