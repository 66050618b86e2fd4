//! Visitor events: imported, generated and recounted.

use std::fs::write;
use std::io::Write;
use std::process::Stdio;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::support::{CliOutput, TestDir};

/// A time this many hours ago.
fn ago(hours: i64) -> String {
    (Timestamp::now() - SignedDuration::from_hours(hours)).to_string()
}

fn event(number: u32) -> Value {
    json!({
        "event_name": "landing_view",
        "visitor_id": format!("visitor-{number}"),
        "occurred_at": ago(30),
    })
}

#[test]
fn a_file_is_imported_once_however_often_and_bad_lines_are_named() {
    let dir = TestDir::with_database();
    let mut lines: Vec<_> = (0..2_500).map(|number| event(number).to_string()).collect();
    lines[7] = "{".to_owned();
    lines[1_200] = json!({ "event_name": "landing_view", "visitor_id": "short" }).to_string();
    lines[1_300] = String::new();
    // Without an event_uid, the same line twice is two events.
    lines.push(event(1).to_string());
    write(dir.path().join("events.ndjson"), lines.join("\n")).unwrap();

    let output = dir.run(&["kpi", "import", "events.ndjson"]);
    assert_eq!(output.code, 1);
    let answer = json!({ "ok": false, "accepted": 2_498, "duplicates": 0, "rejected": 2, "last_line": 2_501 });
    assert_eq!(output.json(), answer, "{}", output.stderr);
    assert!(
        output.stderr.contains("line 8: ") && output.stderr.contains("line 1201: visitor_id"),
        "{}",
        output.stderr
    );
    let again = dir.run(&["kpi", "import", "events.ndjson"]).json();
    assert_eq!((&again["accepted"], &again["duplicates"]), (&json!(0), &json!(2_498)));
    let rest = dir.run(&["kpi", "import", "events.ndjson", "--from-line", "2400"]).json();
    assert_eq!(rest["duplicates"], 102);

    let verified = dir.ok(&["kpi", "verify"]);
    assert_eq!((&verified["ok"], &verified["events"]), (&json!(true), &json!(2_498)));
    let yesterday = dir.ok(&["kpi", "rollups", "--days", "3"]);
    let sum = |field: &str| -> i64 {
        yesterday["items"].as_array().unwrap().iter().map(|day| day[field].as_i64().unwrap()).sum()
    };
    assert_eq!((sum("landing_views"), sum("landing_view_visitors")), (2_498, 2_497));
}

/// Sums of a figure over all days.
fn sum(dir: &TestDir, field: &str) -> i64 {
    let rollups = dir.ok(&["kpi", "rollups", "--days", "10"]);
    rollups["items"].as_array().unwrap().iter().map(|day| day[field].as_i64().unwrap()).sum()
}

#[test]
fn a_file_with_one_event_more_adds_one_wherever_it_is() {
    let dir = TestDir::with_database();
    let event = |number: usize| {
        json!({ "event_name": "landing_view", "visitor_id": format!("visitor-{}", number % 40),
            "occurred_at": "HERE" })
    };
    let at = ago(5);
    // Of 100 events, some have the same content.
    let mut lines: Vec<_> =
        (0..100).map(|number| event(number).to_string().replace("HERE", &at)).collect();
    write(dir.path().join("a.ndjson"), lines.join("\n")).unwrap();
    assert_eq!(dir.ok(&["kpi", "import", "a.ndjson"])["accepted"], 100);
    lines.insert(0, event(7).to_string().replace("HERE", &at));
    lines.insert(50, event(4_000).to_string().replace("HERE", &ago(6)));
    write(dir.path().join("b.ndjson"), lines.join("\n")).unwrap();
    let imported = dir.ok(&["kpi", "import", "b.ndjson"]);
    assert_eq!((&imported["accepted"], &imported["duplicates"]), (&json!(2), &json!(100)));
    assert_eq!(sum(&dir, "landing_views"), 102);
    // The same events in another form are the same events.
    let array = format!("[\n{}\n]\n", lines.join(",\n"));
    write(dir.path().join("c.json"), array).unwrap();
    assert_eq!(dir.ok(&["kpi", "import", "c.json"])["duplicates"], 102);
}

#[test]
fn an_array_and_files_with_a_byte_order_mark_are_imported_and_errors_have_lines() {
    let dir = TestDir::with_database();
    let array = format!("\u{feff}\n[{},\n {{\"event_name\": 7}},\n{}]\n", event(1), event(2));
    write(dir.path().join("events.json"), array).unwrap();
    let output = dir.run(&["kpi", "import", "events.json"]);
    let answer = output.json();
    assert_eq!((&answer["accepted"], &answer["rejected"]), (&json!(2), &json!(1)));
    assert!(output.stderr.contains("line 3: event_name"), "{}", output.stderr);

    let csv = "\u{feff}event_name,visitor_id\nlanding_view,visitor-9\n";
    write(dir.path().join("events.csv"), csv).unwrap();
    assert_eq!(dir.ok(&["kpi", "import", "events.csv"])["accepted"], 1);
    let lines = format!("\u{feff}{}\n", event(3));
    write(dir.path().join("events.ndjson"), lines).unwrap();
    assert_eq!(dir.ok(&["kpi", "import", "events.ndjson"])["accepted"], 1);

    write(dir.path().join("cut.json"), format!("[{},\n{}", event(4), event(5))).unwrap();
    let output = dir.run(&["kpi", "import", "cut.json"]);
    assert_eq!((output.code, &output.json()["accepted"]), (1, &json!(1)));
    assert!(output.stderr.contains("line 2: the array does not end"), "{}", output.stderr);
    write(dir.path().join("wide.ndjson"), [0xFF, 0xFE, b'{', 0]).unwrap();
    let (code, error) = dir.fails(&["kpi", "import", "wide.ndjson"]);
    assert!(code == 1 && error.contains("UTF-16"), "{error}");
}

#[test]
fn seeded_traffic_is_healthy_and_can_be_removed_without_a_trace() {
    let dir = TestDir::with_database();
    write(dir.path().join("real.ndjson"), event(1).to_string()).unwrap();
    dir.ok(&["kpi", "import", "real.ndjson"]);
    let before = dir.ok(&["kpi", "rollups"])["items"].clone();
    let first = dir.ok(&["kpi", "seed", "--days", "20"]);
    let other = dir.ok(&["kpi", "seed", "--days", "5", "--seed", "7"]);
    let rollups = dir.ok(&["kpi", "rollups"]);
    assert_eq!(rollups["alerts"]["counts"], json!({ "critical": 0, "warning": 0 }), "{rollups}");
    let seeded = first["accepted"].as_i64().unwrap() + other["accepted"].as_i64().unwrap();
    assert_eq!(dir.ok(&["kpi", "seed", "--remove"])["deleted"].as_i64(), Some(seeded));
    assert_eq!(dir.ok(&["kpi", "rollups"])["items"], before);
    assert_eq!(dir.ok(&["kpi", "verify"])["events"], 1);
    assert_eq!(dir.ok(&["kpi", "seed", "--remove"])["deleted"], 0);
    let again = dir.ok(&["kpi", "seed", "--days", "5", "--seed", "7"]);
    assert!(again["accepted"].as_i64() >= other["accepted"].as_i64(), "{again}");
    assert_eq!(again["duplicates"], 0);
    // The mark of a seeded visitor is nothing that a page can send.
    let forged = event(1).to_string().replace("visitor-1", " simops-seed-42");
    write(dir.path().join("forged.ndjson"), forged).unwrap();
    assert_eq!(dir.ok(&["kpi", "import", "forged.ndjson"])["accepted"], 1);
    dir.ok(&["kpi", "seed", "--remove"]);
    assert_eq!(dir.ok(&["kpi", "verify"])["events"], 2);
    let audited = dir.ok(&["audit", "list", "--limit", "10"]);
    let keys: Vec<_> = audited["items"].as_array().unwrap().iter().map(|row| &row["key"]).collect();
    for key in ["KPI_VISITS", "KPI_IMPORT"] {
        assert!(keys.contains(&&json!(key)), "{audited}");
    }
}

#[test]
fn forged_visitors_of_a_day_are_deleted_and_the_sums_are_exact() {
    let dir = TestDir::with_database();
    dir.ok(&["kpi", "seed", "--days", "9", "--visitors", "20"]);
    let before = dir.ok(&["kpi", "rollups"])["items"].clone();
    let day = before[1]["day_key"].as_str().unwrap();
    let forged: String = (0..40)
        .map(|number| {
            let at = format!("{day}T12:00:00Z");
            let (name, id) = ("run_detail_view", format!("forged-{number}"));
            let event = json!({ "event_name": name, "visitor_id": id, "occurred_at": at });
            format!("{event}\n")
        })
        .collect();
    write(dir.path().join("forged.ndjson"), forged).unwrap();
    dir.ok(&["kpi", "import", "forged.ndjson"]);
    let changed = dir.ok(&["kpi", "rollups"])["items"].clone();
    assert_ne!(changed, before);

    let prefix = ["kpi", "delete", "--day", day, "--visitor-prefix", "forged-"];
    let counted = dir.ok(&[&prefix[..], &["--dry-run"]].concat());
    let expected = json!({ "ok": true, "dry_run": true, "found": 40, "deleted": 0 });
    assert_eq!(counted, expected);
    assert_eq!(dir.ok(&["kpi", "rollups"])["items"], changed);
    let two = ["kpi", "delete", "--day", day, "--visitor", "forged-1", "--visitor", "forged-7"];
    assert_eq!(dir.ok(&two)["deleted"], 2);
    assert_eq!(dir.ok(&[&prefix[..], &["--reason", "a script"]].concat())["deleted"], 38);
    assert_eq!(dir.ok(&["kpi", "rollups"])["items"], before);
    assert_eq!(dir.ok(&["kpi", "verify"])["ok"], true);

    let audit = dir.ok(&["audit", "list"])["items"].clone();
    assert_eq!(audit[0]["key"], format!("KPI_VISITS:{day}"));
    assert_eq!((&audit[0]["reason"], &audit[0]["changed_by"]), (&json!("a script"), &json!("ada")));
    assert_eq!(audit[0]["new_value"]["deleted_events"], 38);
    assert_eq!(audit[1]["new_value"]["found_events"], 38);
    assert_eq!(audit[3]["new_value"]["visitors"], json!(["forged-1", "forged-7"]));
    assert_eq!(dir.ok(&prefix)["deleted"], 0, "again");
    assert_eq!(dir.ok(&["audit", "list"])["items"], audit, "nothing was changed");
    let future = ["--day", "2999-01-01", "--visitor", "x"];
    for wrong in
        [&["--day", day][..], &["--visitor", "x"], &["--day", day, "--visitor", " "], &future]
    {
        dir.fails(&[&["kpi", "delete"], wrong].concat());
    }
}

#[test]
fn alerts_follow_the_rules_of_a_file() {
    let dir = TestDir::with_database();
    let events: Vec<_> = (0..50).map(|number| event(number).to_string()).collect();
    write(dir.path().join("events.ndjson"), events.join("\n")).unwrap();
    dir.ok(&["kpi", "import", "events.ndjson"]);
    let critical = |args: &[&str]| {
        let rollups = dir.ok(&[&["kpi", "rollups"], args].concat());
        rollups["alerts"]["counts"]["critical"].clone()
    };
    assert_eq!(critical(&[]), 1, "fifty visitors, no click");
    let rule = "[[rule]]\nmetric = \"landing_to_run_ctr\"\nlabel = \"CTR\"\n\
                warning_floor = 0.12\ncritical_floor = 0.08\nminimum_sample = 1000\n";
    write(dir.path().join("rules.toml"), rule).unwrap();
    assert_eq!(critical(&["--kpi-alert-rules", "rules.toml"]), 0);
    write(dir.path().join("rules.toml"), "[[rule]]\nmetric = 1\n").unwrap();
    let refused = dir.run(&["kpi", "rollups", "--kpi-alert-rules", "rules.toml"]);
    assert_eq!(refused.code, 2);
    assert!(refused.stderr.contains("KPI_ALERT_RULES: rules.toml: line 2"), "{}", refused.stderr);
}

#[test]
fn csv_and_stdin_are_imported_too() {
    let dir = TestDir::with_database();
    let csv = format!(
        "event_name,visitor_id,occurred_at,metadata,event_uid\n\
         run_detail_view,visitor-1,{0},\"{{\"\"a\"\":1}}\",a\n\
         replay_start,visitor-1,{0},,b\n\
         replay_start,visitor-1,{0}\n\
         replay_start,visitor-1,{0},nonsense,c\n",
        ago(1)
    );
    write(dir.path().join("events.csv"), &csv).unwrap();
    let output = dir.run(&["kpi", "import", "events.csv"]);
    let answer = output.json();
    assert_eq!(
        (&answer["accepted"], &answer["rejected"]),
        (&json!(2), &json!(2)),
        "{}",
        output.stderr
    );
    assert!(output.stderr.contains("line 4: has 3 fields"), "{}", output.stderr);
    assert!(output.stderr.contains("line 5: metadata"), "{}", output.stderr);

    let mut command = dir.command(&["kpi", "import", "-", "--format", "csv"]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(csv.as_bytes()).unwrap();
    let output = CliOutput::of(child.wait_with_output().unwrap());
    assert_eq!(output.json()["duplicates"], 2, "an event_uid counts once, whatever it came in");

    let (code, error) = dir.fails(&["kpi", "import", "missing.ndjson"]);
    assert_eq!((code, error.contains("missing.ndjson")), (1, true), "{error}");
    let closed = ["--environment", "production", "kpi", "import", "events.csv"];
    assert!(dir.fails(&closed).1.contains("write controls are disabled"));
}

#[test]
fn seeded_days_are_full_and_the_same_seed_adds_nothing() {
    let dir = TestDir::with_database();
    let seeded = dir.ok(&["kpi", "seed", "--days", "30", "--visitors", "60"]);
    assert!(seeded["accepted"].as_u64().unwrap() > 2_000, "{seeded}");
    let rollups = dir.ok(&["kpi", "rollups", "--days", "30"]);
    let full = &rollups["items"][9];
    for rate in
        ["landing_to_run_ctr", "replay_completion_rate", "d1_retention_rate", "d7_retention_rate"]
    {
        let share = full[rate].as_f64().unwrap();
        assert!(share > 0.0 && share < 1.0, "{rate}: {full}");
        assert!(full["intervals"][rate]["high"].as_f64().unwrap() > share);
    }
    let again = dir.ok(&["kpi", "seed", "--days", "30", "--visitors", "60"]);
    assert_eq!(again["duplicates"].as_u64(), seeded["accepted"].as_u64());
    assert_eq!(dir.ok(&["kpi", "verify"])["ok"], true);
    assert_eq!(dir.fails(&["kpi", "seed", "--days", "91"]).0, 2);
}

#[test]
fn falsified_sums_are_found_and_put_right() {
    let dir = TestDir::with_database();
    dir.ok(&["kpi", "seed", "--days", "3", "--visitors", "20"]);
    dir.tamper("UPDATE kpi_days SET sums = replace(sums, '[', '[9')");
    let output = dir.run(&["kpi", "verify"]);
    assert_eq!((output.code, &output.json()["ok"]), (1, &json!(false)));
    assert!(
        output.stderr.contains("landing_view events") && output.stderr.contains("kpi rebuild"),
        "{}",
        output.stderr
    );
    assert!(!dir.ok(&["kpi", "rebuild"])["repaired"].as_array().unwrap().is_empty());
    assert_eq!(dir.ok(&["kpi", "verify"])["ok"], true);
    let (code, error) = dir.fails(&["alert", "ack", "nonsense"]);
    assert_eq!((code, error.contains("no alert")), (1, true), "{error}");
}

#[test]
fn a_cut_array_names_a_line_from_which_nothing_is_left_out() {
    let dir = TestDir::with_database();
    let events: Vec<_> = (0..5).map(|number| event(number).to_string()).collect();
    // On one line, one per line, and over several lines.
    for (name, separator, from) in [("a", ",", 1), ("b", ",\n", 4), ("c", "\n,\n\n", 10)] {
        let whole = format!("[{}]", events.join(separator));
        let path = format!("{name}.json");
        let cut = whole.rfind("event_name").unwrap();
        write(dir.path().join(&path), &whole[..cut]).unwrap();
        let (code, error) = dir.fails(&["kpi", "import", &path]);
        let hint = format!("--from-line {from}\n");
        assert!(code == 1 && error.contains("does not end") && error.contains(&hint), "{error}");
        write(dir.path().join(&path), &whole).unwrap();
        let from = from.to_string();
        let imported = dir.ok(&["kpi", "import", &path, "--from-line", &from]);
        let is_first = name == "a";
        assert_eq!(imported["accepted"], u64::from(is_first), "{name}: {imported}");
        assert_eq!(imported["ok"], true);
    }
}
