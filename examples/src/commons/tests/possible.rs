//! Refused actions become an `invalid_action` event and change nothing but the turn counter; other
//! actions have their documented effects.

use simops::event::{RuntimeMode, kind};

use super::super::action::{Offer, Vote};
use super::super::agent::Condition;
use super::super::event_log::kind as log;
use super::super::law::{Law, Rule};
use super::super::stock::Stock;
use super::*;

const FOOD: Resource = Resource::Food;
const MATERIALS: Resource = Resource::Materials;

/// Agent 1 owns five of everything, agent 2 three; 3 is dormant, 4 is dead.
fn four() -> Play {
    let mut play = Play::new(5, 1);
    play.edit(|society| {
        for (number, amount) in [(1, 5), (2, 3), (3, 3), (4, 0), (5, 0)] {
            let agent = society.agent_mut(number).unwrap();
            agent.stock = Stock { food: amount, energy: amount, materials: amount };
        }
        society.agent_mut(3).unwrap().state = Condition::Dormant;
        society.agent_mut(4).unwrap().state = Condition::Dead;
        society.common.founders = 4;
    });
    play
}

fn offer(with: i64, give_amount: u32, want_amount: u32) -> Action {
    Action::Trade(Offer { with, give: FOOD, give_amount, want: MATERIALS, want_amount })
}

fn cap(limit: u32) -> Rule {
    Rule::Cap { resource: FOOD, limit }
}

#[test]
fn impossible_actions_are_recorded_with_a_reason_and_change_nothing() {
    let text = || "words".to_owned();
    let gift = |to, amount| Action::Gift { to, resource: FOOD, amount };
    let propose = |law| Action::Propose { title: text(), law };
    let cases = [
        (1, gift(2, 6), "only 5"),
        (1, gift(2, u32::MAX), "only 5"),
        (1, gift(2, 0), "at least one"),
        (1, gift(1, 1), "to itself"),
        (1, gift(4, 1), "dead"),
        (1, gift(99, 1), "no agent 99"),
        (1, gift(i64::MIN, 1), "no agent"),
        (1, offer(3, 1, 1), "dormant"),
        (1, offer(4, 1, 1), "dead"),
        (1, offer(2, 0, 1), "two different goods"),
        (1, offer(2, 9, 1), "only 5"),
        (5, Action::Work { resource: FOOD }, "1 energy"),
        (1, Action::ForumPost { title: " ".to_owned(), text: text() }, "text is empty"),
        (1, Action::ForumReply { thread: 7, text: text() }, "no thread 7"),
        (1, Action::DirectMessage { to: 4, text: text() }, "dead"),
        (1, Action::Vote { proposal: 1, vote: Vote::Yes }, "no proposal 1"),
        (1, propose(cap(2)), "limit must be between"),
        (1, propose(Rule::Tithe { resource: FOOD, percent: 0 }), "percent must be between"),
        (1, propose(Rule::Tithe { resource: FOOD, percent: 51 }), "percent must be between"),
        (1, Action::Sanction { agent: 1, reason: text() }, "to itself"),
        (5, Action::Sanction { agent: 1, reason: text() }, "takes energy"),
    ];
    for (agent, action, reason) in cases {
        let mut play = four();
        let before = play.society();
        let events = play.act(agent, action.clone());
        let [event] = &events[..] else { panic!("{action:?}: {events:?}") };
        assert_eq!(event.event_type, log::INVALID_ACTION, "{action:?}");
        assert_eq!(event.runtime_mode(), Some(RuntimeMode::Checkpoint));
        assert_eq!(event.metadata["attempted"], action.name());
        assert!(event.description.contains(reason), "{}", event.description);
        let mut expected = before;
        expected.common.turns_today += 1;
        expected.agent_mut(agent).unwrap().turns += 1;
        assert_eq!(play.society(), expected, "{action:?}");
    }
}

#[test]
fn dormant_agents_rest_whatever_a_model_chooses() {
    let events = four().act(3, Action::Work { resource: FOOD });
    assert_eq!(events[0].event_type, log::REST);
    assert_eq!(events[0].runtime_mode(), Some(RuntimeMode::DeterministicFallback));
}

#[test]
fn dead_and_unknown_agents_take_no_turn() {
    for agent in [4, 99] {
        let mut play = four();
        let before = play.world.documents.clone();
        assert_eq!(play.act(agent, Action::Rest {}), []);
        assert_eq!(play.world.documents, before);
    }
    assert_eq!(four().society().turn_order(), [1, 2, 3, 5]);
}

#[test]
fn an_unreadable_decision_becomes_the_fallback_rule() {
    let garbage = [
        Value::Null,
        json!(7),
        json!([]),
        json!({ "source": "model" }),
        json!({ "source": "model", "action": { "action": "fly" }, "calls": {} }),
        json!({ "source": "oracle", "action": { "action": "rest" } }),
    ];
    for decision in garbage {
        let events = four().decide(1, decision);
        assert_eq!(events[0].runtime_mode(), Some(RuntimeMode::DeterministicFallback));
        assert_ne!(events[0].event_type, log::INVALID_ACTION);
    }
}

#[test]
fn a_trade_that_would_cut_into_the_reserve_is_declined() {
    let mut play = four();
    let before = play.society();
    assert_eq!(play.act(1, offer(2, 2, 2))[0].event_type, log::TRADE_DECLINED);
    assert_eq!(play.society().agents[&1].stock, before.agents[&1].stock);
    let traded = play.act(1, offer(2, 1, 1));
    assert_eq!(traded[0].event_type, log::TRADE);
    assert_eq!(traded[0].metadata["target_agent_id"], 2);
    let society = play.society();
    assert_eq!(society.agents[&1].stock, Stock { food: 4, energy: 5, materials: 6 });
    assert_eq!(society.agents[&2].stock, Stock { food: 4, energy: 3, materials: 2 });
}

#[test]
fn a_passed_proposal_becomes_a_law_and_offenders_are_fined() {
    let mut play = four();
    play.edit(|society| society.agent_mut(1).unwrap().stock.food = 20);
    let title = "Enough is enough".to_owned();
    play.act(2, Action::Propose { title: title.clone(), law: cap(12) });
    let again = play.act(1, Action::Propose { title, law: cap(15) });
    assert_eq!(again[0].event_type, log::INVALID_ACTION, "one cap on food at a time");

    let vote = |vote| Action::Vote { proposal: 1, vote };
    assert_eq!(play.act(2, vote(Vote::Yes)).len(), 1);
    let decided = play.act(5, vote(Vote::Yes));
    let types: Vec<_> = decided.iter().map(|event| event.event_type.as_str()).collect();
    assert_eq!(types[..3], [kind::VOTE_CAST, kind::PROPOSAL_CLOSED, log::LAW_PASSED]);
    assert_eq!(decided[0].metadata["vote"], "yes");
    assert_eq!(decided[1].metadata["proposal_id"], 1);
    assert_eq!(decided[1].metadata["passed"], true);
    assert_eq!(decided[1].metadata["yes"], 2);
    assert_eq!(decided[1].metadata["no"], 0);
    assert_eq!(decided[1].runtime_mode(), None, "a consequence is not an action");

    // The day has ended in between; only agent 1 still owns more than the cap.
    let before = total_goods(&play.society());
    let rich = play.society().agents[&1].stock.food;
    let fined = play.act(2, Action::Sanction { agent: 1, reason: "Share!".to_owned() });
    assert_eq!(fined[0].event_type, log::SANCTION);
    assert_eq!(fined[0].metadata["upheld"], true);
    assert_eq!(fined[0].metadata["enforcement"], true);
    assert_eq!(fined[0].metadata["fine"]["amount"], 4);
    assert_eq!(play.society().agents[&1].stock.food, rich - 4);
    assert_eq!(total_goods(&play.society()), before);
}

#[test]
fn an_accusation_without_a_law_costs_the_accuser() {
    let mut play = four();
    let accusation = play.act(1, Action::Sanction { agent: 2, reason: "I envy you".to_owned() });
    assert_eq!(accusation[0].metadata["upheld"], false);
    assert_eq!(play.society().agents[&1].stock.energy, 4);
    assert_eq!(play.society().agents[&2].stock.energy, 3);
}

#[test]
fn laws_change_the_yield_of_work_and_the_tithes_of_a_day() {
    let law = |id, rule| Law { id, proposal_id: id, rule, until: 99 };
    let work = Action::Work { resource: MATERIALS };
    let gained = |rules: &[Rule]| {
        let mut play = four();
        play.edit(|society| society.common.laws = rules.iter().map(|r| law(1, *r)).collect());
        play.act(1, work.clone())[0].metadata["amount"].as_u64().unwrap()
    };
    assert_eq!(gained(&[Rule::WorkBonus { resource: MATERIALS }]), gained(&[]) + 1);

    let mut play = four();
    play.edit(|society| {
        society.common.laws = vec![law(1, Rule::Tithe { resource: MATERIALS, percent: 25 })];
        society.agent_mut(1).unwrap().stock.materials = 12;
    });
    let before = total_goods(&play.society())[2];
    for agent in [1, 2, 3, 5] {
        play.act(agent, Action::Rest {});
    }
    assert_eq!(play.society().common.day, 2);
    assert_eq!(play.society().agents[&1].stock.materials, 10, "a quarter of what is beyond 4");
    assert_eq!(play.society().common.pool.materials, 2);
    assert_eq!(total_goods(&play.society())[2], before);
}

#[test]
fn hunger_leads_to_dormancy_and_death_and_goods_go_to_the_pool() {
    let mut play = Play::new(4, 1);
    play.edit(|society| {
        society.common.pool.food = 0;
        let starved = society.agent_mut(1).unwrap();
        starved.stock = Stock { food: 0, energy: 9, materials: 3 };
    });
    while play.count(log::AGENT_DIED) == 0 {
        assert!(play.society().common.day < 12, "it starves on");
        for agent in play.society().turn_order() {
            // No agent works on food, so no tithe or gift saves agent 1.
            play.act(agent, Action::Rest {});
        }
        play.edit(|society| {
            for agent in 2..=4 {
                society.agent_mut(agent).unwrap().stock.food = 3;
            }
        });
    }
    let of_agent_1 = play.events.iter().filter(|event| event.agent_id == Some(1.into()));
    let stages = [log::AGENT_HUNGRY, log::AGENT_DORMANT, log::AGENT_DIED];
    let observed: Vec<_> = of_agent_1
        .map(|event| event.event_type.as_str())
        .filter(|event_type| stages.contains(event_type))
        .collect();
    let first = |wanted| observed.iter().position(|event_type| *event_type == wanted);
    assert!(
        first(stages[0]) < first(stages[1]) && first(stages[1]) < first(stages[2]),
        "{observed:?}"
    );
    let society = play.society();
    assert_eq!(society.agents[&1].stock, Stock::default());
    assert_eq!(society.common.pool.materials, 3);
    assert!(!society.turn_order().contains(&1));
}

#[test]
fn texts_are_stored_and_truncated() {
    let mut play = four();
    let text = "a\nb".repeat(1_000);
    let post = play.act(1, Action::ForumPost { title: "Hello".to_owned(), text });
    assert_eq!(post[0].event_type, kind::FORUM_POST);
    assert_eq!(post[0].metadata["text"].as_str().unwrap().chars().count(), 500);
    let reply = play.act(2, Action::ForumReply { thread: 1, text: "Yes.".to_owned() });
    assert_eq!(reply[0].event_type, kind::FORUM_REPLY);
    assert_eq!(reply[0].metadata["thread_id"], 1);
    for number in 0..5 {
        play.act(2, Action::DirectMessage { to: 1, text: format!("letter {number}") });
    }
    let letters: Vec<_> =
        play.society().agents[&1].letters.iter().map(|letter| letter.text.clone()).collect();
    assert_eq!(letters, ["letter 2", "letter 3", "letter 4"]);
}
