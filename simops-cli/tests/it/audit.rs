//! The audit trail verifies, and does not once it was changed.

use serde_json::Value;

use crate::support::TestDir;

fn with_a_trail() -> TestDir {
    let dir = TestDir::with_database();
    for delay in ["AGENT_LOOP_DELAY_SECONDS=100", "AGENT_LOOP_DELAY_SECONDS=200"] {
        dir.ok(&["config", "set", delay]);
    }
    dir
}

fn head(verified: &Value) -> String {
    let head = &verified["head"];
    format!("{}:{}", head["id"], head["hash"].as_str().unwrap())
}

fn does_not_hold(dir: &TestDir, args: &[&str]) -> String {
    let output = dir.run(&[&["audit", "verify"], args].concat());
    assert_eq!(output.code, 1, "{}", output.stdout);
    assert_eq!(output.json()["ok"], false);
    assert!(
        output.stderr.starts_with("error: the audit trail does not hold: "),
        "{}",
        output.stderr
    );
    output.stderr
}

#[test]
fn a_trail_verifies_and_extends_a_head_noted_earlier() {
    let dir = with_a_trail();
    let verified = dir.ok(&["audit", "verify"]);
    assert_eq!((&verified["ok"], &verified["rows"]), (&true.into(), &2.into()));
    let noted = head(&verified);
    dir.ok(&["config", "set", "AGENT_LOOP_DELAY_SECONDS=300"]);
    assert_eq!(dir.ok(&["audit", "verify", "--head", &noted])["rows"], 3);
}

#[test]
fn an_empty_trail_verifies() {
    assert_eq!(TestDir::with_database().ok(&["audit", "verify"])["rows"], 0);
}

#[test]
fn an_edited_row_is_found() {
    let dir = with_a_trail();
    dir.tamper("UPDATE audit SET changed_by = 'mallory' WHERE id = 1");
    assert!(does_not_hold(&dir, &[]).contains("row 1"));
}

#[test]
fn rows_cut_off_with_the_state_are_found_by_a_head_noted_earlier() {
    let dir = with_a_trail();
    let noted = head(&dir.ok(&["audit", "verify"]));
    dir.tamper("DELETE FROM audit WHERE id = 2");
    assert!(does_not_hold(&dir, &[]).contains("cut off"));
    dir.tamper(
        "UPDATE control SET audit_head_id = 1,
         audit_head_hash = (SELECT hash FROM audit WHERE id = 1)",
    );
    assert_eq!(dir.ok(&["audit", "verify"])["rows"], 1, "the file alone cannot tell");
    assert!(does_not_hold(&dir, &["--head", &noted]).contains("row 2 was remembered"));
}

#[test]
fn a_head_with_another_hash_does_not_hold() {
    let dir = with_a_trail();
    let wrong = format!("1:{}", "0".repeat(64));
    assert!(does_not_hold(&dir, &["--head", &wrong]).contains("row 1 has another hash"));
}
