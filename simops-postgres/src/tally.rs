//! Events counted by what they are: windows out of an index that holds all it takes, days out of
//! counts that are kept as events come.

use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::Timestamp;
use jiff::civil::Date;
use simops::Result;
use simops::clock::day_of;
use simops::event::{DayTally, EventClass, EventTally, EventWindow};
use simops::event::{Event, NewEvent, RuntimeMode};
use simops::store::{TallyStore, TimeCursor};
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Row};

use crate::PostgresStore;
use crate::codec::{Day, Micros, count};
use crate::error::Work;
use crate::events::{COLUMNS, event};
use crate::link::Link;

#[async_trait]
impl TallyStore for PostgresStore {
    async fn tally(&self, window: EventWindow) -> Result<Vec<EventTally>> {
        self.base
            .look(|mut connection| async move {
                let tallies = tally(&mut connection, window).await?;
                Ok((connection, tallies))
            })
            .await
    }

    async fn tally_days(&self, first: Date, last: Date) -> Result<Vec<DayTally>> {
        self.base
            .look(|mut connection| async move {
                let tallies = tally_days(&mut connection, first, last).await?;
                Ok((connection, tallies))
            })
            .await
    }

    async fn events_of_type(
        &self,
        window: EventWindow,
        event_type: &str,
        after: Option<TimeCursor>,
        limit: usize,
    ) -> Result<Vec<Event>> {
        let after = after.unwrap_or(TimeCursor { at: window.after, id: i64::MAX });
        self.base
            .look(|mut connection| async move {
                let sql = format!(
                    "SELECT {COLUMNS} FROM events WHERE (created_at, id) > ($1, $2) \
                         AND created_at > $3 AND created_at <= $4 AND event_type = $5 \
                     ORDER BY created_at, id LIMIT $6"
                );
                let rows = sqlx::query(AssertSqlSafe(sql))
                    .bind(Micros(after.at))
                    .bind(after.id)
                    .bind(Micros(window.after))
                    .bind(Micros(window.until))
                    .bind(event_type)
                    .bind(count(limit))
                    .fetch_all(&mut *connection)
                    .await?;
                let events = rows.iter().map(event).collect::<sqlx::Result<_>>()?;
                Ok((connection, events))
            })
            .await
    }

    async fn last_event(&self, event_type: &str, until: Timestamp) -> Result<Option<Event>> {
        self.base
            .look(|mut connection| async move {
                let sql = format!(
                    "SELECT {COLUMNS} FROM events WHERE event_type = $1 AND created_at <= $2 \
                     ORDER BY created_at DESC, id DESC LIMIT 1"
                );
                let row = sqlx::query(AssertSqlSafe(sql)).bind(event_type).bind(Micros(until));
                let row = row.fetch_optional(&mut *connection).await?;
                let found = row.as_ref().map(event).transpose()?;
                Ok((connection, found))
            })
            .await
    }
}

/// The columns of a class, in the order in which [`class`] reads them.
const CLASS: &str = "event_type, mode, agent_id, category, enforcement";

async fn tally(connection: &mut Link, window: EventWindow) -> Work<Vec<EventTally>> {
    let sql = format!(
        "SELECT {CLASS}, count(*) FROM events WHERE created_at > $1 AND created_at <= $2 \
         GROUP BY {CLASS}"
    );
    let rows = sqlx::query(AssertSqlSafe(sql))
        .bind(Micros(window.after))
        .bind(Micros(window.until))
        .fetch_all(connection)
        .await?;
    let tallies =
        rows.iter().map(|row| Ok(EventTally { class: class(row)?, count: row.try_get(5)? }));
    let mut tallies = tallies.collect::<sqlx::Result<Vec<_>>>()?;
    tallies.sort_unstable();
    Ok(tallies)
}

fn class(row: &PgRow) -> sqlx::Result<EventClass> {
    Ok(EventClass {
        event_type: row.try_get(0)?,
        mode: RuntimeMode::parse(row.try_get(1)?),
        agent_id: row.try_get(2)?,
        category: row.try_get(3)?,
        enforcement: row.try_get(4)?,
    })
}

async fn tally_days(connection: &mut Link, first: Date, last: Date) -> Work<Vec<DayTally>> {
    let sql =
        format!("SELECT {CLASS}, day, run_id, count FROM event_days WHERE day BETWEEN $1 AND $2");
    let query =
        sqlx::query(AssertSqlSafe(sql)).bind(Day::at_least(first)).bind(Day::at_least(last));
    let rows = query.fetch_all(connection).await?;
    let tallies = rows.iter().map(|row| {
        let class = class(row)?;
        let run_id: String = row.try_get(6)?;
        Ok(DayTally {
            day: row.try_get::<Day, _>(5)?.0,
            run_id: Some(run_id).filter(|run_id| !run_id.is_empty()),
            class: EventClass { agent_id: class.agent_id.filter(|id| *id != NOBODY), ..class },
            count: row.try_get(7)?,
        })
    });
    let mut tallies = tallies.collect::<sqlx::Result<Vec<_>>>()?;
    tallies.sort_unstable();
    Ok(tallies)
}

/// Stands for no agent in a key that takes no null.
const NOBODY: i64 = i64::MIN;

/// What new events add to their days. Folded, so that a batch of one class costs one update.
#[derive(Default)]
pub(crate) struct Days<'a>(BTreeMap<(Date, &'a str, EventKey<'a>), i64>);

type EventKey<'a> = (&'a str, &'static str, i64, &'a str, bool);

impl<'a> Days<'a> {
    /// Counts an event that was just inserted.
    pub(crate) fn add(&mut self, event: &'a NewEvent) {
        let class = (
            event.event_type.as_str(),
            event.runtime_mode().map_or("", RuntimeMode::as_str),
            event.agent_id.unwrap_or(NOBODY),
            event.category(),
            event.is_enforcement(),
        );
        let run_id = event.run_id.as_deref().unwrap_or_default();
        *self.0.entry((day_of(event.created_at), run_id, class)).or_default() += 1;
    }

    /// Adds the counts to those kept, in the order of their keys, so that nobody waits in a circle.
    pub(crate) async fn store(self, connection: &mut Link) -> Work<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        let keys: Vec<_> = self.0.keys().copied().collect();
        let text = |of: fn((Date, &'a str, EventKey<'a>)) -> &'a str| {
            keys.iter().map(|key| of(*key)).collect::<Vec<_>>()
        };
        let sql = format!(
            "INSERT INTO event_days (day, run_id, {CLASS}, count) \
             SELECT * FROM unnest($1::date[], $2::text[], $3::text[], $4::text[], $5::bigint[], \
                 $6::text[], $7::bool[], $8::bigint[]) \
             ON CONFLICT (day, run_id, {CLASS}) DO UPDATE \
             SET count = event_days.count + excluded.count"
        );
        sqlx::query(AssertSqlSafe(sql))
            .bind(keys.iter().map(|(day, ..)| Day(*day)).collect::<Vec<_>>())
            .bind(text(|(_, run_id, _)| run_id))
            .bind(text(|(_, _, class)| class.0))
            .bind(text(|(_, _, class)| class.1))
            .bind(keys.iter().map(|(_, _, class)| class.2).collect::<Vec<_>>())
            .bind(text(|(_, _, class)| class.3))
            .bind(keys.iter().map(|(_, _, class)| class.4).collect::<Vec<_>>())
            .bind(self.0.values().copied().collect::<Vec<_>>())
            .execute(connection)
            .await?;
        Ok(())
    }
}
