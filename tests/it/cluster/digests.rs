//! The weekly digest, by two servers at the same minute.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use simops_tests::clock::clock;
use simops_tests::postgres::PostgresServer;
use simops_tests::{Server, eventually};

use super::server;

/// Some seconds before the schedule's default moment: Monday, 15:00.
const BEFORE_THE_SLOT: &str = "@2026-03-02 14:59:35";
const SLUG: &str = "weekly-brief-2026-03-02";

async fn slugs(server: &Server) -> Vec<String> {
    let digests = server.client.get("digests").await.ok();
    let items = digests["items"].as_array().unwrap().iter();
    items.map(|digest| digest["slug"].as_str().unwrap().to_owned()).collect()
}

async fn until_drafted(server: &Server) {
    eventually("the digest of the week", async || {
        slugs(server).await.contains(&SLUG.to_owned()).then_some(())
    })
    .await;
}

/// Audit rows that tell of a digest.
async fn drafts(server: &Server) -> usize {
    let audit = server.client.get("audit?limit=500").await.ok();
    let rows = audit["items"].as_array().unwrap().iter();
    rows.filter(|row| row["key"].as_str().unwrap().starts_with("DIGEST:")).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_at_the_slot_draft_one_digest_and_one_for_each_duplicate_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let database = PostgresServer::shared().database();
    let builder = server(dir.path(), &database.url())
        .env("ARCHIVE_WEEKLY_DRAFT_MIN_EVENTS", "0")
        .env("ARCHIVE_WEEKLY_DRAFT_MIN_LLM_CALLS", "0");
    let builder = clock(BEFORE_THE_SLOT)
        .iter()
        .fold(builder, |builder, (name, value)| builder.env(name, value));
    let (one, other) = tokio::join!(builder.start(), builder.start());
    let now = one.client.get("status").await.ok()["server_time_utc"].to_string();
    assert!(now.starts_with("\"2026-03-02T14:59:"), "the slot has passed: {now}");
    assert!(slugs(&one).await.is_empty());
    until_drafted(&one).await;
    until_drafted(&other).await;
    let fence = || database.sql("SELECT fence FROM duties WHERE duty = 'weekly_digest'");
    let had = fence();

    // To those who come after a power cut the moment comes once more.
    tokio::join!(one.kill(), other.kill());
    let (one, other) = tokio::join!(builder.start(), builder.start());
    eventually("the timers move, and the slot is over", async || {
        let status = one.client.get("status").await.ok();
        let now = status["server_time_utc"].as_str()?;
        (fence() != had && now > "2026-03-02T15:00:05").then_some(())
    })
    .await;
    for server in [&one, &other] {
        assert_eq!((slugs(server).await, drafts(server).await), (vec![SLUG.to_owned()], 1));
    }

    // Asked for at once, on both: the one there is, and a duplicate each.
    let ask = async |server: &Server, allow: bool| -> Value {
        let body = json!({ "anchor_date": "2026-03-02", "allow_duplicate_anchor": allow });
        server.client.post("digest", &body).await.ok()
    };
    let (first, second) = tokio::join!(ask(&one, false), ask(&other, false));
    assert_eq!((&first["status"], &second["status"]), (&json!("existing"), &json!("existing")));
    for _ in 0..3 {
        tokio::join!(ask(&one, true), ask(&other, true));
    }
    let wanted = (2..=7).map(|n| format!("{SLUG}-{n}")).chain([SLUG.to_owned()]);
    let found: BTreeSet<_> = slugs(&other).await.into_iter().collect();
    assert_eq!(found, wanted.collect());
    assert_eq!(drafts(&one).await, 7);
}
