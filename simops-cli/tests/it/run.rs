//! Run controls on a database without a host.

use serde_json::{Value, json};

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

/// Runs of two conditions with three seeds, all ended.
fn experiment() -> TestDir {
    let dir = TestDir::with_database();
    for n in 0..6 {
        let (id, seed) = (format!("r{n}"), format!("seed={}", n % 3));
        let condition = if n % 2 == 0 { "warm" } else { "cold" };
        let start = ["run", "start", "--mode", "test", "--host", "gateway", "--group-id", "pilot"];
        let named = ["--run-id", &id, "--condition-name", condition, "--label", &seed];
        dir.ok(&[&start[..], &named].concat());
        dir.ok(&["run", "stop", "--run-id", &id]);
    }
    dir
}

#[test]
fn every_run_of_a_group_is_listed_in_one_file() {
    let dir = experiment();
    let page = dir.ok(&["run", "list", "--group-id", "pilot", "--limit", "2"]);
    assert_eq!(page["items"].as_array().unwrap().len(), 2);
    let all = dir.ok(&["run", "list", "--group-id", "pilot", "--all"]);
    assert_eq!((all["items"].as_array().unwrap().len(), &all["next_cursor"]), (6, &Value::Null));
    let csv = dir.run(&["run", "list", "--group-id", "pilot", "--figures", "--all", "-o", "csv"]);
    assert_eq!((csv.stdout.lines().count(), csv.stderr.as_str()), (7, ""));
    assert_eq!(dir.fails(&["run", "list", "--all", "--limit", "3"]).0, 2);
}

#[test]
fn the_runs_of_a_group_are_reported_together() {
    let dir = experiment();
    let report = dir.ok(&["run", "report", "--group-id", "pilot"]);
    assert_eq!((&report["final"], &report["runs"]["selected"]), (&json!(true), &json!(6)));
    let values = |report: &Value| -> Vec<Value> {
        let summaries = report["summaries"].as_array().unwrap().iter();
        summaries.map(|of| of["value"].clone()).collect()
    };
    assert_eq!(values(&report), ["cold", "warm"]);
    let by_seed = dir.ok(&["run", "report", "--group-id", "pilot", "--by", "seed"]);
    assert_eq!(values(&by_seed), ["0", "1", "2"]);
    let csv = dir.run(&["run", "report", "--label", "seed=1", "-o", "csv"]).stdout;
    let lines: Vec<_> = csv.lines().collect();
    assert!(lines[0].contains(",label.seed,started_at,") && lines.len() == 3, "{csv}");
    let summary = dir.run(&["run", "report", "--group-id", "pilot", "--summary", "-o", "csv"]);
    assert!(summary.stdout.contains("\nwarm,3,0,cost_usd,3,0,0,0,0,0,0\n"), "{}", summary.stdout);
    let table = dir.run(&["run", "report", "--group-id", "pilot", "-o", "table"]).stdout;
    assert!(table.starts_with("6 runs, 0 open") && table.contains("\nwarm "), "{table}");

    for args in [
        &["run", "report"][..],
        &["run", "report", "r1", "--group-id", "pilot"],
        &["run", "report", "r1", "--by", "seed"],
        &["run", "report", "--label", "seed"],
        &["run", "report", "--label", "seed=1", "--label", "seed=2"],
        &["run", "report", "--group-id", "pilot", "--by", "size"],
    ] {
        assert_eq!(dir.fails(args).0, 2, "{args:?}");
    }
    for command in [&["run", "report"][..], &["baseline"], &["digest"]] {
        let (code, error) = dir.fails(&[command, &["--group-id", "none"]].concat());
        assert!(code == 1 && error.contains("there is no run of group \"none\""), "{error}");
    }
}

#[test]
fn baselines_and_digests_of_some_runs_say_which() {
    let dir = experiment();
    let of = ["--group-id", "pilot", "--label", "seed=1"];
    let baseline = dir.ok(&[&["baseline"], &of[..]].concat());
    let runs = &baseline["runs"];
    assert_eq!((&runs["selected"], &runs["open"]), (&json!(2), &json!(0)));
    assert_eq!(runs["labels"], json!({ "seed": "1" }));
    let gates =
        ["--archive-weekly-draft-min-events", "1", "--archive-weekly-draft-min-llm-calls", "0"];
    let digest = dir.ok(&[&["digest"], &of[..], &gates].concat());
    let slug = digest["slug"].as_str().unwrap();
    assert!(slug.starts_with("runs-brief-") && digest["status"] == "created", "{digest}");
    // Starts and ends of two runs.
    assert_eq!(digest["evidence_gate"]["observed"]["total_events"], 4);
    let one = dir.ok(&["baseline", "--run-id", "r1"]);
    assert_eq!(one["runs"]["run_id"], "r1");
}

/// Numbers that JSON does not have would mean no limit.
#[test]
fn a_limit_is_a_finite_number() {
    let dir = TestDir::with_database();
    for limit in ["nan", "inf", "1e999"] {
        for command in [
            ["run", "limits", "--max-usd", limit].as_slice(),
            &["run", "start", "--mode", "test", "--max-usd", limit],
            &["budgets", "set", "b", "--hard", limit],
            &["budgets", "set", "b", "--soft", limit],
        ] {
            let (code, error) = dir.fails(command);
            assert_eq!(code, 2, "{command:?}: {error}");
            assert!(error.contains("must be a number"), "{command:?}: {error}");
        }
    }
}
