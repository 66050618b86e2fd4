//! Run controls on a database without a host.

use serde_json::Value;

use crate::support::TestDir;

#[test]
fn a_reset_without_a_live_host_is_refused_and_starts_nothing() {
    let dir = TestDir::with_database();
    let (code, error) = dir.fails(&["run", "start", "--mode", "test", "--reset-world"]);
    assert_eq!(
        (code, error.as_str()),
        (1, "error: no live host owns a world that could be reset\n")
    );
    assert_eq!(dir.fails(&["run", "reset"]), (code, error));
    assert_eq!(dir.ok(&["run", "status"])["run_state"], "idle");
    assert_eq!(dir.ok(&["run", "list"])["items"], Value::Array(Vec::new()));
}

#[test]
fn a_run_goes_from_start_over_pause_to_its_end() {
    let dir = TestDir::with_database();
    let started = dir.ok(&[
        "run",
        "start",
        "--mode",
        "real",
        "--run-id",
        "r1",
        "--condition-name",
        "control",
        "--season-id",
        "s3",
        "--season-number",
        "3",
        "--run-class",
        "deep_96h",
        "--reason",
        "first run",
    ]);
    assert_eq!(started["run_id"], "r1");
    let status = dir.ok(&["run", "status"]);
    assert_eq!(status["run_state"], "starting", "no host has confirmed anything");
    assert_eq!(status["viewer_ops"]["run_id"], "r1");
    assert_eq!(status["actor"]["id"], "ada");
    assert!(status["server_time_utc"].is_string());

    assert_eq!(dir.ok(&["run", "pause"])["simulation_paused"], true);
    assert_eq!(dir.ok(&["run", "status"])["run_state"], "paused");
    assert_eq!(dir.ok(&["run", "resume"])["simulation_paused"], false);
    assert_eq!(dir.ok(&["run", "metrics"])["run_id"], "r1");

    dir.ok(&["run", "stop", "--reason", "week is over", "--actor", "grace"]);
    assert_eq!(dir.ok(&["run", "status"])["run_state"], "stopped");
    let run = dir.ok(&["run", "show", "r1"]);
    assert_eq!(run["condition_name"], "control");
    assert_eq!(run["season_number"], 3);
    assert_eq!(run["run_class"], "deep_96h");
    assert_eq!(run["started_by"], "ada");
    assert_eq!(run["start_reason"], "first run");
    assert!(run["ended_at"].is_string());
    assert_eq!(dir.ok(&["audit", "list", "--limit", "1"])["items"][0]["changed_by"], "grace");

    let (code, error) = dir.fails(&["run", "resume"]);
    assert_eq!(code, 1);
    assert!(error.starts_with("error: "), "{error}");
}

#[test]
fn runs_of_foreign_hosts_are_open_side_by_side_and_controlled_by_name() {
    let dir = TestDir::with_database();
    for run_id in ["first", "second", "third"] {
        dir.ok(&["run", "start", "--mode", "test", "--run-id", run_id]);
    }
    let (code, error) = dir.fails(&["run", "start", "--mode", "test", "--run-id", "second"]);
    assert_eq!(code, 1);
    assert!(error.contains("second exists already"), "{error}");
    let (code, error) = dir.fails(&["run", "start", "--mode", "test", "--host", "nowhere"]);
    assert_eq!(code, 1);
    assert!(error.contains("host nowhere is not connected; there are gateway"), "{error}");

    assert_eq!(dir.ok(&["run", "pause", "--run-id", "second"])["simulation_paused"], true);
    let open = || {
        let status = dir.ok(&["run", "status"]);
        let runs = status["open_runs"].as_array().unwrap().iter();
        runs.map(|run| (run["run_id"].clone(), run["paused"].clone())).collect::<Vec<_>>()
    };
    let run = |name: &str, paused: bool| (name.into(), paused.into());
    assert_eq!(open(), [run("first", false), run("second", true), run("third", false)]);
    assert_eq!(dir.ok(&["run", "resume", "--run-id", "second"])["simulation_paused"], false);
    let stopped = dir.ok(&["run", "stop", "--run-id", "third"]);
    assert_eq!(stopped["run_id"], "third");
    let paused = dir.ok(&["run", "pause", "--all"]);
    assert_eq!(paused["runs"].as_array().unwrap().len(), 2);
    assert_eq!(open(), [run("first", true), run("second", true)]);
    let (code, _) = dir.fails(&["run", "pause", "--all", "--run-id", "first"]);
    assert_eq!(code, 2);
    dir.ok(&["run", "stop", "--all", "--reason", "over"]);
    assert_eq!(open(), []);
    assert_eq!(dir.ok(&["run", "show", "second"])["end_reason"], "over");
}

#[test]
fn calls_are_degraded_and_no_longer() {
    let dir = TestDir::with_database();
    assert_eq!(dir.ok(&["run", "degrade"])["force_cheapest_route"], true);
    assert_eq!(dir.ok(&["run", "degrade", "--clear"])["force_cheapest_route"], false);
}

#[test]
fn what_does_not_exist_is_named() {
    let dir = TestDir::with_database();
    for args in [&["run", "show", "nowhere"][..], &["run", "metrics", "--run-id", "nowhere"]] {
        let (code, error) = dir.fails(args);
        assert_eq!((code, error.contains("\"nowhere\"")), (1, true), "{error}");
    }
}

#[test]
fn every_field_out_of_form_is_named() {
    let dir = TestDir::with_database();
    let (code, error) =
        dir.fails(&["run", "start", "--mode", "test", "--run-id", "a b", "--season-number", "-1"]);
    assert_eq!(code, 2);
    assert!(error.contains("run_id") && error.contains("season_number"), "{error}");
}

#[test]
fn pages_follow_each_other() {
    let dir = TestDir::with_database();
    for id in ["a", "b", "c"] {
        dir.ok(&["run", "start", "--mode", "test", "--run-id", id]);
        dir.ok(&["run", "stop"]);
    }
    let page = dir.ok(&["run", "list", "--limit", "2"]);
    let cursor = page["next_cursor"].as_str().unwrap();
    assert_eq!(page["items"][0]["run_id"], "c");
    let rest = dir.ok(&["run", "list", "--limit", "2", "--cursor", cursor]);
    assert_eq!(rest["items"][0]["run_id"], "a");
    assert_eq!(rest["next_cursor"], Value::Null);

    let events = dir.ok(&["events", "list", "--run-id", "b", "--type", "run_started"]);
    assert_eq!(events["items"].as_array().unwrap().len(), 1);
}

#[test]
fn production_is_read_only_unless_it_is_opened_and_never_reset() {
    let dir = TestDir::with_database();
    let production = ["--environment", "production"];
    let with = |args: &[&'static str]| [&production[..], args].concat();
    let start = ["run", "start", "--mode", "test", "--run-id", "r1"];
    for args in [
        &start[..],
        &["run", "stop"],
        &["run", "pause"],
        &["run", "resume"],
        &["run", "reset"],
        &["run", "degrade"],
        &["config", "set", "LLM_ACTION_MAX_TOKENS=100"],
        &["agent", "once", "--agent", "1"],
    ] {
        let refused = "error: Admin write controls are disabled in this environment\n";
        assert_eq!(dir.fails(&with(args)), (1, refused.to_owned()), "{args:?}");
    }
    assert_eq!(dir.ok(&with(&["run", "status"]))["admin_write_enabled"], false);

    let mut opened = dir.command(&start);
    opened.env("ENVIRONMENT", "production").env("ADMIN_WRITE_ENABLED", "true");
    assert!(opened.output().unwrap().status.success());
    let opened = with(&["run", "reset", "--admin-write-enabled", "true"]);
    let (code, error) = dir.fails(&opened);
    assert_eq!((code, error.as_str()), (1, "error: World reset is blocked in production\n"));
}

#[test]
fn a_page_out_of_bounds_is_refused_with_the_bounds() {
    let dir = TestDir::with_database();
    let bounded = "error: limit: must be between 1 and 500\n".to_owned();
    for list in ["run", "audit", "events"] {
        for limit in ["-1", "0", "501"] {
            assert_eq!(dir.fails(&[list, "list", "--limit", limit]), (2, bounded.clone()));
        }
    }
    let hours = dir.fails(&["run", "metrics", "--hours-fallback", "337"]);
    assert_eq!(hours, (2, "error: hours_fallback: must be between 1 and 336\n".to_owned()));
}

#[test]
fn runs_are_labelled_and_found_again() {
    let dir = TestDir::with_database();
    for seed in ["seed=1", "seed=2"] {
        let start = ["run", "start", "--mode", "test", "--group-id", "pilot", "--run-id"];
        let id = seed.replace('=', "-");
        let labels = ["--label", seed, "--label", "model=a:b"];
        dir.ok(&[&start[..], &[&id], &labels].concat());
        dir.ok(&["run", "stop"]);
    }
    assert_eq!(dir.ok(&["run", "show", "seed-1"])["labels"]["model"], "a:b");
    let found = |args: &[&str]| {
        let list = dir.ok(&[&["run", "list"], args].concat());
        let ids = list["items"].as_array().unwrap().iter().map(|run| run["run_id"].clone());
        ids.collect::<Vec<_>>()
    };
    assert_eq!(found(&["--group-id", "pilot"]), ["seed-2", "seed-1"]);
    assert_eq!(found(&["--label", "seed=1", "--label", "model=a:b"]), ["seed-1"]);
    assert_eq!(found(&["--label", "seed=3"]), [""; 0]);
    let csv = dir.run(&["run", "list", "--figures", "-o", "csv"]).stdout;
    let lines: Vec<_> = csv.lines().collect();
    assert!(lines[0].contains(",label.model,label.seed,calls,"), "{csv}");
    assert!(lines[1].starts_with("seed-2,pilot,test,") && lines.len() == 3, "{csv}");

    for args in [
        &["run", "start", "--mode", "test", "--label", "seed"][..],
        &["run", "start", "--mode", "test", "--label", "seed=1", "--label", "seed=2"],
        &["run", "start", "--mode", "test", "--label", "a b=1"],
        &["run", "list", "--label", "seed"],
        &["run", "list", "--label", "a b=1"],
    ] {
        let (code, error) = dir.fails(args);
        assert!(code == 2 && error.contains("label"), "{args:?}: {error}");
    }
}
