//! `baseline`: its files, its answer, and what is compared.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};
use simops::event::{NewEvent, RuntimeMode};
use simops::store::EventStore;
use simops_sqlite::SqliteStore;

use crate::support::TestDir;

/// A folder whose database holds, for each of the last minutes, as many actions as `per_minute` says,
/// oldest first.
fn busy(per_minute: &[usize]) -> TestDir {
    let dir = TestDir::with_database();
    add(&dir, per_minute);
    dir
}

fn add(dir: &TestDir, per_minute: &[usize]) {
    let now = jiff::Timestamp::now();
    let mut events = Vec::new();
    for (ago, count) in per_minute.iter().rev().enumerate() {
        let at = now - jiff::SignedDuration::from_secs(60 * i64::try_from(ago).unwrap() + 20);
        events.extend((0..*count).map(|agent| {
            let agent = i64::try_from(agent % 3).unwrap();
            let event = NewEvent::new("work", "an agent works", at).of_agent(agent);
            event.as_action(RuntimeMode::DeterministicFallback)
        }));
    }
    let url = format!("sqlite://{}", dir.path().join("simops.db").display());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        SqliteStore::open(&url).await.unwrap().append(&events).await.unwrap();
    });
}

fn file(dir: &TestDir, path: &str) -> String {
    fs::read_to_string(dir.path().join(path)).unwrap()
}

#[test]
fn a_baseline_is_printed_and_written_under_its_fixed_names_with_copies() {
    let dir = busy(&[3, 6, 9]);
    let output = dir.run(&["baseline", "--windows", "4", "--window-minutes", "1"]);
    assert_eq!((output.code, output.stderr.as_str()), (0, ""), "no progress where no terminal is");
    let answer = output.json();
    assert_eq!(answer["thresholds"]["LLM_DAILY_BUDGET_USD_HARD"], 1.0);
    assert_eq!(answer["budget_snapshot"]["calls_total"], 0);
    assert_eq!(answer["provider_failure_window"]["failure_rate"], Value::Null);
    let rows = answer["metrics"]["rows"].as_array().unwrap();
    let actions: Vec<_> = rows.iter().map(|row| row["total_actions"].as_i64().unwrap()).collect();
    assert_eq!(actions, [0, 3, 6, 9]);
    assert_eq!(answer["metrics"]["latest_window"], rows[3]);
    assert_eq!(rows[3]["top_agent_share"], json!(1.0 / 3.0));

    let latest: Value =
        serde_json::from_str(&file(&dir, "output/baseline/baseline_latest.json")).unwrap();
    let metrics = file(&dir, latest["metrics_path"].as_str().unwrap());
    assert_eq!(serde_json::from_str::<Value>(&metrics).unwrap(), answer["metrics"]);
    let csv = file(&dir, "output/baseline/metrics/metrics_latest.csv");
    assert_eq!(csv.lines().count(), 5);
    assert!(csv.lines().nth(1).unwrap().ends_with(",0,0,0,0,,,,,0,0,0"), "{csv}");

    // Another in the same second or not: no copy is lost, and none of the work files is left.
    dir.ok(&["baseline"]);
    dir.ok(&["baseline"]);
    let names = |folder: &str| -> Vec<String> {
        let entries = fs::read_dir(dir.path().join(folder)).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    assert_eq!(names("output/baseline").len(), 5, "{:?}", names("output/baseline"));
    assert_eq!(names("output/baseline/metrics").len(), 8);
    assert!(names("output/baseline").iter().all(|name| !name.contains("tmp")));
}

#[test]
fn what_moved_beyond_noise_is_shown_and_the_rest_is_not() {
    let dir = busy(&[4, 6, 5, 4, 6, 5]);
    let take = ["baseline", "--windows", "6", "--window-minutes", "1"];
    dir.ok(&take);
    let before = dir.path().join("before.json");
    let stamped = fs::read_dir(dir.path().join("output/baseline")).unwrap();
    let stamped = stamped.map(|entry| entry.unwrap().path()).find(|path| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.starts_with("baseline_2")
    });
    let stamped = stamped.unwrap();
    dir.ok(&take);
    let compare = |a: &str, b: &str| dir.ok(&["baseline", "compare", a, b]);
    let same = compare(stamped.to_str().unwrap(), "latest");
    assert_eq!(same["moved"], json!([]));

    fs::write(&before, dir.run(&take).stdout).unwrap();
    dir.ok(&["config", "set", "LLM_DAILY_BUDGET_USD_SOFT=0.25"]);
    add(&dir, &[40, 42, 41, 40, 42, 41]);
    dir.ok(&take);
    let moved = compare("before.json", "latest");
    let named: Vec<_> =
        moved["moved"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(named.contains(&"total_actions"), "{named:?}");
    assert!(!named.contains(&"governance_events"), "{named:?}");
    let setting = json!({ "key": "LLM_DAILY_BUDGET_USD_SOFT", "a": 0.5, "b": 0.25 });
    assert_eq!(moved["settings"], json!([setting]));
    let table = dir.run(&["baseline", "compare", "before.json", "latest", "-o", "table"]).stdout;
    assert!(table.contains("Moved beyond noise: total_events, total_actions"), "{table}");
}

#[test]
fn a_copy_of_one_file_is_a_whole_baseline_and_foreign_metrics_are_refused() {
    let dir = busy(&[4, 6, 5]);
    let take = ["baseline", "--windows", "3", "--window-minutes", "1"];
    let latest = dir.path().join("output/baseline/baseline_latest.json");
    let before = dir.ok(&take);
    fs::copy(&latest, dir.path().join("before.json")).unwrap();
    let same = dir.ok(&["baseline", "compare", "before.json", "latest"]);
    assert_eq!(same["same_baseline"], true);
    let table = dir.run(&["baseline", "compare", "before.json", "latest", "-o", "table"]).stdout;
    assert!(table.ends_with("a and b are the same baseline.\n"), "{table}");

    add(&dir, &[50, 50, 50]);
    let after = dir.ok(&take);
    let compared = dir.ok(&["baseline", "compare", "before.json", "latest"]);
    assert_eq!(compared["same_baseline"], false);
    let actions = &compared["metrics"][1];
    assert_eq!(actions["metric"], "total_actions");
    let mean = |taken: &Value| -> f64 {
        let rows = taken["metrics"]["rows"].as_array().unwrap();
        rows.iter().map(|row| row["total_actions"].as_f64().unwrap()).sum::<f64>() / 3.0
    };
    assert_eq!(actions["a_mean"].as_f64(), Some(mean(&before)));
    assert_eq!(actions["b_mean"].as_f64(), Some(mean(&after)));
    assert!(mean(&after) > mean(&before) + 40.0, "{compared}");

    // As earlier versions wrote it: the metrics are in a file of their own, which is newer here.
    let mut old = before;
    old.as_object_mut().unwrap().remove("metrics");
    fs::write(dir.path().join("old.json"), old.to_string()).unwrap();
    let (code, error) = dir.fails(&["baseline", "compare", "old.json", "latest"]);
    assert!(code == 2 && error.contains("copy both files of a baseline"), "{error}");
}

#[test]
fn windows_of_different_length_and_files_of_other_things_are_refused() {
    let dir = busy(&[1]);
    fs::write(dir.path().join("a.json"), dir.run(&["baseline"]).stdout).unwrap();
    dir.ok(&["baseline", "--window-minutes", "7"]);
    let (code, output) = dir.fails(&["baseline", "compare", "a.json", "latest"]);
    assert!(code == 1 && output.contains("5 and 7 minutes"), "{output}");
    fs::write(dir.path().join("b.json"), "{}").unwrap();
    let (code, output) = dir.fails(&["baseline", "compare", "b.json", "latest"]);
    assert!(code == 2 && output.contains("b.json is not a baseline"), "{output}");
    let (code, output) = dir.fails(&["baseline", "compare", "none.json", "latest"]);
    assert!(code == 1 && output.contains("there is no file none.json"), "{output}");
    let (code, output) = dir.fails(&["baseline", "--windows", "0"]);
    assert!(code == 2 && output.contains("windows: must be between 1 and 1000"), "{output}");
}

#[test]
fn a_picture_is_an_svg_with_a_line_per_figure() {
    let dir = busy(&[3, 6, 9]);
    dir.ok(&["baseline", "--windows", "3", "--window-minutes", "1"]);
    let answer = dir.ok(&["baseline", "plot"]);
    let svg = file(&dir, answer["svg_path"].as_str().unwrap());
    assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
    assert_eq!(svg.matches("<polyline").count(), 10);
    let out = dir.run(&["baseline", "plot", "latest", "--out", "-"]);
    assert_eq!(out.stdout, svg);
}

#[test]
fn a_baseline_needs_neither_redis_nor_a_database_that_may_be_written() {
    let dir = busy(&[5]);
    let read_only = |path: &std::path::Path, mode: &str| {
        assert!(Command::new("chmod").arg(mode).arg(path).status().unwrap().success());
    };
    let data = dir.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::rename(dir.path().join("simops.db"), data.join("simops.db")).unwrap();
    read_only(&data.join("simops.db"), "444");
    read_only(&data, "555");
    let out = dir.path().join("out");
    fs::create_dir(&out).unwrap();
    read_only(&out, "777");
    read_only(dir.path(), "755");
    // A superuser may write anything, so the command runs as another user where that is possible.
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    command.arg(env!("CARGO_BIN_EXE_simops-cli"));
    let is_root = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
    let mut command =
        if is_root { command } else { Command::new(env!("CARGO_BIN_EXE_simops-cli")) };
    command.env_clear().env("USER", "ada").env("REDIS_URL", "redis://127.0.0.1:1");
    command.current_dir(dir.path()).args(["baseline", "--windows", "1", "--output-dir", "out"]);
    command.args(["--database-url", "sqlite://data/simops.db"]);
    let output = crate::support::CliOutput::of(command.output().unwrap());
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert_eq!(output.json()["metrics"]["latest_window"]["total_actions"], 5);
    read_only(&data, "755");
}
