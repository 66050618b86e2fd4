//! Visitors' events counted anew.

use std::collections::HashMap;

use jiff::civil::Date;
use rusqlite::Connection;
use simops::clock::day_of;
use simops::kpi::event::hash_key;
use simops::kpi::recount::Recounter;
use simops::kpi::{Kind, KpiRecount, Steps};
use simops::{Error, ErrorKind};
use uuid::Uuid;

use crate::codec::{Micros, number_day};
use crate::error::Work;
use crate::kpi::{all_days, put_sums};
use crate::kpi_folds::fold_all;
use crate::kpi_tail::{cover, covered, put_steps};
use crate::retention::count_pruned_visits;

/// What is kept, and what the events say.
pub(crate) fn recount(connection: &Connection) -> Work<KpiRecount> {
    count(connection).map(|(found, _)| found)
}

/// Puts right what is kept.
pub(crate) fn rebuild(connection: &Connection) -> Work<KpiRecount> {
    let (found, counted) = count(connection)?;
    connection.execute_batch("DELETE FROM kpi_days; DELETE FROM kpi_steps")?;
    fold_all(connection)?;
    for (day, sums) in &found.counted {
        put_sums(connection, *day, sums)?;
    }
    let mut steps: Vec<_> = counted.steps().iter().collect();
    steps.sort_unstable_by_key(|((visitor, day), _)| (*day, *visitor));
    for ((visitor, day), steps) in steps {
        put_steps(connection, *visitor, *day, *steps)?;
    }
    let last = connection
        .query_row("SELECT coalesce(max(id), 0) FROM kpi_events", [], |row| row.get(0))?;
    cover(connection, last)?;
    Ok(found)
}

fn count(connection: &Connection) -> Work<(KpiRecount, Recounter)> {
    let covered = covered(connection)?;
    let mut wrong = kept_steps(connection)?;
    let mut counted = Recounter::default();
    count_pruned_visits(connection, &mut counted)?;
    let mut statement = connection
        .prepare("SELECT id, kind, visitor_id, occurred_at FROM kpi_events ORDER BY id")?;
    let mut rows = statement.query([])?;
    let mut compared = false;
    let mut wrong_steps = 0;
    while let Some(row) = rows.next()? {
        let id: i64 = row.get(0)?;
        if id > covered && !compared {
            wrong_steps = differences(&mut wrong, counted.steps());
            compared = true;
        }
        let kind = kind_of(row.get(1)?)?;
        let visitor = hash_key(row.get_ref(2)?.as_str().map_err(rusqlite::Error::from)?);
        counted.count(kind, visitor, day_of(row.get::<_, Micros>(3)?.0));
    }
    if !compared {
        wrong_steps = differences(&mut wrong, counted.steps());
    }
    let found = KpiRecount {
        events: counted.events(),
        pruned: counted.pruned(),
        kept: all_days(connection)?,
        counted: counted.days(),
        wrong_steps,
    };
    Ok((found, counted))
}

/// The kind that is stored under a code.
pub(crate) fn kind_of(code: usize) -> Work<Kind> {
    let unknown = "the database holds an event of an unknown kind";
    Ok(Kind::of_code(code).ok_or_else(|| Error::new(ErrorKind::Unusable, unknown))?)
}

type StepsOf = HashMap<(Uuid, Date), Steps>;

fn kept_steps(connection: &Connection) -> Work<StepsOf> {
    let mut statement = connection.prepare("SELECT visitor, day, steps FROM kpi_steps")?;
    let rows = statement
        .query_map([], |row| Ok((Uuid::from_bytes(row.get(0)?), row.get(1)?, row.get(2)?)))?;
    rows.map(|row| {
        let (visitor, day, steps): (_, i64, _) = row?;
        Ok(((visitor, number_day(day)?), Steps(steps)))
    })
    .collect()
}

/// How many visitors' days are kept otherwise than counted.
fn differences(kept: &mut StepsOf, counted: &StepsOf) -> u64 {
    let missing = |place: &(Uuid, Date), steps: &Steps| counted.get(place) != Some(steps);
    let wrong = kept.iter().filter(|(place, steps)| missing(place, steps)).count();
    let absent = counted.keys().filter(|place| !kept.contains_key(place)).count();
    kept.clear();
    (wrong + absent) as u64
}
