//! The stop by a refused call: once, and not again after the cap was raised.

use std::sync::Arc;

use crate::Clock;
use crate::clock::day_of;
use crate::control::Environment;
use crate::enforcement::{Observer, enforce};
use crate::execute::Executor;
use crate::llm::{BudgetRefusals, Refusal, RefusedCall};
use crate::ops::{Caller, Ops, OpsOptions, PatchConfig, PutBudget, RunBody, StartRun};
use crate::settings::key;
use crate::store::{ControlStore, EventFilter, EventStore, UsageStore};
use crate::testing::{ManualClock, MemoryStore};
use crate::usage::{Amounts, Lease, NanoUsd};
use serde_json::json;
use uuid::Uuid;

/// A cost just above the default cap of one dollar.
const OVER_BUDGET: NanoUsd = NanoUsd(1_000_000_001);

struct Desk {
    store: Arc<MemoryStore>,
    clock: Arc<ManualClock>,
    executor: Executor,
    ops: Ops,
}

impl Desk {
    /// A store with an open run `r`.
    async fn new() -> Self {
        let (store, clock) = (Arc::new(MemoryStore::new()), Arc::new(ManualClock::default()));
        let options = OpsOptions::of(Environment::Development);
        let executor = Executor::new(
            store.clone(),
            Arc::clone(&options.registry),
            Environment::Development,
            clock.clone(),
        );
        let ops = Ops::new(store.clone(), clock.clone(), options);
        let start = StartRun {
            mode: Some("test".to_owned()),
            run_id: Some("r".to_owned()),
            ..StartRun::default()
        };
        ops.writer(&Caller::default()).await.unwrap().start_run(&start).await.unwrap();
        Self { store, clock, executor, ops }
    }

    /// A worker's refusals: a call of the run was refused just now.
    fn refused(&self) -> Arc<BudgetRefusals> {
        let refusals = Arc::new(BudgetRefusals::default());
        let needed = Amounts { cost: OVER_BUDGET, calls: 1, tokens: 1 };
        let calls = vec![RefusedCall { budget: "llm_daily_budget_usd".into(), needed }];
        refusals.record("r", Refusal { at: self.clock.now(), calls });
        refusals
    }

    async fn check(&self, refusals: &Arc<BudgetRefusals>) -> Option<String> {
        let observer = Observer::with_refusals(Arc::clone(refusals));
        let state = self.store.load().await.unwrap();
        enforce(&self.executor, &observer, &state, "r").await.unwrap()
    }

    async fn resume(&self) {
        self.ops
            .writer(&Caller::default())
            .await
            .unwrap()
            .resume(&RunBody::default())
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_refused_call_stops_its_run_once() {
    let desk = Desk::new().await;
    let refusals = desk.refused();
    assert_eq!(desk.check(&refusals).await.as_deref(), Some("hard_budget_exceeded"));
    assert_eq!(refusals.remove("r"), None, "it is used up");
    let filter = EventFilter { limit: 1, ..EventFilter::default() };
    let event = desk.store.events(&filter).await.unwrap().items.remove(0);
    assert_eq!(event.event_type, "simulation_stopped_guardrail");
    assert_eq!(event.metadata["details"]["refused_call_usd"], 1.000_000_001);
    desk.resume().await;
    assert_eq!(desk.check(&refusals).await, None);
}

#[tokio::test]
async fn another_workers_old_refusal_does_not_stop_a_run_whose_cap_was_raised() {
    let desk = Desk::new().await;
    let (first, second) = (desk.refused(), desk.refused());
    assert!(desk.check(&first).await.is_some());
    let updates = [(key::BUDGET_HARD.to_owned(), json!(2.0))].into_iter().collect();
    let patch = PatchConfig { updates, reason: None };
    desk.ops.writer(&Caller::default()).await.unwrap().patch_config(patch).await.unwrap();
    desk.resume().await;
    assert_eq!(desk.check(&second).await, None);
}

/// What failed before the resume stops the run no more; what fails after it does.
#[tokio::test]
async fn one_resume_after_an_outage_holds() {
    let desk = Desk::new().await;
    let none = Arc::new(BudgetRefusals::default());
    let fail = async || {
        desk.clock.advance(jiff::SignedDuration::from_secs(1));
        let now = desk.clock.now();
        let lease = |_| Lease {
            id: Uuid::now_v7(),
            day: day_of(now),
            run_id: Some("r".to_owned()),
            agent_id: None,
            checkpoint: None,
            provider: "groq".to_owned(),
            model: "m".to_owned(),
            upper_bound: NanoUsd(1),
            input_tokens: 1,
            output_tokens: 1,
            priced: true,
            created_at: now,
            expires_at: now,
        };
        let rows: Vec<_> = (0..100).map(lease).map(|lease| lease.expired(now)).collect();
        desk.store.record_usage(&rows).await.unwrap();
        desk.clock.advance(jiff::SignedDuration::from_secs(1));
    };
    let stopped = Some("provider_failures_repeated".to_owned());
    assert_eq!(desk.check(&none).await, None);
    fail().await;
    assert_eq!(desk.check(&none).await, stopped);
    desk.resume().await;
    assert_eq!(desk.check(&none).await, None);
    fail().await;
    assert_eq!(desk.check(&none).await, stopped);
}

#[tokio::test]
async fn yesterdays_refusal_and_another_runs_stop_nothing() {
    let desk = Desk::new().await;
    let other = Arc::new(BudgetRefusals::default());
    let refusal = desk.refused().remove("r").unwrap();
    other.record("q", refusal);
    assert_eq!(desk.check(&other).await, None);
    let refusals = desk.refused();
    desk.clock.advance(jiff::SignedDuration::from_hours(24));
    assert_eq!(desk.check(&refusals).await, None);
}

/// Also if the refusal names the budget of an agent, which ends no run.
#[tokio::test]
async fn a_spent_budget_that_the_refusal_does_not_name_ends_the_run_and_is_named() {
    let desk = Desk::new().await;
    let needed = Amounts { cost: NanoUsd(1), calls: 1, tokens: 1 };
    let refusals = Arc::new(BudgetRefusals::default());
    let refuse = || {
        let calls = vec![RefusedCall { budget: "agents".into(), needed }];
        refusals.record("r", Refusal { at: desk.clock.now(), calls });
    };
    refuse();
    assert_eq!(desk.check(&refusals).await, None, "an agent's budget ends no run");
    let writer = desk.ops.writer(&Caller::default()).await.unwrap();
    let text = |text: &str| Some(text.to_owned());
    let all = PutBudget {
        scope: text("deployment"),
        window: text("lifetime"),
        unit: text("usd"),
        hard: Some(0.000_000_001),
        ..PutBudget::default()
    };
    writer.put_budget("zzz", &all).await.unwrap();
    refuse();
    assert_eq!(desk.check(&refusals).await, None, "it can still pay for the call");
    let calls = vec![RefusedCall {
        budget: "agents".into(),
        needed: Amounts { cost: NanoUsd(2), ..needed },
    }];
    refusals.record("r", Refusal { at: desk.clock.now(), calls });
    assert_eq!(desk.check(&refusals).await.as_deref(), Some("hard_budget_exceeded"));
    let filter = EventFilter { limit: 1, ..EventFilter::default() };
    let event = desk.store.events(&filter).await.unwrap().items.remove(0);
    assert_eq!(event.metadata["details"]["budget"], "zzz");
    assert!(event.description.ends_with("(budget zzz)"), "{}", event.description);
}
