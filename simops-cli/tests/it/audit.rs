//! The audit trail: it verifies, and it does not once somebody has been at it.

use serde_json::Value;

use crate::support::Place;

fn with_a_trail() -> Place {
    let place = Place::with_database();
    for delay in ["AGENT_LOOP_DELAY_SECONDS=100", "AGENT_LOOP_DELAY_SECONDS=200"] {
        place.ok(&["config", "set", delay]);
    }
    place
}

fn head(verified: &Value) -> String {
    let head = &verified["head"];
    format!("{}:{}", head["id"], head["hash"].as_str().unwrap())
}

fn does_not_hold(place: &Place, args: &[&str]) -> String {
    let said = place.run(&[&["audit", "verify"], args].concat());
    assert_eq!(said.code, 1, "{}", said.stdout);
    assert_eq!(said.json()["ok"], false);
    assert!(said.stderr.starts_with("error: the audit trail does not hold: "), "{}", said.stderr);
    said.stderr
}

#[test]
fn a_trail_verifies_and_extends_a_head_noted_earlier() {
    let place = with_a_trail();
    let verified = place.ok(&["audit", "verify"]);
    assert_eq!((&verified["ok"], &verified["rows"]), (&true.into(), &2.into()));
    let noted = head(&verified);
    place.ok(&["config", "set", "AGENT_LOOP_DELAY_SECONDS=300"]);
    assert_eq!(place.ok(&["audit", "verify", "--head", &noted])["rows"], 3);
}

#[test]
fn an_empty_trail_verifies() {
    assert_eq!(Place::with_database().ok(&["audit", "verify"])["rows"], 0);
}

#[test]
fn an_edited_row_is_found() {
    let place = with_a_trail();
    place.tamper("UPDATE audit SET changed_by = 'nobody' WHERE id = 1");
    assert!(does_not_hold(&place, &[]).contains("row 1"));
}

#[test]
fn rows_cut_off_with_the_state_are_found_by_a_head_noted_earlier() {
    let place = with_a_trail();
    let noted = head(&place.ok(&["audit", "verify"]));
    place.tamper("DELETE FROM audit WHERE id = 2");
    assert!(does_not_hold(&place, &[]).contains("cut off"));
    place.tamper(
        "UPDATE control SET audit_head_id = 1,
         audit_head_hash = (SELECT hash FROM audit WHERE id = 1)",
    );
    assert_eq!(place.ok(&["audit", "verify"])["rows"], 1, "the file alone cannot tell");
    assert!(does_not_hold(&place, &["--head", &noted]).contains("row 2 was remembered"));
}

#[test]
fn a_head_with_another_hash_does_not_hold() {
    let place = with_a_trail();
    let wrong = format!("1:{}", "0".repeat(64));
    assert!(does_not_hold(&place, &["--head", &wrong]).contains("row 1 has another hash"));
}
