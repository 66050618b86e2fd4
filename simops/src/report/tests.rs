//! Reports of runs: written once after each end, whoever ended it.

use std::sync::Arc;

use crate::control::{Command, Environment};
use crate::event::{NewEvent, RuntimeMode, kind};
use crate::execute::{Executor, Intent, WritePermit};
use crate::guardrail::{Observed, evaluate};
use crate::ops::{Caller, Ops, OpsOptions, PatchConfig, RunBody, StartRun, StopRun};
use crate::settings::{Effective, Overrides, Registry, key};
use crate::store::{EventStore, RunStore, UsageStore};
use crate::testing::{ManualClock, MemoryStore};
use crate::usage::{NanoUsd, UsageCounter, UsageRow};
use crate::{Clock, ErrorKind};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};
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
        self.ops.writer(&ada()).await.unwrap().start_run(&start).await.unwrap();
    }

    /// `actions` actions, and as many failed as answered calls of a tenth of a dollar in all.
    async fn act(&self, run_id: &str, actions: i64) {
        let now = self.clock.advance(SignedDuration::from_mins(10));
        let action = |agent| {
            let event = NewEvent::new("work", "agent works", now).in_run(Some(run_id));
            event.of_agent(agent).as_action(RuntimeMode::Checkpoint)
        };
        self.store.append(&(0..actions).map(action).collect::<Vec<_>>()).await.unwrap();
        let calls = [call(run_id, now, true), call(run_id, now, false)];
        self.store.record_usage(&calls).await.unwrap();
    }

    async fn stop(&self) {
        self.clock.advance(SignedDuration::from_mins(1));
        self.ops.writer(&ada()).await.unwrap().stop_run(&StopRun::default()).await.unwrap();
    }

    /// Agents 1 and 2 vote on two proposals, alike or not; agent 1 then owns `riches`, agent 2 one.
    async fn vote(&self, run_id: &str, alike: bool, riches: i64) {
        let now = self.clock.advance(SignedDuration::from_mins(10));
        let of_run = |kind: &str| NewEvent::new(kind, "", now).in_run(Some(run_id));
        let mut events = Vec::new();
        for (agent, proposal) in [(1, 1), (1, 2), (2, 1), (2, 2)] {
            let vote = if alike || agent == 1 { "for" } else { "against" };
            let cast = of_run(kind::VOTE_CAST).of_agent(agent).as_action(RuntimeMode::Checkpoint);
            // Other proposals each time.
            let proposal = format!("{now}/{proposal}");
            events.push(cast.with("proposal_id", proposal).with("vote", vote));
        }
        let owned = json!([{ "agent_id": 1, "food": riches }, { "agent_id": 2, "food": 1 }]);
        events.push(of_run(kind::INVENTORY_SNAPSHOT).with("inventories", owned));
        self.store.append(&events).await.unwrap();
    }

    async fn set(&self, key: &str, value: impl Into<Value>) {
        let updates = [(key.to_owned(), value.into())].into();
        let patch = PatchConfig { updates, reason: None };
        self.ops.writer(&ada()).await.unwrap().patch_config(patch).await.unwrap();
    }

    async fn stopped_by_guardrail(&self, run_id: &str, details: Map<String, Value>) {
        self.clock.advance(SignedDuration::from_mins(1));
        let store: Arc<dyn RunStore> = Arc::clone(&self.store) as _;
        let registry = Arc::new(Registry::builtin());
        let clock = Arc::clone(&self.clock) as _;
        let executor = Executor::new(store, registry, Environment::Development, clock);
        let stop = Intent::Command(Command::GuardrailStop {
            run_id: run_id.to_owned(),
            reason: "provider_failures_repeated".to_owned(),
            details,
        });
        executor.execute(&WritePermit::system("guardrail"), &stop, |_, _| ()).await.unwrap();
    }
}

fn ada() -> Caller {
    Caller { actor: "ada".to_owned(), ..Caller::default() }
}

fn call(run_id: &str, at: Timestamp, success: bool) -> UsageRow {
    UsageRow {
        id: Uuid::now_v7(),
        day: crate::clock::day_of(at),
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
        sent: true,
        over_reservation: false,
        fallback_used: false,
        latency_ms: 1,
        error_type: (!success).then(|| "timeout".to_owned()),
        created_at: at,
    }
}

#[tokio::test]
async fn a_report_shows_what_a_run_did_and_what_it_cost() {
    let scene = Scene::new();
    scene.start("r1").await;
    scene.act("r1", 20).await;
    let open = scene.ops.report("r1", None).await.unwrap();
    assert!(!open.report.is_final);
    assert!(open.markdown.contains("provisional"));
    scene.stop().await;
    assert_eq!(scene.ops.system().write_missing_reports().await.unwrap(), 1);
    let found = scene.ops.report("r1", None).await.unwrap();
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
    let done =
        futures_util::future::join_all((0..4).map(|_| scene.ops.system().write_missing_reports()))
            .await;
    let written: usize = done.into_iter().map(Result::unwrap).sum();
    assert_eq!(written, 1);
    let first = scene.ops.report("r1", None).await.unwrap();
    scene.act("r1", 5).await;
    assert_eq!(scene.ops.system().write_missing_reports().await.unwrap(), 0);
    assert_eq!(scene.ops.report("r1", None).await.unwrap(), first);
}

#[tokio::test]
async fn each_end_of_a_run_that_went_on_has_its_report() {
    let scene = Scene::new();
    scene.start("r1").await;
    scene.act("r1", 5).await;
    scene.stopped_by_guardrail("r1", Map::new()).await;
    assert_eq!(scene.ops.system().write_missing_reports().await.unwrap(), 1);
    let by_guardrail = scene.ops.report("r1", None).await.unwrap().report;
    assert_eq!(by_guardrail.run.end_reason.as_deref(), Some("provider_failures_repeated"));
    scene.ops.writer(&ada()).await.unwrap().resume(&RunBody::default()).await.unwrap();
    assert!(!scene.ops.report("r1", None).await.unwrap().report.is_final);
    scene.act("r1", 7).await;
    scene.stop().await;
    assert_eq!(scene.ops.system().write_missing_reports().await.unwrap(), 1);
    let last = scene.ops.report("r1", None).await.unwrap().report;
    assert_eq!((last.is_final, last.activity.total_actions), (true, 12));
    let ends = [by_guardrail.run.ended_at.unwrap(), last.run.ended_at.unwrap()];
    let earlier = scene.ops.report("r1", Some(ends[0])).await.unwrap();
    assert_eq!((earlier.report, earlier.reported_ends), (by_guardrail, ends.to_vec()));
    let never =
        scene.ops.report("r1", Some(ends[1] + SignedDuration::from_secs(1))).await.unwrap_err();
    assert_eq!(never.kind(), ErrorKind::NotFound);
    assert!(never.detail().contains(&ends[0].to_string()), "{never}");
}

#[tokio::test]
async fn an_end_is_reported_also_when_the_run_goes_on_before_anybody_has_looked() {
    let scene = Scene::new();
    scene.start("r1").await;
    scene.act("r1", 5).await;
    scene.stopped_by_guardrail("r1", Map::new()).await;
    scene.ops.writer(&ada()).await.unwrap().resume(&RunBody::default()).await.unwrap();
    scene.act("r1", 7).await;
    scene.stopped_by_guardrail("r1", Map::new()).await;
    scene.set(key::ACTIVE, true).await;
    let ends = scene.ops.report("r1", None).await.unwrap().reported_ends;
    assert_eq!(ends.len(), 2);
    for (end, actions) in ends.into_iter().zip([5, 12]) {
        let report = scene.ops.report("r1", Some(end)).await.unwrap().report;
        assert_eq!((report.is_final, report.activity.total_actions), (true, actions));
        assert_eq!(report.run.end_reason.as_deref(), Some("provider_failures_repeated"));
    }
}

#[tokio::test]
async fn the_society_is_that_of_the_whole_run_and_of_no_other() {
    let scene = Scene::new();
    scene.start("before").await;
    scene.vote("before", true, 1).await;
    scene.stop().await;
    scene.start("r1").await;
    scene.vote("r1", true, 3).await;
    scene.clock.advance(SignedDuration::from_hours(30));
    scene.vote("r1", false, 9).await;
    scene.stop().await;
    scene.start("after").await;
    scene.vote("after", true, 1).await;
    let society = scene.ops.report("r1", None).await.unwrap().report.emergence;
    assert_eq!((society.living_agents, society.governance_participants), (Some(2), 2));
    assert_eq!(society.governance_participation_rate, Some(1.0));
    // Two of four votes alike make no coalition of the whole; the one of the first half is gone.
    assert_eq!((society.coalition_edges, society.coalition_churn), (0, Some(1.0)));
    let gini = |riches: f64| (riches - 1.0) / (2.0 * (riches + 1.0));
    assert!((society.inequality_gini.unwrap() - gini(9.0)).abs() < 1e-9, "{society:?}");
    assert!((society.inequality_trend.unwrap() - (gini(9.0) - gini(3.0))).abs() < 1e-9);
    // Reports of an earlier run do not count.
    scene.stop().await;
    scene.start("silent").await;
    let silent = scene.ops.report("silent", None).await.unwrap().report.emergence;
    assert_eq!((silent.living_agents, silent.inequality_gini), (None, None));
}

#[tokio::test]
async fn stop_conditions_are_shown_as_they_were_at_the_end() {
    let scene = Scene::new();
    scene.set(key::STOP_FAILURE_THRESHOLD, 7).await;
    scene.start("r1").await;
    scene.act("r1", 1).await;
    let open = scene.ops.report("r1", None).await.unwrap().report;
    assert_eq!(open.guardrails.len(), 3);
    scene.stop().await;
    scene.clock.advance(SignedDuration::from_mins(1));
    for threshold in [8, 9] {
        scene.set(key::STOP_FAILURE_THRESHOLD, threshold).await;
    }
    let ended = scene.ops.report("r1", None).await.unwrap().report.guardrails;
    let failures = ended.iter().find(|c| c.condition == "provider_failures_repeated").unwrap();
    assert_eq!((failures.observed, failures.threshold), (1.0, 7.0));
    // The load of the connections was not recorded.
    assert!(ended.iter().all(|c| c.condition != "db_pool_pressure"), "{ended:?}");

    let pressed = Observed { pool_utilization: 0.97, pool_checks: 5, ..Observed::default() };
    let settings = Effective::of(&Registry::builtin(), &Overrides::default());
    let found = evaluate(&pressed, &settings);
    scene.start("r2").await;
    let details = Map::from_iter([("conditions".to_owned(), json!(found))]);
    scene.stopped_by_guardrail("r2", details).await;
    assert_eq!(scene.ops.system().write_missing_reports().await.unwrap(), 2);
    let stopped = scene.ops.report("r2", None).await.unwrap();
    assert_eq!(stopped.report.guardrails, found);
    assert!(
        stopped.markdown.contains("`db_pool_pressure`: 0.97 (threshold"),
        "{}",
        stopped.markdown
    );
}

#[tokio::test]
async fn a_report_waits_for_calls_under_way_but_not_for_ever() {
    let scene = Scene::new();
    scene.start("r1").await;
    let now = scene.clock.now();
    let lease = crate::usage::Lease {
        id: Uuid::now_v7(),
        day: crate::clock::day_of(now),
        run_id: Some("r1".to_owned()),
        agent_id: None,
        checkpoint: None,
        provider: "groq".to_owned(),
        model: "m".to_owned(),
        upper_bound: NanoUsd(1),
        priced: true,
        created_at: now,
        expires_at: now + SignedDuration::from_hours(1),
        input_tokens: 10,
        output_tokens: 5,
    };
    let caps = crate::usage::Caps::default();
    scene.store.reserve(&lease, &caps).await.unwrap();
    scene.stop().await;
    assert_eq!(scene.ops.system().write_missing_reports().await.unwrap(), 0);
    scene.store.settle(&UsageRow { id: lease.id, ..call("r1", now, true) }).await.unwrap();
    assert_eq!(scene.ops.system().write_missing_reports().await.unwrap(), 1);
    assert_eq!(scene.ops.report("r1", None).await.unwrap().report.spend.calls, 1);
}

#[tokio::test]
async fn two_runs_are_compared_also_by_what_a_dollar_bought() {
    let scene = Scene::new();
    for (run_id, actions) in [("a", 10), ("b", 30)] {
        scene.start(run_id).await;
        scene.act(run_id, actions).await;
        scene.stop().await;
    }
    scene.ops.system().write_missing_reports().await.unwrap();
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
