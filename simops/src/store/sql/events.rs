//! Rows of the event log, and the sums kept of it.

use std::collections::BTreeMap;

use jiff::civil::Date;
use jiff::{Timestamp, ToSpan};

use super::row::NO_AGENT;
use super::{
    LATER_AGENT, SqlOperation, SqlRecord, SqlRow, SqlTx, SqlValue, Statement, count, in_parts,
    one_more,
};
use crate::AgentId;
use crate::clock::day_of;
use crate::event::{DayTally, Event, EventClass, EventTally, EventWindow, NewEvent, RuntimeMode};
use crate::store::{ActivityScope, EventCount, EventFilter, TimeCursor};

/// The columns of an event.
const EVENT_COLUMNS: &str =
    "id, run_id, agent_id, agent, event_type, description, metadata, created_at";

impl SqlRecord for Event {
    fn read<R: SqlRow>(row: &mut R) -> Result<Self, R::Error> {
        Ok(Self {
            id: row.int()?,
            run_id: row.optional(R::text)?,
            agent_id: row.agent()?,
            event_type: row.text()?,
            description: row.text()?,
            metadata: row.json()?,
            created_at: row.time()?,
        })
    }
}

/// The query of an event.
pub fn event_of(id: i64) -> Statement {
    Statement::new(format!("SELECT {EVENT_COLUMNS} FROM events{LATER_AGENT} WHERE id = $1"))
        .bind(id)
}

/// The page of events that a filter selects, and one more: as
/// [`EventStore::events`](crate::store::EventStore::events) lists them.
///
/// Every filter has an index in the order of the listing, so the cost depends on the length of the
/// page and not on the number of events.
pub struct ListEvents(pub EventFilter);

impl SqlOperation for ListEvents {
    type Output = Vec<Event>;

    async fn run<T: SqlTx>(&self, tx: &mut T) -> Result<Vec<Event>, T::Error> {
        let Self(filter) = self;
        let cursor = match filter.before {
            Some(id) => {
                let Some(at) = tx.fetch_optional(&time_of(id)).await? else {
                    return Ok(Vec::new());
                };
                Some(TimeCursor { at, id })
            }
            None => None,
        };
        tx.fetch_all(&list_events(T::using_index, cursor, filter)).await
    }
}

/// The query of the time of an event; of the one before it if it has been deleted.
fn time_of(id: i64) -> Statement {
    let sql = "SELECT created_at FROM events WHERE id <= $1 ORDER BY id DESC LIMIT 1";
    Statement::new(sql).bind(id)
}

/// The query of events before `cursor`, newest first. `using` makes a statement use an index.
pub fn list_events(
    using: fn(&str) -> String,
    cursor: Option<TimeCursor>,
    filter: &EventFilter,
) -> Statement {
    let index = match (&filter.run_id, &filter.event_type) {
        (None, None) => "events_by_time",
        (None, Some(_)) => "events_by_type_and_time",
        (Some(_), None) => "events_by_run",
        (Some(_), Some(_)) => "events_by_run_and_type",
    };
    // The one upper end of the range to read: a second one would be a filter, which reads the events
    // between both.
    let until = filter.until.map(|at| TimeCursor { at, id: i64::MAX });
    let end = [cursor, until].into_iter().flatten().min();
    let (mut conditions, mut values) = (Vec::new(), Vec::<SqlValue>::new());
    let mut only = |condition: &str, wanted: Vec<SqlValue>| {
        let first = values.len() + 1;
        let places: Vec<_> = (first..).take(wanted.len()).map(|n| format!("${n}")).collect();
        conditions.push(format!("{condition} ({})", places.join(", ")));
        values.extend(wanted);
    };
    if let Some(run_id) = &filter.run_id {
        only("run_id =", vec![run_id.into()]);
    }
    if let Some(event_type) = &filter.event_type {
        only("event_type =", vec![event_type.into()]);
    }
    if let Some(after) = filter.after {
        only("created_at >", vec![after.into()]);
    }
    if let Some(end) = end {
        only("(created_at, id) <", vec![end.at.into(), end.id.into()]);
    }
    let wanted = match conditions.as_slice() {
        [] => String::new(),
        _ => format!(" WHERE {}", conditions.join(" AND ")),
    };
    let (using, limit) = (using(index), values.len() + 1);
    let list = Statement::new(format!(
        "SELECT {EVENT_COLUMNS} FROM events{using}{LATER_AGENT}{wanted} \
         ORDER BY created_at DESC, id DESC LIMIT ${limit}"
    ));
    values.into_iter().fold(list, Statement::bind).bind(one_more(filter.limit))
}

impl SqlRecord for EventCount {
    fn read<R: SqlRow>(row: &mut R) -> Result<Self, R::Error> {
        Ok(Self {
            event_type: row.text()?,
            mode: RuntimeMode::parse(&row.text()?),
            count: row.int()?,
        })
    }
}

/// The query of the numbers of events by type and mode.
pub fn event_counts(scope: &ActivityScope) -> Statement {
    match scope {
        ActivityScope::Run(run_id) => Statement::new(
            "SELECT event_type, mode, count FROM event_counts WHERE run_id = $1 ORDER BY 1, 2",
        )
        .bind(run_id),
        ActivityScope::Since(since) => Statement::new(
            "SELECT event_type, mode, count(*) FROM events WHERE created_at >= $1 \
             GROUP BY 1, 2 ORDER BY 1, 2",
        )
        .bind(*since),
    }
}

/// The queries of the numbers of events of these runs by run, type and mode.
pub fn event_counts_by_run(run_ids: &[String]) -> Vec<Statement> {
    let parts = in_parts("run_id", run_ids).map(|(is_wanted, part)| {
        let sql =
            format!("SELECT run_id, event_type, mode, count FROM event_counts WHERE {is_wanted}");
        part.iter().fold(Statement::new(sql), Statement::bind)
    });
    parts.collect()
}

/// The columns of a class of events.
pub const EVENT_CLASS_COLUMNS: &str = "event_type, mode, agent_id, agent, category, enforcement";

impl SqlRecord for EventClass {
    fn read<R: SqlRow>(row: &mut R) -> Result<Self, R::Error> {
        Ok(Self {
            event_type: row.text()?,
            mode: RuntimeMode::parse(&row.text()?),
            agent_id: row.agent()?,
            category: row.text()?,
            enforcement: row.flag()?,
        })
    }
}

impl SqlRecord for EventTally {
    fn read<R: SqlRow>(row: &mut R) -> Result<Self, R::Error> {
        Ok(Self { class: EventClass::read(row)?, count: row.int()? })
    }
}

impl SqlRecord for DayTally {
    fn read<R: SqlRow>(row: &mut R) -> Result<Self, R::Error> {
        Ok(Self {
            class: EventClass::read(row)?,
            day: row.day()?,
            run_id: Some(row.text()?).filter(|run_id| !run_id.is_empty()),
            count: row.int()?,
        })
    }
}

/// The query of the numbers of events of the days `first` to `last`.
pub fn day_tallies(first: Date, last: Date) -> Statement {
    Statement::new(format!(
        "SELECT {EVENT_CLASS_COLUMNS}, day, run_id, count FROM event_days{LATER_AGENT} \
         WHERE day BETWEEN $1 AND $2"
    ))
    .bind(first)
    .bind(last)
}

/// The days that one statement asks for. With 500 runs, it stays below the most parameters of SQLite.
const DAYS_AT_A_TIME: usize = 100;

/// The queries of the numbers of events of these runs on the days `first` to `last`. The key of the sums
/// is searched for each day and run.
pub fn day_tallies_of_runs(run_ids: &[String], first: Date, last: Date) -> Vec<Statement> {
    let days: Vec<_> = first.series(1.day()).take_while(|day| *day <= last).collect();
    let mut statements = Vec::new();
    for (of_runs, part) in in_parts("run_id", run_ids) {
        for days in days.chunks(DAYS_AT_A_TIME) {
            let places: Vec<_> = (1..=days.len()).map(|n| format!("${}", part.len() + n)).collect();
            let sql = format!(
                "SELECT {EVENT_CLASS_COLUMNS}, day, run_id, count FROM event_days{LATER_AGENT} \
                 WHERE {of_runs} AND day IN ({})",
                places.join(", ")
            );
            let query = part.iter().fold(Statement::new(sql), Statement::bind);
            statements.push(days.iter().copied().fold(query, Statement::bind));
        }
    }
    statements
}

/// The queries of the numbers of events of these runs in a window, by run and class. `using` makes a
/// statement use an index.
pub fn run_tallies(
    using: fn(&str) -> String,
    run_ids: &[String],
    window: EventWindow,
) -> Vec<Statement> {
    let using = using("events_by_run");
    let parts = in_parts("run_id", run_ids).map(|(of_runs, part)| {
        let (after, until) = (part.len() + 1, part.len() + 2);
        let sql = format!(
            "SELECT run_id, {EVENT_CLASS_COLUMNS}, count(*) FROM events{using}{LATER_AGENT} \
             WHERE {of_runs} AND created_at > ${after} AND created_at <= ${until} \
             GROUP BY run_id, {EVENT_CLASS_COLUMNS}"
        );
        let query = part.iter().fold(Statement::new(sql), Statement::bind);
        query.bind(window.after).bind(window.until)
    });
    parts.collect()
}

/// The index of the events of a type in the order of time, of one run or of all.
fn index_of_type(run_id: Option<&str>) -> &'static str {
    match run_id {
        Some(_) => "events_by_run_and_type",
        None => "events_by_type_and_time",
    }
}

/// The query of events of one type in a window, as
/// [`TallyStore::events_of_type`](crate::store::TallyStore::events_of_type) lists them. `using` makes a
/// statement use an index.
pub fn events_of_type(
    using: fn(&str) -> String,
    run_id: Option<&str>,
    window: EventWindow,
    event_type: &str,
    after: Option<TimeCursor>,
    limit: usize,
) -> Statement {
    let using = using(index_of_type(run_id));
    let (of_run, limit_place) = if run_id.is_some() { (" AND run_id = $6", 7) } else { ("", 6) };
    let after = after.unwrap_or(TimeCursor { at: window.after, id: i64::MAX });
    // The bound on the time serves the index; the id excludes events up to the cursor.
    let events = Statement::new(format!(
        "SELECT {EVENT_COLUMNS} FROM events{using}{LATER_AGENT} \
         WHERE created_at >= $1 AND (created_at > $1 OR id > $2) \
             AND created_at > $3 AND created_at <= $4 AND event_type = $5{of_run} \
         ORDER BY created_at, id LIMIT ${limit_place}"
    ))
    .bind(after.at)
    .bind(after.id)
    .bind(window.after)
    .bind(window.until)
    .bind(event_type);
    run_id.into_iter().fold(events, Statement::bind).bind(count(limit))
}

/// The query of the last event of a type at or before `until`, of one run or of all. `using` makes a
/// statement use an index.
pub fn last_event(
    using: fn(&str) -> String,
    run_id: Option<&str>,
    event_type: &str,
    until: Timestamp,
) -> Statement {
    let using = using(index_of_type(run_id));
    let of_run = if run_id.is_some() { " AND run_id = $3" } else { "" };
    let event = Statement::new(format!(
        "SELECT {EVENT_COLUMNS} FROM events{using}{LATER_AGENT} \
         WHERE event_type = $1 AND created_at <= $2{of_run} \
         ORDER BY created_at DESC, id DESC LIMIT 1"
    ))
    .bind(event_type)
    .bind(until);
    run_id.into_iter().fold(event, Statement::bind)
}

/// The sums that appended events change, summed up first so that a batch of one kind costs one
/// update. Both maps are in key order, in which rows are updated to avoid deadlocks.
#[derive(Debug, Default)]
pub struct EventSums<'a> {
    /// By run, type and mode.
    pub of_runs: BTreeMap<(&'a str, &'a str, &'static str), i64>,
    /// By day, run (empty for none) and class.
    pub of_days: BTreeMap<(Date, &'a str, EventClassKey<'a>), i64>,
}

/// The columns of [`EVENT_CLASS_COLUMNS`] as a key.
pub type EventClassKey<'a> = (&'a str, &'static str, i64, &'a str, &'a str, bool);

impl<'a> EventSums<'a> {
    /// Counts an event that was inserted.
    pub fn add(&mut self, event: &'a NewEvent) {
        let mode = event.runtime_mode().map_or("", RuntimeMode::as_str);
        let event_type = event.event_type.as_str();
        if let Some(run_id) = &event.run_id {
            *self.of_runs.entry((run_id, event_type, mode)).or_default() += 1;
        }
        let agent = event.agent_id.as_ref();
        let number = agent.and_then(AgentId::number).unwrap_or(NO_AGENT);
        let name = agent.and_then(AgentId::name).unwrap_or_default();
        let class = (event_type, mode, number, name, event.category(), event.is_enforcement());
        let run_id = event.run_id.as_deref().unwrap_or_default();
        *self.of_days.entry((day_of(event.created_at), run_id, class)).or_default() += 1;
    }
}
