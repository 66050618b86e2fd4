//! Digests, and reports of runs.

use std::sync::Arc;

use jiff::civil::Date;
use serde_json::json;

use super::samples::{at, commit, commit_run, day, run};
use super::{joined, present};
use crate::Result;
use crate::digest::{
    Digest, DigestStatus, EvidenceCheck, EvidenceCounts, Requirements, Verification,
};
use crate::run::EndedBy;
use crate::store::{RunStore, StoredReport};

fn draft(slug: &str, anchor_date: Date, status: DigestStatus) -> Digest {
    Digest {
        runs: None,
        slug: slug.to_owned(),
        anchor_date,
        lookback_days: 7,
        status,
        evidence_gate: Some(EvidenceCheck::evaluate(
            Requirements::default(),
            EvidenceCounts::default(),
        )),
        title: "Weekly brief \u{1f4f0}".to_owned(),
        evidence_run_id: Some("run".to_owned()),
        verification: Verification::Partial,
        template_version: "v1".to_owned(),
        markdown: "# A 'quoted' text\n\n- Claim: …\n".to_owned(),
        created_at: at(0),
        created_by: "ada".to_owned(),
        updated_at: at(1),
        updated_by: "bob".to_owned(),
    }
}

/// A digest is stored with its commit, in all fields, or not at all.
pub async fn a_digest_is_stored_by_its_commit(store: Arc<dyn RunStore>) -> Result<()> {
    let kept = draft("a", day(), DigestStatus::Draft);
    let change = commit(&*store, |change| change.digest = Some(kept.clone())).await?;
    assert_eq!(store.digest("a").await?, Some(kept.clone()));
    assert_eq!(store.digest("b").await?, None);
    // The same commit again conflicts, and its digest is not stored.
    let mut late = change;
    late.digest = Some(draft("b", day(), DigestStatus::Draft));
    store.commit(&late, None).await?;
    assert_eq!(store.digest("b").await?, None);
    let moved = Digest { status: DigestStatus::Published, ..kept };
    commit(&*store, |change| change.digest = Some(moved.clone())).await?;
    assert_eq!(store.digest("a").await?, Some(moved));
    Ok(())
}

/// Digests of a date are listed in the order of creation; pages are newest first, for any or one status.
pub async fn digests_are_listed_by_date_and_status(store: Arc<dyn RunStore>) -> Result<()> {
    let yesterday = day().yesterday().unwrap_or(day());
    for (slug, anchor, status) in [
        ("one", day(), DigestStatus::Draft),
        ("two", yesterday, DigestStatus::Published),
        ("three", day(), DigestStatus::Draft),
    ] {
        commit(&*store, |change| change.digest = Some(draft(slug, anchor, status))).await?;
    }
    let discarded = draft("one", day(), DigestStatus::Discarded);
    commit(&*store, |change| change.digest = Some(discarded)).await?;
    let names = |drafts: Vec<Digest>| -> Vec<String> {
        drafts.into_iter().map(|draft| draft.slug).collect()
    };
    assert_eq!(names(store.digests_of(day()).await?), ["one", "three"]);
    assert_eq!(names(store.digests_of(yesterday).await?), ["two"]);
    let page = store.digests(None, None, 2).await?;
    let rest = store.digests(None, Some(present(page.next)?), 2).await?;
    assert_eq!(names(page.items), ["three", "two"]);
    assert_eq!((names(rest.items), rest.next), (vec!["one".to_owned()], None));
    for (status, expected) in [
        (DigestStatus::Draft, ["three"]),
        (DigestStatus::Published, ["two"]),
        (DigestStatus::Discarded, ["one"]),
    ] {
        assert_eq!(names(store.digests(Some(status), None, 10).await?.items), expected);
    }
    Ok(())
}

fn report(run_id: &str, ended: i64, text: &str) -> StoredReport {
    StoredReport {
        run_id: run_id.to_owned(),
        ended_at: at(ended),
        body: json!({ "text": text, "list": [1, 0.1, null] }),
        created_at: at(ended + 1),
    }
}

/// One report is stored per end of a run, also with concurrent writers; the first one stays.
pub async fn a_report_is_stored_once_per_end(store: Arc<dyn RunStore>) -> Result<()> {
    let first = report("run", 1, "first");
    assert!(store.put_report(&first).await?);
    assert!(!store.put_report(&report("run", 1, "second")).await?);
    assert_eq!(store.report_of("run", at(1)).await?, Some(first));
    assert_eq!(store.report_of("run", at(2)).await?, None);
    assert_eq!(store.report_of("other", at(1)).await?, None);
    store.put_report(&report("run", 0, "of an earlier end, written later")).await?;
    store.put_report(&report("other", 5, "of another run")).await?;
    assert_eq!(store.report_ends("run").await?, [at(0), at(1)]);
    assert_eq!(store.report_ends("none").await?, []);
    let writers = (0..8).map(|writer| {
        let store = Arc::clone(&store);
        let report = report("run", 2, &writer.to_string());
        tokio::spawn(async move { store.put_report(&report).await })
    });
    let mut stored = 0;
    for writer in writers.collect::<Vec<_>>() {
        stored += i32::from(joined(writer).await??);
    }
    assert_eq!(stored, 1);
    Ok(())
}

/// Ended runs without a report of that end are listed, oldest end first.
pub async fn runs_without_a_report_are_found(store: Arc<dyn RunStore>) -> Result<()> {
    for (name, ended) in [("a", 30), ("b", 10), ("c", 20)] {
        commit_run(&*store, &run(name).ended(at(ended), EndedBy::Operator, "done")).await?;
    }
    commit_run(&*store, &run("open")).await?;
    let missing = async |limit| -> Result<Vec<String>> {
        let runs = store.runs_without_report(limit).await?;
        Ok(runs.into_iter().map(|run| run.run_id).collect())
    };
    assert_eq!(missing(10).await?, ["b", "c", "a"]);
    assert_eq!(missing(1).await?, ["b"]);
    store.put_report(&report("c", 20, "")).await?;
    // This report belongs to another end than the one in the registry.
    store.put_report(&report("b", 5, "")).await?;
    assert_eq!(missing(10).await?, ["b", "a"]);
    Ok(())
}
