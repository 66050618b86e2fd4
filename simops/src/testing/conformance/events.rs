//! The event log.

use std::sync::Arc;

use serde_json::json;

use super::joined;
use super::samples::{at, event};
use crate::Result;
use crate::event::{Event, NewEvent, RuntimeMode};
use crate::store::{ActivityScope, EventCount, EventFilter, RunStore};

fn any(limit: usize) -> EventFilter {
    EventFilter { limit, ..EventFilter::default() }
}

fn descriptions(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| event.description.as_str()).collect()
}

fn named(run_id: Option<&str>, event_type: &str, description: &str) -> NewEvent {
    NewEvent { description: description.to_owned(), ..event(run_id, event_type) }
}

/// Later events have greater ids; every field is stored.
pub async fn events_are_appended_in_order(store: Arc<dyn RunStore>) -> Result<()> {
    let full = NewEvent {
        description: "an agent voted".to_owned(),
        created_at: at(-3),
        ..event(Some("run"), "vote_cast")
    }
    .of_agent(42)
    .with("proposal", 7)
    .with("nested", json!({ "list": [1, null, "x"] }))
    .as_action(RuntimeMode::Checkpoint);
    store.append(&[full.clone(), event(None, "second")]).await?;
    store.append(&[]).await?;
    store.append(&[event(None, "third")]).await?;

    let listed = store.events(&any(10)).await?.items;
    let types: Vec<_> = listed.iter().map(|event| event.event_type.as_str()).collect();
    assert_eq!(types, ["third", "second", "vote_cast"]);
    assert!(listed.windows(2).all(|pair| pair[0].id > pair[1].id));
    let stored = &listed[2];
    assert_eq!(stored.run_id, full.run_id);
    assert_eq!(stored.agent_id, full.agent_id);
    assert_eq!(stored.description, full.description);
    assert_eq!(stored.metadata, full.metadata);
    assert_eq!(stored.created_at, full.created_at);
    assert_eq!(store.event(stored.id).await?.as_ref(), Some(stored));
    Ok(())
}

/// An event is stored once per uid, whether it is repeated later or in the same call.
pub async fn an_event_is_appended_once(store: Arc<dyn RunStore>) -> Result<()> {
    let (first, second) = (event(Some("run"), "a"), event(Some("run"), "b"));
    store.append(std::slice::from_ref(&first)).await?;
    let changed = NewEvent { description: "changed".to_owned(), ..first.clone() };
    store.append(&[changed, second.clone(), second.clone(), first.clone()]).await?;
    let listed = store.events(&any(10)).await?.items;
    assert_eq!(descriptions(&listed), ["something happened", "something happened"]);
    for scope in [ActivityScope::Run("run".to_owned()), ActivityScope::Since(at(0))] {
        let counts = store.count_events(&scope).await?;
        assert_eq!(counts.iter().map(|count| count.count).collect::<Vec<_>>(), [1, 1]);
    }
    Ok(())
}

/// Events are filtered by run, by type, by both, and after a cursor.
pub async fn events_are_filtered_by_run_and_type(store: Arc<dyn RunStore>) -> Result<()> {
    store
        .append(&[
            named(Some("one"), "work", "1"),
            named(Some("two"), "work", "2"),
            named(Some("one"), "trade", "3"),
            named(None, "work", "4"),
            named(Some("one"), "work", "5"),
        ])
        .await?;
    let filter = |run: Option<&str>, event_type: Option<&str>| EventFilter {
        run_id: run.map(str::to_owned),
        event_type: event_type.map(str::to_owned),
        ..any(10)
    };
    for (run, event_type, expected) in [
        (Some("one"), None, vec!["5", "3", "1"]),
        (None, Some("work"), vec!["5", "4", "2", "1"]),
        (Some("one"), Some("work"), vec!["5", "1"]),
        (Some("two"), Some("trade"), vec![]),
        (Some("three"), None, vec![]),
    ] {
        let filter = filter(run, event_type);
        let page = store.events(&filter).await?;
        assert_eq!(descriptions(&page.items), expected, "{filter:?}");
        if let [newest, ..] = page.items.as_slice() {
            let older = EventFilter { before: Some(newest.id), ..filter };
            assert_eq!(descriptions(&store.events(&older).await?.items), expected[1..]);
        }
    }
    Ok(())
}

/// Events are listed by time, and filtered by a lower and an upper time, alone and combined with run and
/// type.
pub async fn events_are_filtered_by_time(store: Arc<dyn RunStore>) -> Result<()> {
    let timed = |seconds: i64, event_type: &str| NewEvent {
        created_at: at(seconds),
        ..named(Some("run"), event_type, &seconds.to_string())
    };
    let events = [timed(3, "work"), timed(1, "work"), timed(2, "trade"), timed(4, "work")];
    store.append(&events).await?;
    let (run, work) = (Some("run".to_owned()), Some("work".to_owned()));
    for (after, until, run_id, event_type, expected) in [
        (None, None, None, None, vec!["4", "3", "2", "1"]),
        (Some(1), None, None, None, vec!["4", "3", "2"]),
        (None, Some(3), None, None, vec!["3", "2", "1"]),
        (Some(1), Some(3), None, None, vec!["3", "2"]),
        (Some(1), Some(3), None, work.clone(), vec!["3"]),
        (Some(1), Some(3), run.clone(), None, vec!["3", "2"]),
        (Some(0), Some(4), run.clone(), work, vec!["4", "3", "1"]),
        (Some(3), Some(1), run, None, vec![]),
    ] {
        let filter = EventFilter {
            run_id,
            event_type,
            after: after.map(at),
            until: until.map(at),
            ..any(10)
        };
        let page = store.events(&filter).await?;
        assert_eq!(descriptions(&page.items), expected, "{filter:?}");
        if let [newest, ..] = page.items.as_slice() {
            let older = EventFilter { before: Some(newest.id), limit: 1, ..filter };
            let older = store.events(&older).await?;
            assert_eq!(descriptions(&older.items), expected[1..2.min(expected.len())]);
        }
    }
    Ok(())
}

/// Pages have no gaps or duplicates, also while events are appended.
pub async fn pages_of_events_show_each_once(store: Arc<dyn RunStore>) -> Result<()> {
    for number in 0..5 {
        store.append(&[named(Some("run"), "work", &number.to_string())]).await?;
    }
    let mut filter = EventFilter { run_id: Some("run".to_owned()), ..any(2) };
    let mut listed = Vec::new();
    loop {
        let page = store.events(&filter).await?;
        listed.extend(page.items.into_iter().map(|event| event.description));
        store.append(&[named(Some("run"), "work", "new")]).await?;
        match page.next {
            Some(next) => filter.before = Some(next),
            None => break,
        }
    }
    assert_eq!(listed, ["4", "3", "2", "1", "0"]);
    Ok(())
}

/// An unknown id has no event.
pub async fn an_unknown_event_is_none(store: Arc<dyn RunStore>) -> Result<()> {
    store.append(&[event(None, "work")]).await?;
    for id in [i64::MIN, -1, 0, 1_000_000, i64::MAX] {
        assert_eq!(store.event(id).await?, None);
    }
    Ok(())
}

fn mixed() -> Vec<NewEvent> {
    let checkpoint = |event: NewEvent| event.as_action(RuntimeMode::Checkpoint);
    let fallback = |event: NewEvent| event.as_action(RuntimeMode::DeterministicFallback);
    vec![
        fallback(event(Some("one"), "work")),
        checkpoint(event(Some("one"), "work")),
        checkpoint(event(Some("one"), "trade")),
        checkpoint(event(Some("one"), "work")),
        event(Some("one"), "work"),
        event(Some("one"), "work").with("runtime", json!({ "mode": "unknown" })),
        event(Some("two"), "work"),
        event(None, "work"),
    ]
}

fn count(event_type: &str, mode: Option<RuntimeMode>, count: i64) -> EventCount {
    EventCount { event_type: event_type.to_owned(), mode, count }
}

/// Only the run's events are counted, sorted by type and mode.
pub async fn events_of_a_run_are_counted_by_type_and_mode(store: Arc<dyn RunStore>) -> Result<()> {
    let events = mixed();
    store.append(&events[..3]).await?;
    store.append(&events[3..]).await?;
    let counted = async |run: &str| store.count_events(&ActivityScope::Run(run.to_owned())).await;
    assert_eq!(
        counted("one").await?,
        [
            count("trade", Some(RuntimeMode::Checkpoint), 1),
            count("work", None, 2),
            count("work", Some(RuntimeMode::Checkpoint), 2),
            count("work", Some(RuntimeMode::DeterministicFallback), 1),
        ]
    );
    assert_eq!(counted("two").await?, [count("work", None, 1)]);
    assert_eq!(counted("three").await?, []);
    Ok(())
}

/// Events of any run or none are counted from that time on.
pub async fn events_since_a_time_are_counted(store: Arc<dyn RunStore>) -> Result<()> {
    let mut events = mixed();
    for (seconds, event) in (0..).zip(&mut events) {
        event.created_at = at(seconds);
    }
    store.append(&events).await?;
    assert_eq!(
        store.count_events(&ActivityScope::Since(at(2))).await?,
        [
            count("trade", Some(RuntimeMode::Checkpoint), 1),
            count("work", None, 4),
            count("work", Some(RuntimeMode::Checkpoint), 1),
        ]
    );
    assert_eq!(store.count_events(&ActivityScope::Since(at(8))).await?, []);
    Ok(())
}

/// No append is lost or interleaved, each keeps its order, and the counts match the log.
pub async fn concurrent_appends_are_all_kept(store: Arc<dyn RunStore>) -> Result<()> {
    let mut writers = Vec::new();
    for writer in 0..16 {
        let store = Arc::clone(&store);
        writers.push(tokio::spawn(async move {
            let name = writer.to_string();
            let pair = [named(Some("run"), "a", &name), named(Some("run"), "b", &name)];
            store.append(&pair).await
        }));
    }
    for writer in writers {
        joined(writer).await??;
    }
    let listed = store.events(&any(100)).await?.items;
    assert_eq!(listed.len(), 32);
    assert!(listed.chunks(2).all(|pair| pair[0].description == pair[1].description));
    assert!(listed.chunks(2).all(|pair| pair[0].event_type == "b" && pair[1].event_type == "a"));
    let counts = store.count_events(&ActivityScope::Run("run".to_owned())).await?;
    assert_eq!(counts, [count("a", None, 16), count("b", None, 16)]);
    Ok(())
}
