//! An event does not depend on the order of its builder calls.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    InRun(&'static str),
    OfAgent,
    With,
    AsAction,
}

fn built(steps: &[Step]) -> NewEvent {
    let event = NewEvent { uid: Uuid::nil(), ..NewEvent::new("work", "", Timestamp::UNIX_EPOCH) };
    steps.iter().fold(event, |event, step| match step {
        Step::InRun(run_id) => event.in_run(Some(run_id)),
        Step::OfAgent => event.of_agent(7),
        Step::With => event.with("food", 3),
        Step::AsAction => event.as_action(RuntimeMode::DeterministicFallback),
    })
}

fn any_order() -> impl Strategy<Value = Vec<Step>> {
    Just(vec![Step::InRun("r1"), Step::OfAgent, Step::With, Step::AsAction]).prop_shuffle()
}

proptest! {
    #[test]
    fn an_event_does_not_depend_on_the_order_of_its_builder_calls(steps in any_order()) {
        let event = built(&steps);
        prop_assert_eq!(&event.metadata["runtime"]["run_id"], "r1");
        let straight = built(&[Step::InRun("r1"), Step::OfAgent, Step::With, Step::AsAction]);
        prop_assert_eq!(event, straight);
    }

    #[test]
    fn the_last_run_of_an_event_counts(steps in any_order(), at in 0..=4_usize) {
        let mut steps = steps;
        steps.insert(at, Step::InRun("r0"));
        let event = built(&steps);
        prop_assert_eq!(&event.metadata["runtime"]["run_id"], &json!(event.run_id));
    }
}
