//! Digests: the locked template, what a digest is made from, and the changes of its status.

use std::sync::Arc;

use jiff::Timestamp;
use jiff::civil::date;
use jiff::tz::TimeZone;
use serde_json::json;
use simops::control::Environment;
use simops::digest::{Brief, DigestStatus, EvidenceCounts};
use simops::event::{NewEvent, RuntimeMode, kind};
use simops::ops::{Caller, DigestOptions, Ops, OpsOptions, StartRun, StopRun};
use simops::run::RunSelection;
use simops::store::{EventStore, RunStore, UsageStore};
use simops::testing::{ManualClock, MemoryStore};
use simops::usage::{NanoUsd, UsageRow};
use simops::{Clock, ErrorKind};
use uuid::Uuid;

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// A store with a run of ten model calls and events of every kind on 25 February 2026.
struct Scene {
    store: Arc<MemoryStore>,
    clock: Arc<ManualClock>,
    ops: Ops,
}

impl Scene {
    async fn new() -> Self {
        let store = Arc::new(MemoryStore::new());
        let clock = Arc::new(ManualClock::at(time("2026-02-25T12:00:00Z")));
        let ops = ops(Arc::clone(&store), Arc::clone(&clock), Environment::Development);
        let scene = Self { store, clock, ops };
        let start = StartRun {
            mode: Some("test".to_owned()),
            run_id: Some("r1".to_owned()),
            condition_name: Some("control".to_owned()),
            ..StartRun::default()
        };
        scene.ops.writer(&ada()).await.unwrap().start_run(&start).await.unwrap();
        scene.fill().await;
        scene
    }

    async fn fill(&self) {
        let now = self.clock.now();
        let event = |event_type: &str, category: &str| {
            NewEvent::new(event_type, "", now).in_run(Some("r1")).with("category", category)
        };
        let mut events: Vec<_> = (0..30_i64)
            .map(|n| event("work", "economy").of_agent(n % 3).as_action(RuntimeMode::Checkpoint))
            .collect();
        let proposal = NewEvent {
            description: "Agent 1 proposes \"<b>[free](http://x)</b>\".\n## Fake".to_owned(),
            ..event(kind::PROPOSAL_CREATED, "governance")
        };
        events.push(proposal.of_agent(1).as_action(RuntimeMode::Checkpoint));
        events.push(event(kind::VOTE_CAST, "").of_agent(2).as_action(RuntimeMode::Checkpoint));
        events.push(event("gift", "cooperation").of_agent(2).as_action(RuntimeMode::Checkpoint));
        events.push(event("sanction", "conflict").with("enforcement", true));
        events.push(event("agent_died", "survival").of_agent(7));
        let inventories = json!([{ "agent_id": 1, "food": 3 }, { "agent_id": 2, "food": 1 }]);
        events.push(event(kind::INVENTORY_SNAPSHOT, "time").with("inventories", inventories));
        self.store.append(&events).await.unwrap();
        let calls: Vec<_> = (0..10).map(|n| call(now, n != 0)).collect();
        self.store.record_usage(&calls).await.unwrap();
    }

    /// The same store where operators may write.
    fn writable(&self) -> Ops {
        ops(Arc::clone(&self.store), Arc::clone(&self.clock), Environment::Development)
    }

    async fn digest(&self, options: DigestOptions) -> simops::ops::DigestResponse {
        self.ops.writer(&ada()).await.unwrap().create_digest(&options).await.unwrap()
    }
}

fn ops(store: Arc<MemoryStore>, clock: Arc<ManualClock>, environment: Environment) -> Ops {
    let folder = std::env::temp_dir().join(format!("simops-digest-{}", Uuid::now_v7()));
    let options = OpsOptions { output_folder: folder, ..OpsOptions::of(environment) };
    Ops::new(store, clock, options)
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.ops.options().output_folder);
    }
}

fn ada() -> Caller {
    Caller { actor: "ada".to_owned(), ..Caller::default() }
}

fn call(at: Timestamp, success: bool) -> UsageRow {
    UsageRow {
        id: Uuid::now_v7(),
        day: TimeZone::UTC.to_datetime(at).date(),
        run_id: Some("r1".to_owned()),
        agent_id: None,
        checkpoint: None,
        provider: "groq".to_owned(),
        model_requested: "m".to_owned(),
        model_resolved: None,
        input_tokens: 10,
        cached_input_tokens: 0,
        output_tokens: 5,
        reasoning_tokens: 0,
        cost: NanoUsd(1_000_000),
        priced: true,
        success,
        sent: true,
        over_reservation: false,
        fallback_used: false,
        latency_ms: 1,
        error_type: (!success).then(|| "timeout".to_owned()),
        created_at: at,
    }
}

fn anchored(date: &str) -> DigestOptions {
    DigestOptions { anchor_date: Some(date.to_owned()), ..DigestOptions::default() }
}

/// Changing this text takes a new `TEMPLATE_VERSION`.
const LOCKED: &str = include_str!("weekly-brief-v2.md");

#[tokio::test]
async fn the_template_is_locked_to_its_version() {
    let scene = Scene::new().await;
    let answer = scene.digest(anchored("2026-02-26")).await;
    assert_eq!(answer.digest_template_version, "weekly-brief-v2");
    let markdown = answer.markdown.unwrap();
    assert_eq!(markdown, LOCKED, "\n{markdown}");
}

#[tokio::test]
async fn the_same_date_and_records_give_the_same_text_to_the_byte() {
    let scene = Scene::new().await;
    let first = scene.digest(anchored("2026-02-26")).await;
    assert_eq!((first.status.as_str(), first.created), ("created", true));
    // Time passes, things happen after the anchor date, the digest itself is published.
    scene.clock.set(time("2026-03-20T00:00:00Z"));
    scene.fill().await;
    scene.ops.writer(&ada()).await.unwrap().stop_run(&StopRun::default()).await.unwrap();
    scene
        .ops
        .writer(&ada())
        .await
        .unwrap()
        .set_digest_status(&first.slug, DigestStatus::Published, None)
        .await
        .unwrap();
    let again = scene.digest(anchored("2026-02-26")).await;
    assert_eq!((again.status.as_str(), again.created), ("existing", false));
    assert_eq!(again.draft_status, Some(DigestStatus::Published));
    let options = DigestOptions { allow_duplicate_anchor: Some(true), ..anchored("2026-02-26") };
    let another = scene.digest(options).await;
    assert_eq!(another.slug, "weekly-brief-2026-02-26-2");
    assert_eq!(another.markdown, first.markdown);
    let path = another.digest_markdown_path.unwrap();
    assert_eq!(std::fs::read_to_string(path).unwrap(), first.markdown.unwrap());
}

#[tokio::test]
async fn too_little_evidence_drafts_nothing() {
    let scene = Scene::new().await;
    let answer = scene.digest(anchored("2026-02-24")).await;
    assert_eq!((answer.status.as_str(), answer.created), ("insufficient_evidence", false));
    assert_eq!(answer.evidence_gate.observed, EvidenceCounts::default());
    assert_eq!((answer.markdown, answer.digest_markdown_path), (None, None));
    assert_eq!(scene.ops.digests(None, 10, None).await.unwrap().items, []);
}

#[tokio::test]
async fn a_digest_of_events_alone_is_unverified_and_needs_a_lower_gate() {
    let scene = Scene::new().await;
    let evidence =
        scene.ops.evidence(date(2026, 2, 25), 7, &RunSelection::default()).await.unwrap();
    assert_eq!(evidence.verification.as_str(), "verified");
    let store = Arc::new(MemoryStore::new());
    let quiet = ops(store, Arc::clone(&scene.clock), Environment::Development);
    let evidence = quiet.evidence(date(2026, 2, 25), 7, &RunSelection::default()).await.unwrap();
    assert_eq!((evidence.verification.as_str(), evidence.run.clone()), ("unverified", None));
    // Every claim has a link even when there is nothing.
    for section in Brief::of(&evidence).unwrap().sections {
        assert!(!section.claims.is_empty(), "{}", section.heading);
        assert!(section.claims.iter().all(|claim| !claim.evidence.is_empty()));
    }
}

#[tokio::test]
async fn a_discarded_digest_is_final_and_makes_room_for_another() {
    let scene = Scene::new().await;
    let first = scene.digest(anchored("2026-02-26")).await;
    let moved = async |slug: &str, to| {
        scene.ops.writer(&ada()).await.unwrap().set_digest_status(slug, to, Some("why")).await
    };
    let discarded = moved(&first.slug, DigestStatus::Discarded).await.unwrap();
    assert_eq!(discarded.status, DigestStatus::Discarded);
    let refused = moved(&first.slug, DigestStatus::Published).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    let second = scene.digest(anchored("2026-02-26")).await;
    assert_eq!((second.slug.as_str(), second.created), ("weekly-brief-2026-02-26-2", true));
    moved(&second.slug, DigestStatus::Published).await.unwrap();
    let unknown = moved("none", DigestStatus::Published).await.unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::NotFound);

    let audit = scene.ops.audit(10, 0).await.unwrap();
    let rows: Vec<_> = audit
        .items
        .iter()
        .filter(|row| row.key.starts_with("DIGEST:"))
        .map(|row| (row.key.as_str(), row.old_value.clone(), row.new_value.clone()))
        .collect();
    let second_key = "DIGEST:weekly-brief-2026-02-26-2";
    assert_eq!(
        rows,
        [
            (second_key, json!("draft"), json!("published")),
            (second_key, json!(null), json!("draft")),
            ("DIGEST:weekly-brief-2026-02-26", json!("draft"), json!("discarded")),
            ("DIGEST:weekly-brief-2026-02-26", json!(null), json!("draft")),
        ]
    );
    assert!(scene.ops.verify_audit(None).await.unwrap().ok);
    // Asked for twice, a change is one.
    moved(&second.slug, DigestStatus::Published).await.unwrap();
    assert_eq!(scene.ops.audit(10, 0).await.unwrap().count, audit.count);
}

#[tokio::test]
async fn the_schedule_drafts_once_even_where_operators_may_not_write() {
    let scene = Scene::new().await;
    // The Monday after.
    scene.clock.set(time("2026-03-02T15:00:00Z"));
    let production =
        ops(Arc::clone(&scene.store), Arc::clone(&scene.clock), Environment::Production);
    let drafted = production.system().scheduled_digest().await.unwrap().unwrap();
    assert_eq!((drafted.slug.as_str(), drafted.created), ("weekly-brief-2026-03-02", true));
    let _ = std::fs::remove_dir_all(&production.options().output_folder);
    let refused = production.writer(&ada()).await.map(drop).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Forbidden);
    // What was discarded does not come back by itself.
    scene
        .ops
        .writer(&ada())
        .await
        .unwrap()
        .set_digest_status(&drafted.slug, DigestStatus::Discarded, None)
        .await
        .unwrap();
    assert_eq!(scene.ops.system().scheduled_digest().await.unwrap(), None);
}

#[tokio::test]
async fn of_many_that_draft_at_once_one_does() {
    let scene = Scene::new().await;
    scene.clock.set(time("2026-03-02T15:00:00Z"));
    let replicas: Vec<_> = (0..8)
        .map(|_| ops(Arc::clone(&scene.store), Arc::clone(&scene.clock), Environment::Production))
        .collect();
    let drafted = futures_util::future::join_all(replicas.iter().map(|ops| async {
        let answer = ops.system().scheduled_digest().await.unwrap();
        let _ = std::fs::remove_dir_all(&ops.options().output_folder);
        answer.is_some_and(|answer| answer.created)
    }));
    let created = drafted.await.into_iter().filter(|created| *created).count();
    assert_eq!(created, 1);
    let store: Arc<dyn RunStore> = Arc::clone(&scene.store) as _;
    assert_eq!(store.digests_of(date(2026, 3, 2)).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_scheduled_digest_without_evidence_leaves_one_row_until_there_is_evidence() {
    let (store, clock) = (Arc::new(MemoryStore::new()), Arc::new(ManualClock::default()));
    clock.set(time("2026-03-02T15:00:00Z"));
    let ops = ops(Arc::clone(&store), Arc::clone(&clock), Environment::Production);
    let scene = Scene { store, clock, ops };
    for _ in 0..3 {
        let answer = scene.ops.system().scheduled_digest().await.unwrap().unwrap();
        assert_eq!((answer.status.as_str(), answer.created), ("insufficient_evidence", false));
        scene.clock.advance(jiff::SignedDuration::from_mins(1));
    }
    let listed = scene.ops.digests(Some("insufficient_evidence"), 50, None).await.unwrap().items;
    assert_eq!(listed.len(), 1);
    let skipped = &listed[0];
    assert_eq!(skipped.slug, "weekly-brief-2026-03-02");
    assert_eq!(skipped.created_by, "system:weekly_digest");
    let evidence = skipped.evidence_gate.clone().unwrap();
    assert_eq!((evidence.requirements.min_events, evidence.observed.total_events), (25, 0));
    assert_eq!((evidence.requirements.min_llm_calls, evidence.observed.llm_calls), (5, 0));
    let audited = async || {
        let rows = scene.ops.audit(50, 0).await.unwrap().items.into_iter();
        let rows = rows.filter(|row| row.key == "DIGEST:weekly-brief-2026-03-02");
        rows.map(|row| (row.old_value, row.new_value)).collect::<Vec<_>>()
    };
    assert_eq!(audited().await, [(json!(null), json!("insufficient_evidence"))]);
    // It has no text to publish.
    let writable = scene.writable();
    let publish = writable.writer(&ada()).await.unwrap();
    let publish = publish.set_digest_status(&skipped.slug, DigestStatus::Published, None).await;
    assert_eq!(publish.unwrap_err().kind(), ErrorKind::Conflict);

    scene.clock.set(time("2026-03-01T12:00:00Z"));
    scene.fill().await;
    scene.clock.set(time("2026-03-02T15:05:00Z"));
    let answer = scene.ops.system().scheduled_digest().await.unwrap().unwrap();
    assert_eq!((answer.slug.as_str(), answer.created), ("weekly-brief-2026-03-02", true));
    assert_eq!(scene.ops.digests(None, 50, None).await.unwrap().items.len(), 1);
    assert_eq!(audited().await[0], (json!("insufficient_evidence"), json!("draft")));
    assert_eq!(scene.ops.system().scheduled_digest().await.unwrap(), None);
}
