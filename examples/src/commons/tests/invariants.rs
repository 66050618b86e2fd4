//! Invariants under arbitrary decisions: goods are conserved, and the world can be loaded.

use proptest::prelude::*;

use super::super::action::{Offer, Vote};
use super::super::event_log::kind as log;
use super::super::law::Rule;
use super::*;

fn resource() -> impl Strategy<Value = Resource> {
    prop::sample::select(Resource::ALL.to_vec())
}

fn amount() -> impl Strategy<Value = u32> {
    prop_oneof![6 => 0..5_u32, 1 => 5..40_u32, 1 => Just(u32::MAX)]
}

fn someone() -> impl Strategy<Value = i64> {
    prop_oneof![12 => 0..12_i64, 1 => any::<i64>()]
}

fn rule() -> impl Strategy<Value = Rule> {
    let tithe =
        (resource(), amount()).prop_map(|(r, percent)| Rule::Tithe { resource: r, percent });
    let cap = (resource(), 0..12_u32).prop_map(|(r, limit)| Rule::Cap { resource: r, limit });
    prop_oneof![tithe, cap, resource().prop_map(|resource| Rule::WorkBonus { resource })]
}

fn action() -> impl Strategy<Value = Action> {
    let text = || prop_oneof![4 => Just("words".to_owned()), 1 => any::<String>()];
    let vote = prop::sample::select(vec![Vote::Yes, Vote::No]);
    prop_oneof![
        4 => resource().prop_map(|resource| Action::Work { resource }),
        3 => (someone(), resource(), amount(), resource(), amount()).prop_map(
            |(with, give, give_amount, want, want_amount)| {
                Action::Trade(Offer { with, give, give_amount, want, want_amount })
            }
        ),
        2 => (someone(), resource(), amount())
            .prop_map(|(to, resource, amount)| Action::Gift { to, resource, amount }),
        1 => (text(), text()).prop_map(|(title, text)| Action::ForumPost { title, text }),
        1 => (0..60_i64, text()).prop_map(|(thread, text)| Action::ForumReply { thread, text }),
        1 => (someone(), text()).prop_map(|(to, text)| Action::DirectMessage { to, text }),
        2 => (text(), rule()).prop_map(|(title, law)| Action::Propose { title, law }),
        4 => (0..40_i64, vote).prop_map(|(proposal, vote)| Action::Vote { proposal, vote }),
        2 => (someone(), text()).prop_map(|(agent, reason)| Action::Sanction { agent, reason }),
        1 => Just(Action::Rest {}),
    ]
}

/// A decision as a worker may receive it: a model's action, the fallback rule, or garbage.
fn decision() -> impl Strategy<Value = Value> {
    let model = action().prop_map(|action| {
        let calls = super::super::decision::Calls::default();
        Decision::Model { action, calls }.to_value().unwrap()
    });
    let half = any::<String>().prop_map(|text| json!({ "source": "model", "action": text }));
    prop_oneof![6 => model, 2 => Just(Value::Null), 1 => half, 1 => any::<i64>().prop_map(Value::from)]
}

/// The amounts that the action of `event` produces or uses up, by resource.
fn produced(event: &NewEvent) -> [i64; 3] {
    let number = |key: &str| event.metadata.get(key).and_then(Value::as_i64).unwrap_or_default();
    let mut made = [0; 3];
    match event.event_type.as_str() {
        log::WORK | log::REST => {
            let resource = &event.metadata["resource"];
            let index = Resource::ALL.iter().position(|r| *resource == r.to_string()).unwrap();
            made[index] += number("amount");
            made[1] -= number("energy_spent");
            made[2] -= number("tools_used");
        }
        log::SANCTION if event.metadata["upheld"] == false => made[1] -= 1,
        _ => {}
    }
    made
}

/// Takes a turn per decision, each by the next agent, and checks the invariants after each.
fn check(seed: u64, decisions: Vec<Value>) -> Result<(), TestCaseError> {
    let mut play = Play::new(10, seed);
    for decision in decisions {
        let before = play.society();
        let agent = before.turn_order()[0];
        let events = play.decide(agent, decision);
        let after = play.society();

        let actions = events.iter().filter(|event| event.runtime_mode().is_some()).count();
        prop_assert_eq!(actions, 1);
        prop_assert_eq!(&events[0].agent_id, &Some(agent.into()));
        for event in &events {
            prop_assert_eq!(event.run_id.as_deref(), Some("run-1"));
            prop_assert!(!event.description.chars().any(char::is_control));
        }
        if after.common.day == before.common.day {
            let (had, has, made) =
                (total_goods(&before), total_goods(&after), produced(&events[0]));
            for index in 0..3 {
                prop_assert_eq!(has[index].cast_signed(), had[index].cast_signed() + made[index]);
            }
        }
        prop_assert!(after.living().count() > 0);
        prop_assert!(after.forum.posts.len() <= 40);
        for proposal in after.proposals.values() {
            prop_assert!(proposal.is_open() == proposal.passed.is_none());
            prop_assert!(proposal.put_on <= after.common.day);
        }
        for (index, law) in after.common.laws.iter().enumerate() {
            let rest = &after.common.laws[index + 1..];
            prop_assert!(!rest.iter().any(|other| other.rule.conflicts_with(law.rule)));
        }
        // Storing what was loaded changes nothing.
        prop_assert_eq!(after.documents().unwrap(), play.world.documents.clone());
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn goods_are_conserved_in_any_short_history(
        seed in any::<u64>(),
        decisions in prop::collection::vec(decision(), 1..80),
    ) {
        check(seed, decisions)?;
    }
}

proptest! {
    // Failures are not shrunk here: the short histories above find and shrink them.
    #![proptest_config(ProptestConfig { cases: 1, max_shrink_iters: 0, ..ProptestConfig::default() })]

    #[test]
    fn goods_are_conserved_in_a_long_history(
        seed in any::<u64>(),
        decisions in prop::collection::vec(decision(), 2_000),
    ) {
        check(seed, decisions)?;
    }
}
