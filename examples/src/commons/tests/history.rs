//! A society whose agents always follow the fallback rule.

use std::collections::BTreeSet;

use simops::event::kind;

use super::super::event_log::kind as log;
use super::*;

#[test]
fn proposals_votes_and_forum_posts_appear_within_thirty_turns() {
    for seed in 0..40 {
        let mut play = Play::new(50, seed);
        for _ in 0..30 {
            play.step();
        }
        for wanted in [kind::PROPOSAL_CREATED, kind::VOTE_CAST, kind::FORUM_POST] {
            assert!(play.count(wanted) > 0, "no {wanted} in 30 turns of seed {seed}");
        }
    }
}

#[test]
fn the_fallback_rule_never_chooses_an_impossible_action() {
    for seed in 0..4 {
        let mut play = Play::new(20, seed);
        play.run_days(40);
        let invalid = play.events.iter().find(|event| event.event_type == log::INVALID_ACTION);
        assert_eq!(invalid, None, "seed {seed}");
    }
}

#[test]
fn a_society_survives_with_some_hunger_and_a_few_deaths() {
    let mut deaths = 0;
    for seed in [42, 1, 2] {
        let mut play = Play::new(50, seed);
        play.run_days(30);
        let living = play.society().living().count();
        assert!(living >= 40, "only {living} live after 30 days of seed {seed}");
        deaths += play.count(log::AGENT_DIED);
        let every = [
            log::AGENT_HUNGRY,
            log::AGENT_DORMANT,
            log::AGENT_AWOKE,
            log::LAW_PASSED,
            log::LAW_EXPIRED,
            log::TRADE,
            log::GIFT,
            log::SANCTION,
            log::DIRECT_MESSAGE,
            kind::FORUM_REPLY,
        ];
        for wanted in every {
            assert!(play.count(wanted) > 0, "no {wanted} in 30 days of seed {seed}");
        }
    }
    assert!(deaths > 0);
}

#[test]
fn a_world_stays_small_and_alive_for_hundreds_of_days() {
    let mut play = Play::new(12, 5);
    for _ in 0..25 {
        play.run_days(10);
        play.events.clear();
        assert!(play.society().living().count() > 3);
        assert!(play.world.documents.len() < 90, "{} documents", play.world.documents.len());
    }
}

#[test]
fn the_same_seed_makes_the_same_history_and_another_seed_another() {
    let history_of = |seed| {
        let mut play = Play::new(20, seed);
        play.run_days(12);
        history(&play.world.documents, &play.events)
    };
    assert_eq!(history_of(7), history_of(7));
    assert_ne!(history_of(7).1, history_of(8).1);
}

#[test]
fn every_turn_is_one_action_that_names_its_agent_its_mode_and_its_run() {
    let mut play = Play::new(20, 42);
    for _ in 0..400 {
        let agent = play.commons.agents(&play.world).unwrap()[0].clone();
        let events = play.step();
        let actions: Vec<_> =
            events.iter().filter(|event| event.runtime_mode().is_some()).collect();
        assert_eq!(actions.len(), 1);
        assert_eq!(actions[0].agent_id, Some(agent));
        assert_eq!(
            actions[0].metadata["runtime"],
            json!({ "mode": "deterministic_fallback", "run_id": "run-1" })
        );
        for event in &events {
            assert_eq!(event.run_id.as_deref(), Some("run-1"));
            assert!(event.metadata["category"].is_string());
            assert!(!event.description.is_empty());
        }
    }
}

#[test]
fn every_proposal_ends_once_and_its_end_counts_its_votes() {
    let mut play = Play::new(30, 9);
    play.run_days(40);
    let id = |event: &NewEvent| event.metadata["proposal_id"].as_i64().unwrap();
    let of = |wanted: &'static str| play.events.iter().filter(move |e| e.event_type == wanted);
    let created: BTreeSet<i64> = of(kind::PROPOSAL_CREATED).map(id).collect();
    let closed: BTreeSet<i64> = of(kind::PROPOSAL_CLOSED).map(id).collect();
    let open: BTreeSet<i64> = play.society().open_proposals().map(|open| open.id).collect();
    assert_eq!(of(kind::PROPOSAL_CLOSED).count(), closed.len());
    assert_eq!(&closed | &open, created);
    for event in of(kind::PROPOSAL_CLOSED) {
        let votes = |wanted: &'static str| {
            let cast = of(kind::VOTE_CAST).filter(|vote| id(vote) == id(event));
            cast.filter(|vote| vote.metadata["vote"] == wanted).count()
        };
        assert_eq!(event.metadata["yes"], votes("yes"));
        assert_eq!(event.metadata["no"], votes("no"));
        let laws = of(log::LAW_PASSED).filter(|law| id(law) == id(event)).count();
        assert_eq!(event.metadata["passed"], laws == 1);
    }
}

#[test]
fn a_day_is_a_turn_of_every_living_agent_and_ends_with_an_inventory() {
    let mut play = Play::new(10, 3);
    for _ in 0..9 {
        play.step();
    }
    assert_eq!(play.count(log::DAY_ENDED), 0);
    let last = play.step();
    assert_eq!(play.society().common.day, 2);
    let snapshot = last.iter().find(|e| e.event_type == log::INVENTORY_SNAPSHOT).unwrap();
    let inventories = snapshot.metadata["inventories"].as_array().unwrap();
    assert_eq!(inventories.len(), play.society().living().count());
    for (row, agent) in inventories.iter().zip(play.society().living()) {
        assert_eq!(row["agent_id"], agent.number);
        assert_eq!(row["food"], agent.stock.food);
        assert_eq!(row["energy"], agent.stock.energy);
        assert_eq!(row["materials"], agent.stock.materials);
    }
}
