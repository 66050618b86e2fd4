//! Agents whose actions models choose.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use simops::event::RuntimeMode;
use simops::llm::{ChatRequest, ChatResponse, Limits, LlmError, LlmProvider, Router};
use simops::settings::key;
use simops::store::{UsageFilter, UsageStore};
use simops::testing::MemoryStore;
use simops::usage::UsageRow;
use simops::{Error, Result, SystemClock};

use super::super::event_log::kind as log;
use super::*;

fn scripted(
    script: impl Fn(&ChatRequest) -> Result<String> + Send + Sync + 'static,
) -> (Commons, World) {
    let (commons, world, _) = scripted_with_ledger(script);
    (commons, world)
}

/// The same, with the store that holds the ledger.
fn scripted_with_ledger(
    script: impl Fn(&ChatRequest) -> Result<String> + Send + Sync + 'static,
) -> (Commons, World, Arc<MemoryStore>) {
    let play = Play::new(5, 1);
    let store = Arc::new(MemoryStore::new());
    let router = scripted_router(&store, "tiny:free", script);
    (play.commons.with_router(router), play.world, store)
}

async fn ledger(store: &MemoryStore) -> Vec<UsageRow> {
    store.usage_rows(&UsageFilter::default(), 100).await.unwrap().items
}

async fn take_turn(commons: &Commons, world: &World) -> NewEvent {
    let turn = turn_in(world, 1);
    let decision = commons.decide(&turn).await.unwrap();
    commons.act(&turn, decision).unwrap().events.remove(0)
}

#[tokio::test]
async fn a_model_sees_its_agent_and_its_answer_is_the_action() {
    let (commons, world) = scripted(|request| {
        assert_eq!(request.model, "tiny:free");
        assert_eq!(request.max_tokens, 350);
        assert!(request.prompt.starts_with("You are agent 1. Day 1, your turn 1."));
        assert!(request.prompt.contains("Agent 2:"));
        Ok("```json\n{\"action\":\"work\",\"resource\":\"materials\"}\n```".to_owned())
    });
    let event = take_turn(&commons, &world).await;
    assert_eq!(event.event_type, log::WORK);
    assert_eq!(event.runtime_mode(), Some(RuntimeMode::Checkpoint));
    let runtime = &event.metadata["runtime"];
    assert_eq!(runtime["run_id"], "run-1");
    assert_eq!(runtime["calls"]["provider"], "scripted");
    assert_eq!(runtime["calls"]["model"], "tiny:free");
    assert_eq!(runtime["calls"]["calls"], 1);
    assert_eq!(runtime["calls"]["degraded"], false);
    assert_eq!(runtime["calls"]["refused"], Value::Null);
    assert!(runtime["calls"]["input_tokens"].as_i64() > Some(0));
}

#[tokio::test]
async fn an_invalid_response_is_retried_with_the_parse_error() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let (commons, world, store) = scripted_with_ledger(move |request| {
        Ok(match count.fetch_add(1, Ordering::Relaxed) {
            0 | 1 => "I would rather rest.".to_owned(),
            _ => {
                assert!(request.prompt.contains("Your last answer was no action"));
                r#"{"action":"rest"}"#.to_owned()
            }
        })
    });
    let event = take_turn(&commons, &world).await;
    assert_eq!(event.event_type, log::REST);
    assert_eq!(event.metadata["runtime"]["calls"]["calls"], 3);
    assert_eq!(asked.load(Ordering::Relaxed), 3, "the first call and two retries");
    let rows = ledger(&store).await;
    assert_eq!(rows.len(), 3, "each attempt is recorded: {rows:?}");
    for row in rows {
        assert_eq!((row.run_id.as_deref(), row.agent_id.clone()), (Some("run-1"), Some(1.into())));
        assert_eq!((row.checkpoint, row.success), (Some(1), true));
    }
}

#[tokio::test]
async fn after_repeated_invalid_responses_the_turn_follows_the_rule() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let (commons, world) = scripted(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        Ok("{}".to_owned())
    });
    let event = take_turn(&commons, &world).await;
    assert_eq!(event.runtime_mode(), Some(RuntimeMode::DeterministicFallback));
    assert_eq!(event.metadata["runtime"]["calls"]["refused"], "no_action");
    assert_eq!(asked.load(Ordering::Relaxed), 3);
}

#[tokio::test(start_paused = true)]
async fn if_the_provider_is_unavailable_the_turn_follows_the_rule() {
    let (commons, world, store) =
        scripted_with_ledger(|_| Err(Error::unavailable("the provider is unavailable")));
    let turn = turn_in(&world, 1);
    let decision = commons.decide(&turn).await.unwrap();
    assert_eq!(decision["source"], "rule");
    let reason = decision["reason"].as_str().unwrap();
    assert!(reason.ends_with("the provider is unavailable"), "{reason}");
    assert_eq!(decision["calls"]["refused"], "server_error");
    let rows = ledger(&store).await;
    assert!(rows.iter().all(|row| !row.success) && rows.len() > 1, "tried again: {rows:?}");
    assert_eq!(decision["calls"]["calls"], rows.len());
    let event = take_turn(&commons, &world).await;
    assert_eq!(event.runtime_mode(), Some(RuntimeMode::DeterministicFallback));
    assert_ne!(event.event_type, log::INVALID_ACTION);
}

#[tokio::test]
async fn an_impossible_action_of_a_model_is_recorded_as_invalid() {
    let (commons, world) =
        scripted(|_| Ok(r#"{"action":"vote","proposal":9,"vote":"no"}"#.to_owned()));
    let event = take_turn(&commons, &world).await;
    assert_eq!(event.event_type, log::INVALID_ACTION);
    assert_eq!(event.runtime_mode(), Some(RuntimeMode::Checkpoint));
}

#[tokio::test]
async fn if_the_budget_is_exhausted_the_turn_follows_the_rule() {
    let (commons, world, store) = scripted_with_ledger(|_| panic!("a refused call is not made"));
    let mut turn = turn_in(&world, 1);
    let no_budget = Overrides::from_iter([(key::BUDGET_HARD.to_owned(), json!(0.000_001))]);
    turn.settings = Arc::new(Effective::of(&Registry::builtin(), &no_budget));
    let decision = commons.decide(&turn).await.unwrap();
    let event = commons.act(&turn, decision).unwrap().events.remove(0);
    assert_eq!(event.runtime_mode(), Some(RuntimeMode::DeterministicFallback));
    let calls = &event.metadata["runtime"]["calls"];
    assert_eq!((&calls["calls"], &calls["refused"]), (&json!(0), &json!("call_exceeds_budget")));
    assert_eq!(calls["model"], "tiny:free");
    assert_eq!(ledger(&store).await, []);
}

#[tokio::test]
async fn beyond_the_soft_cap_calls_are_recorded_as_degraded() {
    let asked = AtomicUsize::new(0);
    let (commons, world, _) = scripted_with_ledger(move |request| {
        let wanted = if asked.fetch_add(1, Ordering::Relaxed) == 0 { 350 } else { 175 };
        assert_eq!(request.max_tokens, wanted);
        Ok(r#"{"action":"rest"}"#.to_owned())
    });
    let mut turn = turn_in(&world, 1);
    let tiny_budget = Overrides::from_iter([(key::BUDGET_SOFT.to_owned(), json!(0.000_001))]);
    turn.settings = Arc::new(Effective::of(&Registry::builtin(), &tiny_budget));
    for degraded in [false, true] {
        let decision = commons.decide(&turn).await.unwrap();
        assert_eq!(decision["calls"]["degraded"], degraded, "{decision}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_hangs_leaves_time_for_the_rule() {
    let play = Play::new(5, 1);
    let store = Arc::new(MemoryStore::new());
    let router = Router::builder(store.clone(), book(), Arc::new(SystemClock))
        .provider(Arc::new(Hanging), Limits::default())
        .route("hanging", "m")
        .build()
        .unwrap();
    let commons = play.commons.with_router(router.clone());
    let mut turn = turn_in(&play.world, 1);
    turn.timeout = Duration::from_secs(4);
    let decision = tokio::time::timeout(turn.timeout, commons.decide(&turn)).await;
    let decision = decision.expect("the turn had time").unwrap();
    assert_eq!(decision["calls"]["refused"], "timeout", "{decision}");
    router.flush(Duration::from_secs(30)).await.unwrap();
    assert_eq!(ledger(&store).await.len(), 1);
}

/// Never responds.
struct Hanging;

#[simops::async_trait]
impl LlmProvider for Hanging {
    fn name(&self) -> &str {
        "hanging"
    }

    async fn chat(&self, _: &ChatRequest) -> std::result::Result<ChatResponse, LlmError> {
        std::future::pending().await
    }
}

#[test]
fn every_action_that_the_prompt_shows_can_be_read() {
    let filled = super::super::prompt::SYSTEM
        .replace("LAW with LAW", r#"{"kind":"work_bonus","resource":RESOURCE}} with LAW"#)
        .replace(r#""law":LAW}"#, r#""law":{"kind":"cap","resource":RESOURCE,"limit":9}}"#)
        .replace("food|energy|materials", "food")
        .replace("yes|no", "yes")
        .replace("RESOURCE", r#""food""#)
        .replace("TEXT", r#""words""#);
    let filled = ["AGENT", "THREAD", "PROPOSAL", ":N"]
        .into_iter()
        .fold(filled, |text, what| text.replace(what, if what == ":N" { ":1" } else { "1" }));
    let shown = filled.lines().filter(|line| line.starts_with('{'));
    let shown: Vec<_> = shown.map(|line| line.split(" with ").next().unwrap()).collect();
    assert_eq!(shown.len(), 10);
    for line in shown {
        super::super::parse::action(line).unwrap_or_else(|error| panic!("{line}: {error}"));
    }
}
