//! Baselines, digests and reports of some runs: by run, group and labels.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use simops::control::{Environment, HostReport, HostState};
use simops::digest::EvidenceCounts;
use simops::event::{NewEvent, RuntimeMode, kind};
use simops::ops::{
    BaselineOptions, Caller, DigestOptions, MAX_SELECTED_RUNS, Ops, OpsOptions, RunBody, StartRun,
    StopRun,
};
use simops::progress::NO_PROGRESS;
use simops::run::{Labels, RunSelection};
use simops::store::{EventStore, HostStore, UsageStore, WorldStore};
use simops::testing::{ManualClock, MemoryStore};
use simops::usage::{NanoUsd, UsageRow};
use simops::{Clock, ErrorKind};
use uuid::Uuid;

struct Scene {
    store: Arc<MemoryStore>,
    clock: Arc<ManualClock>,
    ops: Ops,
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.ops.options().output_folder);
    }
}

fn ada() -> Caller {
    Caller { actor: "ada".to_owned(), ..Caller::default() }
}

fn labels(all: &[(&str, &str)]) -> Labels {
    all.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn group(group_id: &str, all: &[(&str, &str)]) -> RunSelection {
    RunSelection { group_id: Some(group_id.to_owned()), labels: labels(all), run_id: None }
}

impl Scene {
    fn new() -> Self {
        let store = Arc::new(MemoryStore::new());
        let clock = Arc::new(ManualClock::at("2026-03-01T12:00:00Z".parse().unwrap()));
        let folder = std::env::temp_dir().join(format!("simops-selection-{}", Uuid::now_v7()));
        let options =
            OpsOptions { output_folder: folder, ..OpsOptions::of(Environment::Development) };
        let ops = Ops::new(Arc::clone(&store) as _, Arc::clone(&clock) as _, options);
        Self { store, clock, ops }
    }

    /// A run of a foreign host, so that several can be open.
    async fn start(&self, run_id: &str, group_id: &str, condition: &str, seed: &str) {
        let start = StartRun {
            mode: Some("test".to_owned()),
            host: Some("gateway".to_owned()),
            run_id: Some(run_id.to_owned()),
            group_id: Some(group_id.to_owned()),
            condition_name: Some(condition.to_owned()),
            labels: Some(labels(&[("seed", seed)])),
            ..StartRun::default()
        };
        self.ops.writer(&ada()).await.unwrap().start_run(&start).await.unwrap();
    }

    async fn stop(&self, run_id: &str) {
        let stop = StopRun { run_id: Some(run_id.to_owned()), ..StopRun::default() };
        self.ops.writer(&ada()).await.unwrap().stop_run(&stop).await.unwrap();
    }

    /// `actions` actions of agent 1, a vote of agents 1 and 2 for two proposals each, an inventory, and
    /// `calls` calls of a tenth of a cent, of which the first failed.
    async fn act(&self, run_id: &str, actions: usize, calls: usize) {
        let now = self.clock.now();
        let event = |kind: &str| NewEvent::new(kind, "", now).in_run(Some(run_id));
        let action = |kind: &str| event(kind).as_action(RuntimeMode::Checkpoint);
        let mut events: Vec<_> = (0..actions).map(|_| action("work").of_agent(1)).collect();
        for (agent, proposal) in [(1, 1), (1, 2), (2, 1), (2, 2)] {
            let vote = action(kind::VOTE_CAST).of_agent(agent);
            events.push(vote.with("proposal_id", proposal).with("vote", "for"));
        }
        let owned = json!([{ "agent_id": 1, "food": 3 }, { "agent_id": 2, "food": 1 }]);
        events.push(event(kind::INVENTORY_SNAPSHOT).with("inventories", owned));
        self.store.append(&events).await.unwrap();
        let calls: Vec<_> = (0..calls).map(|n| call(run_id, now, n != 0)).collect();
        self.store.record_usage(&calls).await.unwrap();
    }

    async fn two_groups() -> Self {
        let scene = Self::new();
        scene.start("a1", "a", "warm", "1").await;
        scene.start("a2", "a", "cold", "2").await;
        scene.start("b1", "b", "warm", "1").await;
        scene.clock.advance(SignedDuration::from_mins(10));
        scene.act("a1", 6, 2).await;
        scene.act("a2", 2, 4).await;
        scene.act("b1", 90, 30).await;
        scene
    }
}

fn call(run_id: &str, at: Timestamp, success: bool) -> UsageRow {
    UsageRow {
        id: Uuid::now_v7(),
        day: jiff::tz::TimeZone::UTC.to_datetime(at).date(),
        run_id: Some(run_id.to_owned()),
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

fn baseline_of(selection: RunSelection) -> BaselineOptions {
    let RunSelection { run_id, group_id, labels } = selection;
    BaselineOptions { windows: Some(2), run_id, group_id, labels, ..BaselineOptions::default() }
}

fn digest_of(selection: RunSelection) -> DigestOptions {
    let RunSelection { run_id, group_id, labels } = selection;
    DigestOptions { run_id, group_id, labels, ..DigestOptions::default() }
}

#[tokio::test]
async fn a_baseline_of_a_group_counts_its_runs_only_and_their_agents_apart() {
    let scene = Scene::two_groups().await;
    let take = async |options| scene.ops.baseline(&options, NO_PROGRESS).await.unwrap();
    let of_group = take(baseline_of(group("a", &[]))).await;
    let runs = of_group.baseline.runs.clone().unwrap();
    assert_eq!((runs.of.selected, runs.of.open), (2, 2));
    assert_eq!((runs.llm.calls, runs.llm.cost), (6, NanoUsd(6_000_000)));
    let failures = of_group.baseline.provider_failure_window;
    assert_eq!((failures.total, failures.failures), (6, 2));
    let row = of_group.metrics.latest_window.clone().unwrap();
    // 6 + 2 actions of work, and four votes in each run.
    assert_eq!(row.total_actions, 16);
    // Agent 1 of the first run took 8 of 16 actions, and is not agent 1 of the second.
    assert_eq!(row.top_agent_share, Some(0.5));
    let society = &of_group.metrics.emergence_metrics_latest_window;
    assert_eq!((society.living_agents, society.governance_participants), (Some(4), 4));
    assert_eq!(society.governance_participation_rate, Some(1.0));
    assert_eq!(society.coalition_edges, 2);
    assert_eq!(of_group.metrics.resource_concentration_now.resource_totals["food"], 8.0);

    let of_label = take(baseline_of(group("a", &[("seed", "2")]))).await;
    assert_eq!(of_label.metrics.latest_window.unwrap().total_actions, 6);
    let run = RunSelection { run_id: Some("b1".to_owned()), ..RunSelection::default() };
    let of_run = take(baseline_of(run)).await;
    assert_eq!(of_run.metrics.latest_window.unwrap().total_actions, 94);
    let of_all = take(baseline_of(RunSelection::default())).await;
    assert_eq!(of_all.baseline.runs, None);
    assert_eq!(of_all.metrics.latest_window.unwrap().total_actions, 110);
    assert_eq!(of_all.baseline.provider_failure_window.total, 36);
}

#[tokio::test]
async fn the_windows_of_runs_that_have_ended_end_with_the_last_of_them() {
    let scene = Scene::two_groups().await;
    for run_id in ["a1", "a2"] {
        scene.clock.advance(SignedDuration::from_mins(1));
        scene.stop(run_id).await;
    }
    let ended = scene.clock.now();
    scene.clock.advance(SignedDuration::from_hours(90));
    let options = baseline_of(group("a", &[]));
    let baseline = scene.ops.baseline(&options, NO_PROGRESS).await.unwrap();
    assert_eq!(baseline.baseline.generated_at_utc, scene.clock.now());
    let row = baseline.metrics.latest_window.unwrap();
    assert_eq!((row.window_end_utc, row.total_actions), (ended, 16));
    assert_eq!(baseline.baseline.provider_failure_window.total, 6);
    assert_eq!(baseline.metrics.emergence_metrics_latest_window.living_agents, Some(4));
}

#[tokio::test]
async fn a_selection_without_runs_or_with_too_many_is_refused_by_name() {
    let scene = Scene::two_groups().await;
    let named =
        |run_id: &str| RunSelection { run_id: Some(run_id.to_owned()), ..RunSelection::default() };
    for (selection, message) in [
        (named("none"), "there is no run \"none\""),
        (group("c", &[]), "there is no run of group \"c\""),
        (group("a", &[("seed", "9")]), "of group \"a\" with label \"seed:9\""),
        (RunSelection { run_id: Some("b1".to_owned()), ..group("a", &[]) }, "run \"b1\" of group"),
    ] {
        let baseline =
            scene.ops.baseline(&baseline_of(selection.clone()), NO_PROGRESS).await.unwrap_err();
        let writer = scene.ops.writer(&ada()).await.unwrap();
        let digest = writer.create_digest(&digest_of(selection.clone())).await.unwrap_err();
        let report = scene.ops.runs_report(&selection, None).await.unwrap_err();
        let activity =
            scene.ops.activity("2026-03-01", "2026-03-01", &selection).await.unwrap_err();
        for error in [baseline, digest, report, activity] {
            assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
            assert!(error.detail().contains(message), "{error}");
        }
    }
    let bad = group("a", &[("a b", "1")]);
    let error = scene.ops.baseline(&baseline_of(bad), NO_PROGRESS).await.unwrap_err();
    assert_eq!(error.fields()[0].field, "labels.a b");
    let error = scene.ops.runs_report(&RunSelection::default(), None).await.unwrap_err();
    assert_eq!(error.fields()[0].field, "group_id");
    let error = scene.ops.runs_report(&group("a", &[]), Some("size")).await.unwrap_err();
    assert_eq!(error.fields()[0].field, "by");

    for n in 0..=MAX_SELECTED_RUNS {
        scene.start(&format!("m{n}"), "many", "c", &(n % 2).to_string()).await;
        scene.stop(&format!("m{n}")).await;
    }
    let error = scene.ops.runs_report(&group("many", &[]), None).await.unwrap_err();
    assert_eq!((error.kind(), error.fields()[0].field.as_str()), (ErrorKind::Invalid, "group_id"));
    let half = scene.ops.runs_report(&group("many", &[("seed", "1")]), None).await.unwrap();
    assert_eq!(half.items.len(), MAX_SELECTED_RUNS / 2);
}

#[tokio::test]
async fn a_digest_of_a_group_has_the_evidence_of_its_runs_and_a_draft_of_its_own() {
    let scene = Scene::two_groups().await;
    let draft = async |options: DigestOptions| {
        scene.ops.writer(&ada()).await.unwrap().create_digest(&options).await.unwrap()
    };
    let weekly = draft(DigestOptions::default()).await;
    assert_eq!(
        (weekly.slug.as_str(), weekly.status.as_str()),
        ("weekly-brief-2026-03-01", "created")
    );
    // The check counts the runs of the group only: 8 actions, 8 votes, 2 inventories, 2 starts.
    let a = draft(digest_of(group("a", &[]))).await;
    assert_eq!(a.status, "insufficient_evidence");
    assert_eq!(a.evidence_gate.observed, EvidenceCounts { total_events: 20, llm_calls: 6 });
    let b = draft(digest_of(group("b", &[]))).await;
    assert_eq!((b.slug.as_str(), b.status.as_str()), ("runs-brief-2026-03-01", "created"));
    assert_eq!(b.runs.as_ref().unwrap().selected, 1);
    assert_eq!(b.evidence_gate.observed, EvidenceCounts { total_events: 96, llm_calls: 30 });
    let again = draft(digest_of(group("b", &[]))).await;
    assert_eq!((again.slug.as_str(), again.status.as_str()), ("runs-brief-2026-03-01", "existing"));
    let narrower = draft(digest_of(group("b", &[("seed", "1")]))).await;
    let expected = ("runs-brief-2026-03-01-2", "created");
    assert_eq!((narrower.slug.as_str(), narrower.status.as_str()), expected);
    assert_eq!(draft(DigestOptions::default()).await.slug, weekly.slug);

    let text = b.markdown.unwrap();
    assert_eq!(b.evidence_run_id.as_deref(), Some("b1"));
    for expected in [
        "- Covers only: group `b` (1 run)",
        "- Template: runs-brief-v1",
        "[runs](/api/admin/runs?group_id=b)",
        "/api/admin/activity?first_day=2026-02-23&last_day=2026-03-01&group_id=b)",
        "agents of these runs took 94 actions (96 events,",
        "2 agents were alive in run `b1`",
    ] {
        assert!(text.contains(expected), "{expected} in {text}");
    }
    assert!(!text.contains("/api/admin/events?"), "events of a group cannot be listed: {text}");
    // Changing this text takes a new `RUNS_TEMPLATE_VERSION`.
    let of_label = narrower.markdown.unwrap();
    assert_eq!(of_label, include_str!("runs-brief-v1.md"), "{of_label}");

    let links = scene.ops.activity("2026-02-23", "2026-03-01", &group("b", &[])).await.unwrap();
    assert_eq!((links.activity.total_events, links.activity.active_agents), (96, 2));
    let both = scene.ops.activity("2026-02-23", "2026-03-01", &group("a", &[])).await.unwrap();
    assert_eq!((both.activity.active_agents, both.runs.unwrap().selected), (4, 2));
    let calls = scene.ops.calls_summary("2026-02-23", "2026-03-01", &group("a", &[])).await;
    assert_eq!(calls.unwrap().calls.calls, 6);
}

#[tokio::test]
async fn a_digest_of_some_runs_does_not_replace_the_weekly_one() {
    let scene = Scene::two_groups().await;
    // A Monday, on which the weekly digest is due.
    scene.clock.set("2026-03-02T14:00:00Z".parse().unwrap());
    let writer = scene.ops.writer(&ada()).await.unwrap();
    let of_group = writer.create_digest(&digest_of(group("b", &[]))).await.unwrap();
    assert_eq!(of_group.slug, "runs-brief-2026-03-02");
    scene.clock.set("2026-03-02T15:00:00Z".parse().unwrap());
    let weekly = scene.ops.system().scheduled_digest().await.unwrap().unwrap();
    assert_eq!((weekly.slug.as_str(), weekly.created), ("weekly-brief-2026-03-02", true));
    assert_eq!(scene.ops.system().scheduled_digest().await.unwrap(), None);
}

#[tokio::test]
async fn a_run_that_is_still_open_is_found_behind_one_that_ended_earlier() {
    let scene = Scene::new();
    scene.start("long", "a", "c", "1").await;
    scene.clock.advance(SignedDuration::from_hours(1));
    scene.start("short", "a", "c", "2").await;
    scene.stop("short").await;
    scene.clock.advance(SignedDuration::from_hours(24 * 20));
    scene.act("long", 30, 6).await;
    let writer = scene.ops.writer(&ada()).await.unwrap();
    let digest = writer.create_digest(&DigestOptions::default()).await.unwrap();
    assert_eq!(digest.evidence_run_id.as_deref(), Some("long"));
}

#[tokio::test]
async fn a_report_of_a_group_has_a_row_per_run_and_the_spread_of_each_condition() {
    let scene = Scene::two_groups().await;
    scene.start("a3", "a", "warm", "3").await;
    scene.act("a3", 10, 0).await;
    scene.stop("a1").await;
    scene.ops.system().write_missing_reports().await.unwrap();
    let report = scene.ops.runs_report(&group("a", &[]), None).await.unwrap();
    assert_eq!((report.runs.selected, report.runs.open, report.is_final), (3, 2, false));
    let ids: Vec<_> = report.items.iter().map(|run| run.run_id.as_str()).collect();
    assert_eq!(ids, ["a3", "a2", "a1"]);
    let value = |run: usize, metric: &str| report.items[run].metrics[metric];
    assert_eq!((value(2, "cost_usd"), value(2, "failed_calls")), (Some(0.002), Some(1.0)));
    assert_eq!((value(2, "total_actions"), value(2, "votes_cast")), (Some(10.0), Some(4.0)));
    assert_eq!((value(2, "coalition_edges"), value(1, "coalition_edges")), (Some(1.0), None));
    for run in 0..3 {
        assert_eq!(
            (value(run, "living_agents"), value(run, "inequality_gini")),
            (Some(2.0), Some(0.25))
        );
    }
    // The figures of a run are those of its own report, and of its metrics.
    let own = scene.ops.report("a1", None).await.unwrap().report;
    assert_eq!(value(2, "action_entropy_bits"), Some(own.activity.action_entropy_bits));
    assert_eq!(value(2, "total_events").unwrap() as i64, own.activity.total_events);

    let warm = report.summaries.iter().find(|of| of.value.as_deref() == Some("warm")).unwrap();
    let actions = warm.metrics.iter().find(|of| of.metric == "total_actions").unwrap();
    assert_eq!((actions.n, actions.mean), (2, Some(12.0)));
    assert!((actions.std_dev.unwrap() - 8_f64.sqrt()).abs() < 1e-9);
    let by_seed = scene.ops.runs_report(&group("a", &[]), Some("seed")).await.unwrap();
    let values: Vec<_> = by_seed.summaries.iter().map(|of| of.value.clone().unwrap()).collect();
    assert_eq!(values, ["1", "2", "3"]);
    // A pause changes nothing.
    let pause = RunBody { run_id: Some("a3".to_owned()), ..RunBody::default() };
    scene.ops.writer(&ada()).await.unwrap().pause(&pause).await.unwrap();
    let again = scene.ops.runs_report(&group("a", &[]), None).await.unwrap();
    let actions = |of: &simops::report::RunsReport| of.items[0].metrics["total_actions"];
    assert_eq!(actions(&again), actions(&report));
}

/// A host of the world `main`, which builds each epoch that is asked for with three agents.
async fn builder(store: Arc<MemoryStore>, now: Timestamp) {
    let report = HostReport {
        id: "h".to_owned(),
        version: simops::VERSION.to_owned(),
        last_seen: now,
        generation: 0,
        state: HostState::Idle,
        in_flight_calls: 0,
        kind: "worlds".to_owned(),
        world: Some("main".to_owned()),
        run_id: None,
    };
    store.report(&report).await.unwrap();
    loop {
        for asked in store.requested_epochs("main", Timestamp::UNIX_EPOCH).await.unwrap() {
            let agent =
                |n: i64| (format!("agent/{n}"), json!({ "number": n, "stock": { "food": n } }));
            let documents = (1..=3).map(agent).collect();
            assert!(store.claim_epoch(asked.epoch, "h").await.unwrap());
            store.finish_epoch(asked.epoch, &documents, &json!({})).await.unwrap();
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_run_that_is_not_the_current_one_is_reported_with_its_world() {
    let scene = Scene::new();
    scene.start("current", "a", "c", "1").await;
    let host = tokio::spawn(builder(Arc::clone(&scene.store), scene.clock.now()));
    for (run_id, reset_world) in [("first", true), ("second", false)] {
        let start = StartRun {
            mode: Some("test".to_owned()),
            run_id: Some(run_id.to_owned()),
            group_id: Some("a".to_owned()),
            host: Some("worlds".to_owned()),
            reset_world: Some(reset_world),
            ..StartRun::default()
        };
        scene.ops.writer(&ada()).await.unwrap().start_run(&start).await.unwrap();
        scene.stop(run_id).await;
    }
    host.abort();
    let report = scene.ops.runs_report(&group("a", &[]), None).await.unwrap();
    let living: Vec<_> = report.items.iter().map(|run| run.metrics["living_agents"]).collect();
    // The second run has changed the world of the first since, and the third has none.
    assert_eq!(living, [Some(3.0), None, None]);
    let own = scene.ops.report("second", None).await.unwrap().report;
    assert_eq!(own.emergence.living_agents, Some(3));
}
