//! Counts of events by class.

use std::sync::Arc;

use jiff::{SignedDuration, ToSpan};

use super::samples::{at, day, event};
use crate::Result;
use crate::event::{DayTally, EventClass, EventTally, EventWindow};
use crate::event::{NewEvent, RuntimeMode, kind};
use crate::store::{RunStore, TimeCursor};

const MICRO: SignedDuration = SignedDuration::from_micros(1);

fn timed(seconds: i64, event_type: &str) -> NewEvent {
    NewEvent { created_at: at(seconds), ..event(Some("run"), event_type) }
}

fn window(after: i64, until: i64) -> EventWindow {
    EventWindow { after: at(after), until: at(until) }
}

fn class(event_type: &str) -> EventClass {
    EventClass {
        event_type: event_type.to_owned(),
        mode: None,
        agent_id: None,
        category: String::new(),
        enforcement: false,
    }
}

/// A window excludes its start and includes its end, to the microsecond.
pub async fn a_window_excludes_its_start_and_includes_its_end(
    store: Arc<dyn RunStore>,
) -> Result<()> {
    let exact = |at, event_type: &str| NewEvent { created_at: at, ..event(None, event_type) };
    store
        .append(&[
            exact(at(10), "at_begin"),
            exact(at(10) + MICRO, "after_begin"),
            exact(at(20) - MICRO, "before_end"),
            exact(at(20), "at_end"),
            exact(at(20) + MICRO, "after_end"),
        ])
        .await?;
    let tallies = store.tally(window(10, 20)).await?;
    let expected = ["after_begin", "at_end", "before_end"];
    assert_eq!(tallies, expected.map(|name| EventTally { class: class(name), count: 1 }));
    assert_eq!(store.tally(window(20, 10)).await?, []);
    assert_eq!(store.tally(window(10, 10)).await?, []);
    assert_eq!(store.tally(window(100, 200)).await?, []);
    Ok(())
}

/// Events are counted by type, mode, agent, category and enforcement, and sorted.
pub async fn events_are_tallied_by_class(store: Arc<dyn RunStore>) -> Result<()> {
    let (model, rule) = (RuntimeMode::Checkpoint, RuntimeMode::DeterministicFallback);
    let work = || timed(1, "work").with("category", "economy");
    let sanction = || timed(2, "sanction").of_agent(2).with("category", "conflict");
    store
        .append(&[
            work().of_agent(2).as_action(rule),
            work().of_agent(1).as_action(model),
            work().of_agent(2).as_action(rule),
            work().of_agent("Bob").as_action(model),
            work().of_agent("Ann").as_action(rule),
            work().of_agent("Ann").as_action(rule),
            sanction().with("enforcement", true),
            sanction().with("enforcement", "no word"),
            sanction(),
            timed(3, kind::VOTE_CAST).of_agent(-3),
            timed(3, kind::INVALID_ACTION).with("category", ""),
            timed(3, "day_ended").with("category", 7),
        ])
        .await?;
    let tallies = store.tally(window(0, 10)).await?;
    let economy = |agent: &str, mode| EventClass {
        agent_id: Some(agent.into()),
        mode: Some(mode),
        category: "economy".to_owned(),
        ..class("work")
    };
    let conflict = |enforcement| EventClass {
        agent_id: Some(2.into()),
        category: "conflict".to_owned(),
        enforcement,
        ..class("sanction")
    };
    let named = |category: &str, event_type| EventClass {
        category: category.to_owned(),
        ..class(event_type)
    };
    let vote = EventClass { agent_id: Some((-3).into()), ..named("governance", kind::VOTE_CAST) };
    let expected = [
        (class("day_ended"), 1),
        (named("invalid", kind::INVALID_ACTION), 1),
        (conflict(false), 2),
        (conflict(true), 1),
        (vote, 1),
        (economy("1", model), 1),
        (economy("Bob", model), 1),
        (economy("2", rule), 2),
        (economy("Ann", rule), 2),
    ];
    assert_eq!(tallies, expected.clone().map(|(class, count)| EventTally { class, count }));
    let days = store.tally_days(day(), day()).await?;
    let of_day =
        |(class, count)| DayTally { day: day(), run_id: Some("run".to_owned()), class, count };
    assert_eq!(days, expected.map(of_day));
    Ok(())
}

/// Days are counted by UTC day and run, including late, repeated and earlier events.
pub async fn days_are_tallied_as_events_come(store: Arc<dyn RunStore>) -> Result<()> {
    let day_before = at(0) - 24.hours();
    let early = NewEvent { created_at: day_before, ..event(None, "early") };
    let first = timed(0, "work");
    store.append(std::slice::from_ref(&first)).await?;
    store.append(&[first.clone(), timed(1, "work"), first, timed(2, "trade")]).await?;
    store.append(&[early, timed(3, "work")]).await?;
    let yesterday = day().yesterday().unwrap_or(day());
    let of_run = |event_type, count| DayTally {
        day: day(),
        run_id: Some("run".to_owned()),
        class: class(event_type),
        count,
    };
    let expected = [
        DayTally { day: yesterday, run_id: None, class: class("early"), count: 1 },
        of_run("trade", 1),
        of_run("work", 3),
    ];
    assert_eq!(store.tally_days(yesterday, day()).await?, expected);
    assert_eq!(store.tally_days(day(), day()).await?, expected[1..]);
    assert_eq!(store.tally_days(day(), yesterday).await?, []);
    Ok(())
}

/// The events of some runs are counted by run, in a window and on days, without those of others.
pub async fn the_events_of_runs_are_tallied_by_run(store: Arc<dyn RunStore>) -> Result<()> {
    let of = |run_id: Option<&str>, seconds, event_type: &str| NewEvent {
        run_id: run_id.map(str::to_owned),
        ..timed(seconds, event_type)
    };
    let day_before = NewEvent { created_at: at(0) - 24.hours(), ..of(Some("b"), 0, "early") };
    store
        .append(&[
            of(Some("a"), 1, "work"),
            of(Some("a"), 2, "work").of_agent(1),
            of(Some("a"), 3, "work").of_agent(1),
            of(Some("b"), 2, "work"),
            of(Some("b"), 5, "late"),
            of(Some("c"), 2, "work"),
            of(None, 2, "work"),
            day_before,
        ])
        .await?;
    let ids = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let by_agent = EventClass { agent_id: Some(1.into()), ..class("work") };
    let counted = |run_id: &str, class, count| (run_id.to_owned(), EventTally { class, count });
    assert_eq!(
        store.tally_runs(&ids(&["b", "a", "none"]), window(1, 4)).await?,
        [counted("a", by_agent.clone(), 2), counted("b", class("work"), 1)]
    );
    assert_eq!(store.tally_runs(&ids(&["a"]), window(4, 1)).await?, []);
    assert_eq!(store.tally_runs(&[], window(0, 9)).await?, []);

    let yesterday = day().yesterday().unwrap_or(day());
    let on = |day, run_id: &str, class, count| DayTally {
        day,
        run_id: Some(run_id.to_owned()),
        class,
        count,
    };
    let early = on(yesterday, "b", class("early"), 1);
    let today = [
        on(day(), "a", class("work"), 1),
        on(day(), "a", by_agent, 2),
        on(day(), "b", class("late"), 1),
        on(day(), "b", class("work"), 1),
    ];
    let all: Vec<_> = std::iter::once(early).chain(today.iter().cloned()).collect();
    let runs = ids(&["a", "b", "none"]);
    assert_eq!(store.tally_days_of_runs(&runs, yesterday, day()).await?, all);
    assert_eq!(store.tally_days_of_runs(&runs, day(), day()).await?, today);
    assert_eq!(store.tally_days_of_runs(&ids(&["a"]), day(), day()).await?, today[..2]);
    assert_eq!(store.tally_days_of_runs(&runs, day(), yesterday).await?, []);
    // More days and runs than one statement asks for.
    let long_ago = day().checked_sub(250.days()).unwrap_or(day());
    let mut many: Vec<_> = (0..1_100).map(|n| format!("none-{n}")).collect();
    many.extend(runs);
    assert_eq!(store.tally_days_of_runs(&many, long_ago, day()).await?, all);
    assert_eq!(store.tally_runs(&many, window(1, 4)).await?.len(), 2);
    Ok(())
}

/// Events are read in order of time, in pages without duplicates, whatever the order of insertion.
pub async fn events_of_a_window_are_read_in_the_order_of_time(
    store: Arc<dyn RunStore>,
) -> Result<()> {
    let at_time = |seconds, text: &str| NewEvent {
        description: text.to_owned(),
        ..timed(seconds, kind::VOTE_CAST)
    };
    store
        .append(&[
            at_time(4, "d"),
            at_time(2, "a"),
            at_time(5, "too late"),
            timed(3, "work"),
            at_time(2, "b"),
            at_time(3, "c"),
            at_time(1, "too early"),
        ])
        .await?;
    let of_other = NewEvent { run_id: Some("other".to_owned()), ..at_time(3, "c2") };
    store.append(&[of_other]).await?;
    let cases = [
        (None, &["a", "b", "c", "c2", "d"][..]),
        (Some("run"), &["a", "b", "c", "d"]),
        (Some("other"), &["c2"]),
        (Some("none"), &[]),
    ];
    for ((run_id, expected), limit) in
        cases.into_iter().flat_map(|case| [1, 2, 3, 100].map(|limit| (case, limit)))
    {
        let (mut texts, mut after) = (Vec::new(), None);
        loop {
            let page =
                store.events_of_type(run_id, window(1, 4), kind::VOTE_CAST, after, limit).await?;
            let Some(last) = page.last() else { break };
            after = Some(TimeCursor { at: last.created_at, id: last.id });
            texts.extend(page.into_iter().map(|event| event.description));
        }
        assert_eq!(texts, expected, "{run_id:?}, pages of {limit}");
    }
    Ok(())
}

/// The latest event is found; of several at the same time, the one appended last.
pub async fn the_last_event_of_a_type_before_a_time_is_found(
    store: Arc<dyn RunStore>,
) -> Result<()> {
    let at_time = |seconds, text: &str| NewEvent {
        description: text.to_owned(),
        ..timed(seconds, kind::INVENTORY_SNAPSHOT)
    };
    let of_other = NewEvent { run_id: Some("other".to_owned()), ..at_time(4, "x") };
    store
        .append(&[at_time(5, "c"), at_time(2, "a"), at_time(2, "b"), timed(3, "work"), of_other])
        .await?;
    for (run_id, until, expected) in [
        (Some("run"), 1, None),
        (Some("run"), 2, Some("b")),
        (Some("run"), 4, Some("b")),
        (None, 4, Some("x")),
        (Some("other"), 9, Some("x")),
        (Some("other"), 3, None),
        (Some("run"), 5, Some("c")),
        (None, 9, Some("c")),
    ] {
        let found = store.last_event(run_id, kind::INVENTORY_SNAPSHOT, at(until)).await?;
        assert_eq!(found.map(|event| event.description).as_deref(), expected);
    }
    assert_eq!(store.last_event(None, "none", at(9)).await?, None);
    Ok(())
}
