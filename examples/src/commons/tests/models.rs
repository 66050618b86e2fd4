//! Agents that ask a model.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use simops::event::RuntimeMode;
use simops::llm::{ChatRequest, ScriptedProvider};
use simops::{Error, Result};

use super::super::telling::kind as told;
use super::*;

fn scripted(
    script: impl Fn(&ChatRequest) -> Result<String> + Send + Sync + 'static,
) -> (Commons, World) {
    let play = Play::new(5, 1);
    let provider = Arc::new(ScriptedProvider::new(script));
    (play.commons.with_provider(provider, "tiny:free"), play.world)
}

async fn taken(commons: &Commons, world: &World) -> NewEvent {
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
    let event = taken(&commons, &world).await;
    assert_eq!(event.event_type, told::WORK);
    assert_eq!(event.runtime_mode(), Some(RuntimeMode::Checkpoint));
    let runtime = &event.metadata["runtime"];
    assert_eq!(runtime["run_id"], "run-1");
    assert_eq!(runtime["calls"]["provider"], "scripted");
    assert_eq!(runtime["calls"]["model"], "tiny:free");
    assert_eq!(runtime["calls"]["calls"], 1);
    assert!(runtime["calls"]["input_tokens"].as_i64() > Some(0));
}

#[tokio::test]
async fn an_answer_that_is_no_action_is_asked_for_again_with_the_reason() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let (commons, world) = scripted(move |request| {
        Ok(match count.fetch_add(1, Ordering::Relaxed) {
            0 | 1 => "I would rather rest.".to_owned(),
            _ => {
                assert!(request.prompt.contains("Your last answer was no action"));
                r#"{"action":"rest"}"#.to_owned()
            }
        })
    });
    let event = taken(&commons, &world).await;
    assert_eq!(event.event_type, told::REST);
    assert_eq!(event.metadata["runtime"]["calls"]["calls"], 3);
    assert_eq!(asked.load(Ordering::Relaxed), 3, "the first call and two retries");
}

#[tokio::test]
async fn a_model_that_never_makes_sense_leaves_the_turn_to_the_rule() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let (commons, world) = scripted(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        Ok("{}".to_owned())
    });
    let event = taken(&commons, &world).await;
    assert_eq!(event.runtime_mode(), Some(RuntimeMode::DeterministicFallback));
    assert_eq!(asked.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn a_provider_that_is_away_leaves_the_turn_to_the_rule_at_once() {
    let (commons, world) = scripted(|_| Err(Error::unavailable("the provider is away")));
    let turn = turn_in(&world, 1);
    let decision = commons.decide(&turn).await.unwrap();
    assert_eq!(decision["source"], "rule");
    assert_eq!(decision["reason"], "the provider is away");
    assert_eq!(decision["calls"]["calls"], 1);
    let event = taken(&commons, &world).await;
    assert_eq!(event.runtime_mode(), Some(RuntimeMode::DeterministicFallback));
    assert_ne!(event.event_type, told::INVALID_ACTION);
}

#[tokio::test]
async fn an_action_that_is_not_possible_is_the_models_own_fault() {
    let (commons, world) =
        scripted(|_| Ok(r#"{"action":"vote","proposal":9,"vote":"no"}"#.to_owned()));
    let event = taken(&commons, &world).await;
    assert_eq!(event.event_type, told::INVALID_ACTION);
    assert_eq!(event.runtime_mode(), Some(RuntimeMode::Checkpoint));
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
