//! Reports of runs: written once after each end, whoever ended it.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::Map;
use simops::Clock;
use simops::control::{Command, Environment};
use simops::event::{NewEvent, RuntimeMode};
use simops::execute::{Executor, Intent};
use simops::ops::{Caller, Ops, OpsOptions, StartRun, StopRun, WithReason};
use simops::settings::Registry;
use simops::store::{EventStore, ReportStore, RunStore, UsageStore};
use simops::testing::{ManualClock, MemoryStore};
use simops::usage::{NanoUsd, UsageCounter, UsageRow};
use uuid::Uuid;

struct Scene {
    store: Arc<MemoryStore>,
    clock: Arc<ManualClock>,
    ops: Ops,
}

impl Scene {
    fn new() -> Self {
        let store = Arc::new(MemoryStore::new());
        let clock = Arc::new(ManualClock::at("2026-03-01T12:00:00Z".parse().unwrap()));
        let options = OpsOptions::of(Environment::Development);
        let ops = Ops::new(Arc::clone(&store) as _, Arc::clone(&clock) as _, options);
        Self { store, clock, ops }
    }

    async fn start(&self, run_id: &str) {
        let start = StartRun {
            mode: Some("test".to_owned()),
            run_id: Some(run_id.to_owned()),
            ..StartRun::default()
        };
        self.ops.start_run(&ada(), &start).await.unwrap();
    }

    /// `actions` actions, and as many failed as answered calls of a tenth of a dollar in all.
    async fn act(&self, run_id: &str, actions: i64) {
        let now = self.clock.advance(SignedDuration::from_mins(10));
        let action = |agent| {
            let event = NewEvent::new("work", "somebody works", now).in_run(Some(run_id));
            event.of_agent(agent).as_action(RuntimeMode::Checkpoint)
        };
        self.store.append(&(0..actions).map(action).collect::<Vec<_>>()).await.unwrap();
        let calls = [call(run_id, now, true), call(run_id, now, false)];
        self.store.record_usage(&calls).await.unwrap();
    }

    async fn stop(&self) {
        self.clock.advance(SignedDuration::from_mins(1));
        self.ops.stop_run(&ada(), &StopRun::default()).await.unwrap();
    }

    async fn stopped_by_guardrail(&self, run_id: &str) {
        self.clock.advance(SignedDuration::from_mins(1));
        let store: Arc<dyn RunStore> = Arc::clone(&self.store) as _;
        let registry = Arc::new(Registry::builtin());
        let clock = Arc::clone(&self.clock) as _;
        let executor = Executor::new(store, registry, Environment::Development, clock);
        let stop = Intent::Command(Command::GuardrailStop {
            run_id: run_id.to_owned(),
            reason: "provider_failures_repeated".to_owned(),
            details: Map::new(),
        });
        executor.execute(&Caller::system("guardrail"), &stop, |_, _| ()).await.unwrap();
    }
}

fn ada() -> Caller {
    Caller { actor: "ada".to_owned(), ..Caller::default() }
}

fn call(run_id: &str, at: Timestamp, success: bool) -> UsageRow {
    UsageRow {
        id: Uuid::now_v7(),
        day: simops::clock::day_of(at),
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
        cost: NanoUsd(if success { 100_000_000 } else { 0 }),
        priced: true,
        success,
        fallback_used: false,
        latency_ms: 1,
        error_type: (!success).then(|| "timeout".to_owned()),
        created_at: at,
    }
}

#[tokio::test]
async fn a_report_tells_what_a_run_did_and_what_it_cost() {
    let scene = Scene::new();
    scene.start("r1").await;
    scene.act("r1", 20).await;
    let open = scene.ops.report("r1").await.unwrap();
    assert!(!open.report.is_final);
    assert!(open.markdown.contains("provisional"));
    scene.stop().await;
    assert_eq!(scene.ops.close_out().await.unwrap(), 1);
    let found = scene.ops.report("r1").await.unwrap();
    let report = &found.report;
    assert!(report.is_final);
    assert_eq!(report.duration_seconds, 11 * 60);
    assert_eq!((report.activity.total_actions, report.spend.calls), (20, 2));
    assert_eq!(report.cost_per_thousand_actions_usd, Some(5.0));
    assert_eq!(report.per_dollar.as_ref().map(|each| each.actions), Some(200.0));
    assert_eq!(report.errors[0].error_type, "timeout");
    assert_eq!((report.failure_windows.len(), report.failure_windows[0].failed_calls), (1, 1));
    let failures = report.guardrails.iter().find(|c| c.condition == "provider_failures_repeated");
    assert_eq!(failures.unwrap().observed, 1.0);
    assert!(found.markdown.starts_with("# Run `r1`\n"), "{}", found.markdown);
}

#[tokio::test]
async fn a_report_is_written_once_and_stays_as_it_was() {
    let scene = Scene::new();
    scene.start("r1").await;
    scene.act("r1", 5).await;
    scene.stop().await;
    let done = futures_util::future::join_all((0..4).map(|_| scene.ops.close_out())).await;
    let written: usize = done.into_iter().map(Result::unwrap).sum();
    assert_eq!(written, 1);
    let first = scene.ops.report("r1").await.unwrap();
    scene.act("r1", 5).await;
    assert_eq!(scene.ops.close_out().await.unwrap(), 0);
    assert_eq!(scene.ops.report("r1").await.unwrap(), first);
}

#[tokio::test]
async fn each_end_of_a_run_that_went_on_has_its_report() {
    let scene = Scene::new();
    scene.start("r1").await;
    scene.act("r1", 5).await;
    scene.stopped_by_guardrail("r1").await;
    assert_eq!(scene.ops.close_out().await.unwrap(), 1);
    let by_guardrail = scene.ops.report("r1").await.unwrap().report;
    assert_eq!(by_guardrail.run.end_reason.as_deref(), Some("provider_failures_repeated"));
    scene.ops.resume(&ada(), &WithReason::default()).await.unwrap();
    assert!(!scene.ops.report("r1").await.unwrap().report.is_final);
    scene.act("r1", 7).await;
    scene.stop().await;
    assert_eq!(scene.ops.close_out().await.unwrap(), 1);
    let last = scene.ops.report("r1").await.unwrap().report;
    assert_eq!((last.is_final, last.activity.total_actions), (true, 12));
    let first_end = by_guardrail.run.ended_at.unwrap();
    assert!(scene.store.report_of("r1", first_end).await.unwrap().is_some());
}

#[tokio::test]
async fn a_report_waits_for_calls_under_way_but_not_for_ever() {
    let scene = Scene::new();
    scene.start("r1").await;
    let now = scene.clock.now();
    let lease = simops::usage::Lease {
        id: Uuid::now_v7(),
        day: simops::clock::day_of(now),
        run_id: Some("r1".to_owned()),
        agent_id: None,
        checkpoint: None,
        provider: "groq".to_owned(),
        model: "m".to_owned(),
        upper_bound: NanoUsd(1),
        priced: true,
        created_at: now,
        expires_at: now + SignedDuration::from_hours(1),
    };
    let caps = simops::usage::Caps::default();
    scene.store.reserve(&lease, &caps).await.unwrap();
    scene.stop().await;
    assert_eq!(scene.ops.close_out().await.unwrap(), 0);
    scene.store.settle(&UsageRow { id: lease.id, ..call("r1", now, true) }).await.unwrap();
    assert_eq!(scene.ops.close_out().await.unwrap(), 1);
    assert_eq!(scene.ops.report("r1").await.unwrap().report.spend.calls, 1);
}

#[tokio::test]
async fn two_runs_are_compared_also_by_what_a_dollar_bought() {
    let scene = Scene::new();
    for (run_id, actions) in [("a", 10), ("b", 30)] {
        scene.start(run_id).await;
        scene.act(run_id, actions).await;
        scene.stop().await;
    }
    scene.ops.close_out().await.unwrap();
    let compared = scene.ops.compare_runs("a", "b").await.unwrap();
    assert!(compared.is_final);
    let figure = |name: &str| {
        let found = compared.metrics.iter().find(|metric| metric.metric == name).unwrap();
        (found.a, found.b, found.change_ratio)
    };
    assert_eq!(figure("total_actions"), (Some(10.0), Some(30.0), Some(2.0)));
    assert_eq!(figure("actions_per_dollar"), (Some(100.0), Some(300.0), Some(2.0)));
    assert_eq!(figure("inequality_gini"), (None, None, None));
    assert!(compared.table().contains("actions_per_dollar"));
    assert!(scene.ops.compare_runs("a", "none").await.is_err());
}
