//! What takes a schema back to the last version whose schema does not say which programs may write, and what
//! both versions have of agents.

use jiff::Timestamp;
use simops::clock::day_of;
use simops::event::{EventWindow, NewEvent, RuntimeMode, kind};
use simops::store::{EventFilter, RunStore, UsageFilter};
use simops::usage::{NanoUsd, UsageRow};
use uuid::Uuid;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_767_225_600 + second).unwrap()
}

/// Stores events and a call of agents with numbers, as earlier versions have them.
pub async fn add_agents(store: &impl RunStore) {
    let event = |kind: &str, second| NewEvent::new(kind, "", at(second)).in_run(Some("old"));
    let mode = RuntimeMode::Checkpoint;
    let events = [
        event("work", 1).of_agent(7).as_action(mode),
        event("work", 2).of_agent(7).as_action(mode),
        event(kind::VOTE_CAST, 3).of_agent(-8).as_action(mode),
        event("day_ended", 4),
    ];
    store.append(&events).await.unwrap();
    let call = UsageRow {
        id: Uuid::from_u128(7),
        created_at: at(5),
        day: day_of(at(5)),
        run_id: Some("old".to_owned()),
        agent_id: Some(7.into()),
        checkpoint: Some(1),
        provider: "groq".to_owned(),
        model_requested: "m".to_owned(),
        model_resolved: None,
        input_tokens: 10,
        cached_input_tokens: 0,
        output_tokens: 20,
        reasoning_tokens: 0,
        cost: NanoUsd(300),
        priced: true,
        success: true,
        sent: true,
        over_reservation: false,
        fallback_used: false,
        latency_ms: 40,
        error_type: None,
    };
    store.settle(&call).await.unwrap();
}

/// All that a store reads of events and calls with their agents.
pub async fn agents_in(store: &impl RunStore) -> Vec<String> {
    let all = EventWindow { after: at(0), until: at(10) };
    let day = day_of(at(0));
    let listed = EventFilter { limit: 100, ..EventFilter::default() };
    let votes = store.events_of_type(None, all, kind::VOTE_CAST, None, 100).await.unwrap();
    let calls = store.usage_rows(&UsageFilter::default(), 100).await.unwrap();
    vec![
        format!("{:?}", store.events(&listed).await.unwrap().items),
        format!("{:?}", store.event(1).await.unwrap()),
        format!("{:?}", store.tally(all).await.unwrap()),
        format!("{:?}", store.tally_days(day, day).await.unwrap()),
        format!("{votes:?}"),
        format!("{:?}", store.last_event(None, kind::VOTE_CAST, at(10)).await.unwrap()),
        format!("{:?}", calls.items),
        format!("{:?}", store.tally_calls(None, all).await.unwrap()),
    ]
}

/// Of a SQLite database.
pub const SQLITE: &str = "\
    PRAGMA user_version = 14; DROP TABLE schema_writers; DROP TABLE known_addresses; \
    DROP TABLE run_labels; DROP INDEX runs_by_group; \
    ALTER TABLE runs DROP COLUMN group_id; ALTER TABLE runs DROP COLUMN labels; \
    ALTER TABLE kpi_progress DROP COLUMN revision; \
    ALTER TABLE kpi_progress DROP COLUMN invalidations; \
    ALTER TABLE fence DROP COLUMN corrections; \
    DROP INDEX runs_open_in_world; DROP INDEX runs_open; \
    ALTER TABLE runs DROP COLUMN host; ALTER TABLE runs DROP COLUMN world; \
    ALTER TABLE runs DROP COLUMN paused; ALTER TABLE runs DROP COLUMN gate_generation; \
    ALTER TABLE runs DROP COLUMN open_since; ALTER TABLE runs DROP COLUMN open_before_ms; \
    ALTER TABLE runs DROP COLUMN limits; ALTER TABLE runs DROP COLUMN limit_reached; \
    CREATE UNIQUE INDEX runs_one_open ON runs ((ended_at IS NULL)) WHERE ended_at IS NULL; \
    UPDATE control SET world_epoch = json_extract(worlds, '$.main'); \
    ALTER TABLE control DROP COLUMN worlds; \
    ALTER TABLE control ADD COLUMN gate_generation INTEGER NOT NULL DEFAULT 0; \
    UPDATE control SET gate_generation = generation; \
    ALTER TABLE epochs DROP COLUMN world; \
    ALTER TABLE hosts DROP COLUMN kind; ALTER TABLE hosts DROP COLUMN world; \
    ALTER TABLE hosts DROP COLUMN run_id; \
    ALTER TABLE hosts ADD COLUMN owns_world INTEGER NOT NULL DEFAULT 1; \
    ALTER TABLE audit DROP COLUMN run_id; \
    DROP TABLE budgets; DROP TABLE budget_use; ALTER TABLE fence DROP COLUMN budgets; \
    ALTER TABLE leases DROP COLUMN input_tokens; ALTER TABLE leases DROP COLUMN output_tokens; \
    ALTER TABLE members DROP COLUMN tokens; ALTER TABLE members DROP COLUMN sequence; \
    ALTER TABLE usage DROP COLUMN sent; ALTER TABLE usage DROP COLUMN over_reservation; \
    DROP INDEX events_by_time; ALTER TABLE events DROP COLUMN agent; \
    CREATE INDEX events_by_time \
        ON events (created_at, id, event_type, mode, agent_id, category, enforcement); \
    ALTER TABLE leases DROP COLUMN agent; ALTER TABLE usage DROP COLUMN agent; \
    CREATE TABLE days (day TEXT NOT NULL, run_id TEXT NOT NULL, event_type TEXT NOT NULL, \
        mode TEXT NOT NULL, agent_id INTEGER NOT NULL, category TEXT NOT NULL, \
        enforcement INTEGER NOT NULL, count INTEGER NOT NULL, \
        PRIMARY KEY (day, run_id, event_type, mode, agent_id, category, enforcement)) \
        STRICT, WITHOUT ROWID; \
    DROP TABLE run_agents; \
    INSERT INTO days SELECT day, run_id, event_type, mode, agent_id, category, enforcement, count \
        FROM event_days; \
    DROP TABLE event_days; ALTER TABLE days RENAME TO event_days;";

/// Of a Postgres database.
pub const POSTGRES: &str = "\
    UPDATE simops_schema SET version = 13; ALTER TABLE simops_schema DROP COLUMN min_writer; \
    DROP TABLE known_addresses; DROP TABLE run_labels; \
    ALTER TABLE runs DROP COLUMN group_id, DROP COLUMN labels; \
    ALTER TABLE kpi_line DROP COLUMN revision; ALTER TABLE fence DROP COLUMN corrections; \
    DROP INDEX runs_open_in_world; DROP INDEX runs_open; \
    ALTER TABLE runs DROP COLUMN host, DROP COLUMN world, DROP COLUMN paused, \
        DROP COLUMN gate_generation, DROP COLUMN open_since, DROP COLUMN open_before_ms, \
        DROP COLUMN limits, DROP COLUMN limit_reached; \
    CREATE UNIQUE INDEX runs_one_open ON runs ((ended_at IS NULL)) WHERE ended_at IS NULL; \
    UPDATE control SET world_epoch = (worlds::json ->> 'main')::bigint; \
    ALTER TABLE control DROP COLUMN worlds, ADD COLUMN gate_generation BIGINT NOT NULL DEFAULT 0; \
    UPDATE control SET gate_generation = generation; \
    ALTER TABLE epochs DROP COLUMN world; \
    ALTER TABLE hosts DROP COLUMN kind, DROP COLUMN world, DROP COLUMN run_id, \
        ADD COLUMN owns_world BOOLEAN NOT NULL DEFAULT TRUE; \
    ALTER TABLE audit DROP COLUMN run_id; \
    DROP TABLE budgets; DROP TABLE budget_use; ALTER TABLE fence DROP COLUMN budgets; \
    ALTER TABLE leases DROP COLUMN input_tokens, DROP COLUMN output_tokens; \
    ALTER TABLE members DROP COLUMN tokens, DROP COLUMN sequence; \
    ALTER TABLE usage DROP COLUMN sent, DROP COLUMN over_reservation; \
    ALTER TABLE events DROP COLUMN agent; \
    CREATE INDEX events_by_time \
        ON events (created_at, id) INCLUDE (event_type, mode, agent_id, category, enforcement); \
    DROP TABLE run_agents; \
    ALTER TABLE leases DROP COLUMN agent; ALTER TABLE usage DROP COLUMN agent; \
    ALTER TABLE event_days DROP COLUMN agent; \
    ALTER TABLE event_days ADD PRIMARY KEY \
        (day, run_id, event_type, mode, agent_id, category, enforcement);";
