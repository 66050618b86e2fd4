//! Window figures against naive versions that look at every event, pair and vote.

use std::collections::{BTreeMap, BTreeSet};

use crate::AgentId;
use crate::baseline::votes::Votes;
use crate::baseline::wealth::gini;
use crate::baseline::window::{entropy_bits, governance_participants, herfindahl, windows};
use crate::baseline::{Emergence, Inventories, WindowRow};
use crate::event::{Event, NewEvent, RuntimeMode, kind};
use crate::event::{EventClass, EventTally, EventWindow};
use crate::store::{EventStore, TallyStore};
use crate::testing::MemoryStore;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use serde_json::json;

const TYPES: [&str; 5] = ["work", "trade", "gift", kind::VOTE_CAST, kind::INVALID_ACTION];
const CATEGORIES: [&str; 5] = ["", "economy", "conflict", "cooperation", "governance"];

fn at(micros: i64) -> Timestamp {
    Timestamp::from_microsecond(1_767_225_600_000_000 + micros).unwrap()
}

/// Agents with numbers, and agents with names.
fn agent_of(number: i64) -> AgentId {
    if number % 2 == 0 { number.into() } else { format!("Agent {number}").into() }
}

prop_compose! {
    fn any_event()(
        micros in 0..40_i64,
        event_type in prop::sample::select(&TYPES[..]),
        category in prop::sample::select(&CATEGORIES[..]),
        agent in prop::option::of(0..4_i64),
        mode in prop::option::of(any::<bool>()),
        enforcement in prop::option::weighted(0.2, any::<bool>()),
    ) -> NewEvent {
        let mut event = NewEvent::new(event_type, "", at(micros)).with("category", category);
        event.agent_id = agent.map(agent_of);
        if let Some(enforcement) = enforcement {
            event = event.with("enforcement", enforcement);
        }
        match mode {
            None => event,
            Some(true) => event.as_action(RuntimeMode::Checkpoint),
            Some(false) => event.as_action(RuntimeMode::DeterministicFallback),
        }
    }
}

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-9
}

fn both_near(a: Option<f64>, b: Option<f64>) -> bool {
    a.is_some() == b.is_some() && a.zip(b).is_none_or(|(a, b)| near(a, b))
}

/// The row of a window as one would count it by hand, event by event.
fn by_hand(window: EventWindow, events: &[NewEvent]) -> WindowRow {
    let inside: Vec<_> = events
        .iter()
        .filter(|event| event.created_at > window.after && event.created_at <= window.until)
        .collect();
    let actions: Vec<_> = inside.iter().filter(|event| event.runtime_mode().is_some()).collect();
    let n = actions.len() as f64;
    let types: BTreeSet<_> = actions.iter().map(|event| event.event_type.as_str()).collect();
    let of = |name: &str| actions.iter().filter(|event| event.event_type == name).count();
    // log2 n minus the mean of log2 of each action's own class.
    let entropy = if actions.is_empty() {
        0.0
    } else {
        let logs = actions.iter().map(|event| (of(&event.event_type) as f64).log2()).sum::<f64>();
        n.log2() - logs / n
    };
    let mut top: Option<&str> = None;
    for name in &types {
        if top.is_none_or(|best| of(name) > of(best)) {
            top = Some(name);
        }
    }
    let agents: Vec<_> = actions.iter().filter_map(|event| event.agent_id.as_ref()).collect();
    // The chance that two actions drawn at random are of one agent.
    let same = agents.iter().flat_map(|a| agents.iter().map(move |b| a == b));
    let same = same.filter(|same| *same).count() as f64;
    let busiest = agents.iter().map(|agent| agents.iter().filter(|a| *a == agent).count()).max();
    let m = agents.len() as f64;
    let int = |count: usize| i64::try_from(count).unwrap();
    let count = |wanted: &dyn Fn(&NewEvent) -> bool| {
        int(inside.iter().filter(|event| wanted(event)).count())
    };
    WindowRow {
        window_start_utc: window.after,
        window_end_utc: window.until,
        total_events: int(inside.len()),
        total_actions: int(actions.len()),
        unique_action_types: int(types.len()),
        action_entropy_bits: entropy,
        top_action: top.map(str::to_owned),
        top_action_share: top.map(|name| of(name) as f64 / n),
        top_agent_share: busiest.map(|busiest| busiest as f64 / m),
        agent_hhi: (!agents.is_empty()).then(|| same / (m * m)),
        governance_events: count(&|event| event.category() == "governance"),
        enforcement_events: count(&|event| event.metadata.get("enforcement") == Some(&json!(true))),
        invalid_actions: count(&|event| {
            event.runtime_mode().is_some() && event.category() == "invalid"
        }),
    }
}

fn agree(row: &WindowRow, expected: &WindowRow) -> bool {
    let floats = near(row.action_entropy_bits, expected.action_entropy_bits)
        && both_near(row.top_action_share, expected.top_action_share)
        && both_near(row.top_agent_share, expected.top_agent_share)
        && both_near(row.agent_hhi, expected.agent_hhi);
    let without_floats = |row: &WindowRow| WindowRow {
        action_entropy_bits: 0.0,
        top_action_share: None,
        top_agent_share: None,
        agent_hhi: None,
        ..row.clone()
    };
    floats && without_floats(row) == without_floats(expected)
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
}

fn vote(agent: i64, proposal: i64, choice: u8) -> Event {
    let new = NewEvent::new(kind::VOTE_CAST, "", at(0))
        .of_agent(agent_of(agent))
        .with("proposal_id", proposal)
        .with("vote", ["yes", "no", "abstain"][usize::from(choice)]);
    Event {
        id: 1,
        run_id: new.run_id,
        agent_id: new.agent_id,
        event_type: new.event_type,
        description: new.description,
        metadata: new.metadata,
        created_at: new.created_at,
    }
}

/// The pairs that vote alike, by comparing every two agents on every proposal.
fn edges_by_hand(votes: &[(i64, i64, u8)]) -> BTreeSet<(i64, i64)> {
    let last: BTreeMap<(i64, i64), u8> =
        votes.iter().map(|(agent, proposal, choice)| ((*agent, *proposal), *choice)).collect();
    let mut edges = BTreeSet::new();
    for a in 0..6 {
        for b in a + 1..6 {
            let shared: Vec<_> = (0..5)
                .filter_map(|proposal| Some((last.get(&(a, proposal))?, last.get(&(b, proposal))?)))
                .collect();
            let alike = shared.iter().filter(|(a, b)| a == b).count();
            if shared.len() >= 2 && alike as f64 / shared.len() as f64 >= 0.7 {
                edges.insert((a, b));
            }
        }
    }
    edges
}

fn counted(votes: &[(i64, i64, u8)]) -> Votes {
    let mut counted = Votes::default();
    votes.iter().for_each(|(agent, proposal, choice)| {
        counted.add(&vote(*agent, *proposal, *choice));
    });
    counted
}

fn any_votes() -> impl Strategy<Value = Vec<(i64, i64, u8)>> {
    prop::collection::vec((0..6_i64, 0..5_i64, 0..3_u8), 0..60)
}

proptest! {
    #[test]
    fn every_row_is_what_counting_by_hand_gives(
        events in prop::collection::vec(any_event(), 0..80),
        end in 0..45_i64,
        length in 1..12_i64,
    ) {
        let rows = block_on(async {
            let store = MemoryStore::new();
            store.append(&events).await.unwrap();
            let mut rows = Vec::new();
            for window in windows(at(end), 4, SignedDuration::from_micros(length)) {
                let tallies = store.tally(window).await.unwrap();
                rows.push((window, WindowRow::of(window, &tallies), tallies));
            }
            rows
        });
        for (window, row, tallies) in rows {
            let expected = by_hand(window, &events);
            prop_assert!(agree(&row, &expected), "{row:#?} is not {expected:#?}");
            let governing = events.iter().filter(|event| {
                window.contains(event.created_at)
                    && event.runtime_mode().is_some()
                    && event.category() == "governance"
            });
            let governing: BTreeSet<_> =
                governing.filter_map(|event| event.agent_id.clone()).collect();
            prop_assert_eq!(governance_participants(&tallies), governing);
        }
    }

    #[test]
    fn windows_follow_each_other_so_that_each_event_is_in_exactly_one(
        end in 0..1_000_i64,
        count in 1..20_usize,
        length in 1..50_i64,
        event in -1_000..1_000_i64,
    ) {
        let windows = windows(at(end), count, SignedDuration::from_micros(length));
        prop_assert_eq!(windows.len(), count);
        let first = end - i64::try_from(count).unwrap() * length;
        let expected = usize::from(first < event && event <= end);
        prop_assert_eq!(windows.iter().filter(|window| window.contains(at(event))).count(), expected);
        prop_assert_eq!(windows.last().map(|window| window.until), Some(at(end)));
        prop_assert!(windows.is_sorted_by_key(|window| window.until));
    }

    #[test]
    fn gini_is_the_mean_difference_of_all_pairs(amounts in prop::collection::vec(0..50_u32, 1..40)) {
        let amounts: Vec<f64> = amounts.into_iter().map(f64::from).collect();
        let n = amounts.len() as f64;
        let mean = amounts.iter().sum::<f64>() / n;
        let differences: f64 =
            amounts.iter().flat_map(|a| amounts.iter().map(move |b| (a - b).abs())).sum();
        let expected = if mean == 0.0 { 0.0 } else { differences / (2.0 * n * n * mean) };
        let found = gini(&amounts).unwrap();
        prop_assert!(near(found, expected), "{found} is not {expected}");
        prop_assert!((0.0..=1.0).contains(&found));
    }

    #[test]
    fn coalitions_are_the_pairs_found_by_comparing_all(now in any_votes(), before in any_votes()) {
        let found = counted(&now).coalitions(&counted(&before));
        let (now, before) = (edges_by_hand(&now), edges_by_hand(&before));
        let union = now.union(&before).count();
        let changed = now.symmetric_difference(&before).count();
        prop_assert_eq!(found.edges, i64::try_from(now.len()).unwrap());
        let expected = (union > 0).then(|| changed as f64 / union as f64);
        prop_assert!(both_near(found.churn(), expected));
    }

    #[test]
    fn entropy_and_herfindahl_index_keep_their_bounds(counts in prop::collection::vec(1..100_u32, 1..12)) {
        let whole: u32 = counts.iter().sum();
        let shares: Vec<_> = counts.iter().map(|c| f64::from(*c) / f64::from(whole)).collect();
        let n = counts.len() as f64;
        let (bits, index) = (entropy_bits(&shares), herfindahl(&shares));
        prop_assert!((0.0..=n.log2() + 1e-9).contains(&bits));
        prop_assert!((1.0 / n - 1e-9..=1.0 + 1e-9).contains(&index));
    }
}

#[test]
fn exactly_70_percent_of_exactly_2_shared_votes_is_enough() {
    let votes = |alike: i64, shared: i64| {
        let one = (0..shared).map(|proposal| (1, proposal, 0));
        let other = (0..shared).map(|proposal| (2, proposal, u8::from(proposal >= alike)));
        one.chain(other).collect::<Vec<_>>()
    };
    let edges = |alike, shared| counted(&votes(alike, shared)).coalitions(&Votes::default()).edges;
    assert_eq!(edges(1, 1), 0);
    assert_eq!(edges(2, 2), 1);
    assert_eq!(edges(1, 2), 0);
    assert_eq!(edges(7, 10), 1);
    assert_eq!(edges(69, 100), 0);
    assert_eq!(edges(70, 100), 1);
}

#[test]
fn the_same_number_in_another_run_is_another_proposal() {
    let mut votes = Votes::default();
    for run in ["a", "b"] {
        for agent in [1, 2] {
            let cast = vote(agent, 7, u8::from(run == "b" && agent == 2));
            votes.add(&Event { run_id: Some(run.to_owned()), ..cast });
        }
    }
    // Alike on one of two shared votes: had run b's vote replaced run a's there were one.
    assert_eq!(votes.coalitions(&Votes::default()).edges, 0);
}

fn snapshot(inventories: serde_json::Value) -> Option<Inventories> {
    let event = vote(1, 1, 0);
    let mut metadata = event.metadata.clone();
    metadata.insert("inventories".to_owned(), inventories);
    Inventories::of_event(&Event { metadata, ..event })
}

#[test]
fn an_inventory_shows_living_agents_and_their_wealth() {
    let owned = snapshot(json!([
        { "agent_id": 1, "state": "alive", "food": 6, "energy": 2, "materials": 0 },
        { "agent_id": "Ann", "state": "dormant", "food": 1, "energy": 1, "materials": 0 },
        { "agent_id": null, "agent": "Bob", "food": 0.5, "energy": -3, "luck": "great" },
        { "food": 100 },
        "no entry",
    ]))
    .unwrap();
    assert_eq!(owned.living_agents(), 3);
    let shown = owned.concentration();
    let totals: Vec<_> = shown.resource_totals.into_iter().collect();
    let named = |name: &str, amount| (name.to_owned(), amount);
    assert_eq!(totals, [named("energy", 3.0), named("food", 7.5), named("materials", 0.0)]);
    assert!(both_near(shown.top1_share, Some(8.0 / 10.5)));
    assert!(both_near(shown.top10_share, Some(1.0)));
    assert!(both_near(owned.gini(), gini(&[8.0, 2.0, 0.5])));
    assert_eq!(snapshot(json!(7)), None);
    assert_eq!(snapshot(json!([])).unwrap().gini(), None);
}

#[test]
fn of_those_who_governed_only_the_living_count_as_a_share_of_the_living() {
    let governed = |agent: i64| EventTally {
        class: EventClass {
            event_type: kind::VOTE_CAST.to_owned(),
            mode: Some(RuntimeMode::Checkpoint),
            agent_id: Some(agent_of(agent)),
            category: "governance".to_owned(),
            enforcement: false,
        },
        count: 3,
    };
    let owned =
        snapshot(json!([{ "agent_id": "Agent 1" }, { "agent_id": 2 }, { "agent": "Agent 3" }]))
            .unwrap();
    let tallies = [governed(1), governed(2), governed(8), governed(9)];
    let found = Emergence::of(&tallies, Default::default(), Some(&owned), None);
    assert_eq!(found.governance_participants, 4);
    assert!(both_near(found.governance_participation_rate, Some(2.0 / 3.0)));
}

#[test]
fn documents_of_agents_tell_the_same_without_the_dead() {
    let agent = |number: i64, state: &str, food: i64| {
        let stock = json!({ "food": food, "energy": 0, "materials": 0 });
        (format!("agent/{number:03}"), json!({ "number": number, "state": state, "stock": stock }))
    };
    let documents = BTreeMap::from([
        agent(1, "alive", 6),
        agent(2, "dormant", 2),
        agent(3, "dead", 50),
        ("society".to_owned(), json!({ "number": 9, "stock": { "food": 100 } })),
    ]);
    let owned = Inventories::of_documents(&documents).unwrap();
    assert_eq!(owned.living_agents(), 2);
    assert_eq!(owned.concentration().resource_totals["food"], 8.0);
    assert_eq!(Inventories::of_documents(&BTreeMap::new()), None);
}

#[test]
fn figures_without_anything_to_compute_them_from_are_null() {
    let nothing = Emergence::of(&[], Default::default(), None, None);
    assert_eq!(nothing, Emergence::default());
    let empty = WindowRow::of(EventWindow { after: at(0), until: at(1) }, &[]);
    let undefined =
        (empty.top_action, empty.top_action_share, empty.top_agent_share, empty.agent_hhi);
    assert_eq!(undefined, (None, None, None, None));
    assert_eq!(empty.action_entropy_bits.to_bits(), 0);
}
