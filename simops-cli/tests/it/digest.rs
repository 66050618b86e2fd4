//! `digest`: drafted, read, published; from a database.

use serde_json::json;
use simops::event::NewEvent;
use simops::store::EventStore;
use simops_sqlite::SqliteStore;

use crate::support::{TestDir, call};

/// A folder whose database has thirty events and six calls on 1 March 2026.
fn busy() -> TestDir {
    let dir = TestDir::with_database();
    let at = "2026-03-01T12:00:00Z";
    dir.record(&(0..6).map(|_| call(at, 1_000)).collect::<Vec<_>>());
    let events: Vec<_> =
        (0..30).map(|_| NewEvent::new("work", "an agent works", at.parse().unwrap())).collect();
    let url = format!("sqlite://{}", dir.path().join("simops.db").display());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        SqliteStore::open(&url).await.unwrap().append(&events).await.unwrap();
    });
    dir
}

#[test]
fn a_digest_is_drafted_once_per_date_and_a_duplicate_on_request() {
    let dir = busy();
    let take = ["digest", "--anchor-date", "2026-03-01"];
    let first = dir.ok(&take);
    assert_eq!((&first["status"], &first["created"]), (&json!("created"), &json!(true)));
    assert_eq!(first["slug"], "weekly-brief-2026-03-01");
    let path = dir.path().join(first["digest_markdown_path"].as_str().unwrap());
    assert_eq!(std::fs::read_to_string(path).unwrap(), first["markdown"].as_str().unwrap());
    assert_eq!(dir.ok(&take)["status"], "existing");
    let another = dir.ok(&[&take[..], &["--allow-duplicate-anchor"]].concat());
    assert_eq!(another["slug"], "weekly-brief-2026-03-01-2");
    assert_eq!(another["markdown"], first["markdown"]);
    let text = dir.run(&[&take[..], &["--print-markdown"]].concat());
    assert_eq!(text.stdout, first["markdown"].as_str().unwrap());
}

#[test]
fn too_little_evidence_is_reported_and_is_no_failure() {
    let dir = busy();
    let answer = dir.ok(&["digest", "--anchor-date", "2026-02-01"]);
    assert_eq!(answer["status"], "insufficient_evidence");
    assert_eq!(answer["evidence_gate"]["observed"], json!({ "total_events": 0, "llm_calls": 0 }));
    let output = dir.run(&["digest", "--anchor-date", "2026-02-01", "--print-markdown"]);
    assert_eq!((output.code, output.stdout.as_str()), (0, ""));
    assert!(output.stderr.contains("Not enough evidence"), "{}", output.stderr);
    // The gate is configurable by flag and by environment.
    let gate = ["digest", "--anchor-date", "2026-03-01", "--archive-weekly-draft-min-events", "31"];
    assert_eq!(dir.ok(&gate)["status"], "insufficient_evidence");
    let mut command = dir.command(&["digest", "--anchor-date", "2026-03-01"]);
    let output = command.env("ARCHIVE_WEEKLY_DRAFT_MIN_LLM_CALLS", "7").output().unwrap();
    assert!(String::from_utf8(output.stdout).unwrap().contains("insufficient_evidence"));
}

#[test]
fn a_draft_is_published_or_discarded_and_the_trail_holds() {
    let dir = busy();
    let slug = "weekly-brief-2026-03-01";
    dir.ok(&["digest", "--anchor-date", "2026-03-01"]);
    let published = dir.ok(&["digest", "publish", slug, "--reason", "checked"]);
    assert_eq!(published["status"], "published");
    let listed = dir.ok(&["digest", "list", "--status", "published"]);
    assert_eq!(listed["items"][0]["slug"], slug);
    assert_eq!(dir.ok(&["digest", "show", slug])["updated_by"], "ada");
    dir.ok(&["digest", "discard", slug]);
    let (code, output) = dir.fails(&["digest", "publish", slug]);
    assert!(code == 1 && output.contains("is discarded"), "{output}");
    let (code, output) = dir.fails(&["digest", "show", "none"]);
    assert!(code == 1 && output.contains("there is no digest none"), "{output}");
    assert_eq!(dir.ok(&["audit", "verify"])["ok"], true);
    let closed = ["--environment", "production", "digest"];
    let (code, output) = dir.fails(&closed);
    assert!(code == 1 && output.contains("write controls are disabled"), "{output}");
}
