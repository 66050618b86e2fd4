//! The parts of a recount of visitors' events, and the deletion of visitors.

use std::collections::{BTreeSet, HashSet};

use jiff::ToSpan;
use jiff::civil::Date;
use rusqlite::{Connection, OptionalExtension, Row, params};
use simops::clock::day_of;
use simops::kpi::{CountedSteps, DaySums, Days, LoggedVisit, Steps, VisitorSteps, WrongSteps};
use simops::store::rules::{
    RETENTION_DAYS, StepsComparison, apply_steps, change_of_sums, hash_key, neighbours, right_steps,
};
use simops::store::sql::{RETURNS_BY_DAY, STEPS_BY_DAY, day_sums, kpi_kind};
use simops::store::{KpiBasis, KpiSnapshot, SelectedVisits, VisitFilter};
use uuid::Uuid;

use crate::codec::{Json, Micros, day_number, number_day};
use crate::error::Work;
use crate::kpi_rows::{add_to_sums, last_merged, put_steps, set_last_merged, steps};
use crate::kpi_segments::replace_last_token;
use crate::kpi_write_buffer::WriteBuffer;

/// The id of the last event.
pub(crate) fn position(connection: &Connection) -> Work<i64> {
    let mut statement = connection.prepare_cached("SELECT coalesce(max(id), 0) FROM kpi_events")?;
    Ok(statement.query_row([], |row| row.get(0))?)
}

/// The events after one id up to another, at most `limit`.
pub(crate) fn log(
    connection: &Connection,
    after: i64,
    until: i64,
    limit: i64,
) -> Work<Vec<LoggedVisit>> {
    let mut statement = connection.prepare_cached(
        "SELECT id, kind, visitor_id, occurred_at FROM kpi_events WHERE id > ?1 AND id <= ?2 \
         ORDER BY id LIMIT ?3",
    )?;
    let mut rows = statement.query(params![after, until, limit])?;
    let mut visits = Vec::new();
    while let Some(row) = rows.next()? {
        visits.push(visit(row)?);
    }
    Ok(visits)
}

fn visit(row: &Row<'_>) -> Work<LoggedVisit> {
    Ok(LoggedVisit {
        position: row.get(0)?,
        kind: kpi_kind(row.get(1)?)?,
        visitor: hash_key(row.get_ref(2)?.as_str().map_err(rusqlite::Error::from)?),
        day: day_of(row.get::<_, Micros>(3)?.0),
    })
}

/// All events after an id.
fn log_after(connection: &Connection, after: i64) -> Work<Vec<LoggedVisit>> {
    log(connection, after, i64::MAX, i64::MAX)
}

/// What changes a recount otherwise than by recording.
pub(crate) fn basis(connection: &Connection) -> Work<KpiBasis> {
    let mut basis = KpiBasis { revision: revision(connection)?, pruned: Days::new() };
    let mut statement = connection.prepare_cached("SELECT day, kind, events FROM kpi_pruned")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let sums = basis.pruned.entry(number_day(row.get(0)?)?).or_default();
        sums.count_many(kpi_kind(row.get(1)?)?, row.get(2)?);
    }
    Ok(basis)
}

/// The revision; 0 in a schema of an earlier version, where the name means the column of the outer query.
pub(crate) fn revision(connection: &Connection) -> Work<i64> {
    let mut statement = connection
        .prepare_cached("SELECT (SELECT revision FROM kpi_progress) FROM (SELECT 0 AS revision)")?;
    Ok(statement.query_row([], |row| row.get(0))?)
}

/// Increases the revision if it is still `revision`.
fn next_revision(connection: &Connection, revision: i64) -> Work<Option<i64>> {
    let mut statement = connection.prepare_cached(
        "UPDATE kpi_progress SET revision = revision + 1 WHERE revision = ?1 RETURNING revision",
    )?;
    Ok(statement.query_row([revision], |row| row.get(0)).optional()?)
}

/// Compares the stored steps of a range of visitors with counted ones.
pub(crate) fn compare(
    connection: &Connection,
    counted: &CountedSteps,
) -> Work<(i64, Vec<WrongSteps>)> {
    let basis = basis(connection)?;
    let mut comparison = StepsComparison::new(counted, basis.pruned.into_keys().collect());
    let merged = last_merged(connection)?;
    for visit in log_after(connection, merged.min(counted.position))? {
        comparison.add_recent(&visit, visit.position <= merged);
    }
    let each = |with: &mut dyn FnMut(Uuid, Date, Steps)| -> Work<()> {
        let mut statement = connection.prepare_cached(
            "SELECT visitor, day, steps FROM kpi_steps WHERE visitor BETWEEN ?1 AND ?2",
        )?;
        let (first, last) = (counted.visitors.start(), counted.visitors.end());
        let mut rows = statement.query(params![first.as_bytes(), last.as_bytes()])?;
        while let Some(row) = rows.next()? {
            let day = number_day(row.get(1)?)?;
            with(Uuid::from_bytes(row.get(0)?), day, Steps(row.get(2)?));
        }
        Ok(())
    };
    each(&mut |visitor, day, steps| comparison.add_stored(visitor, day, steps))?;
    let mut stored = HashSet::new();
    if comparison.is_missing_some() {
        each(&mut |visitor, day, _| {
            stored.insert((visitor, day));
        })?;
    }
    Ok((basis.revision, comparison.finish(&stored)))
}

/// The steps of some visitors and days, also those that are not merged yet.
pub(crate) fn visitor_steps(connection: &Connection, keys: &[(Uuid, Date)]) -> Work<VisitorSteps> {
    let mut found = VisitorSteps::new();
    for (visitor, day) in keys {
        found.insert((*visitor, *day), steps(connection, *visitor, *day)?);
    }
    for visit in log_after(connection, last_merged(connection)?)? {
        if let Some(steps) = found.get_mut(&(visit.visitor, visit.day)) {
            *steps = *steps | visit.kind.step();
        }
    }
    Ok(found)
}

/// The sums of a range of days, and what they should be equal to.
pub(crate) fn snapshot(
    connection: &Connection,
    first: Date,
    last: Date,
    after: i64,
) -> Work<KpiSnapshot> {
    let mut snapshot = KpiSnapshot { basis: basis(connection)?, ..KpiSnapshot::default() };
    let range = params![day_number(first), day_number(last)];
    let mut statement =
        connection.prepare_cached("SELECT day, sums FROM kpi_days WHERE day BETWEEN ?1 AND ?2")?;
    let mut rows = statement.query(range)?;
    while let Some(row) = rows.next()? {
        if let Ok(sums) = stored_sums(row, 1) {
            snapshot.kept.insert(number_day(row.get(0)?)?, sums);
        }
    }
    let mut statement = connection.prepare_cached(STEPS_BY_DAY)?;
    let mut rows = statement.query(range)?;
    while let Some(row) = rows.next()? {
        let sums = snapshot.by_steps.entry(number_day(row.get(0)?)?).or_default();
        sums.add_visitors(Steps(row.get(1)?), row.get(2)?);
    }
    let mut statement = connection.prepare_cached(RETURNS_BY_DAY)?;
    for (index, days) in RETENTION_DAYS.iter().enumerate() {
        let mut rows =
            statement.query(params![days, day_number(first), day_number(last), Steps::VIEWER.0])?;
        while let Some(row) = rows.next()? {
            let sums = snapshot.by_steps.entry(number_day(row.get(0)?)?).or_default();
            if let Some(returned) = sums.returned.get_mut(index) {
                *returned = row.get(1)?;
            }
        }
    }
    add_unmerged(connection, first, last, &mut snapshot.by_steps)?;
    for visit in log_after(connection, after)? {
        if (first..=last).contains(&visit.day) {
            snapshot.recent.entry(visit.day).or_default().count(visit.kind);
        }
    }
    Ok(snapshot)
}

fn stored_sums(row: &Row<'_>, column: usize) -> Work<DaySums> {
    Ok(day_sums(&row.get::<_, Json<Vec<i64>>>(column)?.0)?)
}

/// Adds what the events that are not merged yet change in the sums of a range of days.
fn add_unmerged(connection: &Connection, first: Date, last: Date, sums: &mut Days) -> Work<()> {
    let [_, longest] = RETENTION_DAYS;
    let near = first..=last.checked_add(longest.days()).unwrap_or(Date::MAX);
    let mut known = VisitorSteps::new();
    for visit in log_after(connection, last_merged(connection)?)? {
        if !near.contains(&visit.day) {
            continue;
        }
        let LoggedVisit { visitor, day, kind, .. } = visit;
        let new = apply_steps(
            day,
            kind.step(),
            |day| match known.get(&(visitor, day)) {
                Some(steps) => Ok(*steps),
                None => {
                    let steps = steps(connection, visitor, day)?;
                    known.insert((visitor, day), steps);
                    Work::Ok(steps)
                }
            },
            |day, change| {
                if (first..=last).contains(&day) {
                    change(sums.entry(day).or_default());
                }
            },
        )?;
        known.insert((visitor, day), new);
    }
    Ok(())
}

/// Replaces steps with those `counted` from the events up to `until` and those of later events.
pub(crate) fn correct_steps(
    connection: &Connection,
    expected: i64,
    counted: &[((Uuid, Date), Steps)],
    until: i64,
) -> Work<Option<i64>> {
    let Some(revision) = next_revision(connection, expected)? else { return Ok(None) };
    let pruned = basis(connection)?.pruned;
    let mut right: VisitorSteps = counted.iter().copied().collect();
    for visit in log_after(connection, until)? {
        if let Some(steps) = right.get_mut(&(visit.visitor, visit.day)) {
            *steps = *steps | visit.kind.step();
        }
    }
    let mut right: Vec<_> = right.into_iter().collect();
    right.sort_unstable_by_key(|((visitor, day), _)| (*day, *visitor));
    for ((visitor, day), counted) in right {
        let kept = steps(connection, visitor, day)?;
        set_steps(connection, visitor, day, right_steps(counted, kept, pruned.contains_key(&day)))?;
    }
    invalidate(connection)?;
    Ok(Some(revision))
}

/// Makes every process forget the steps and days that it has read.
fn invalidate(connection: &Connection) -> Work<()> {
    let mut statement =
        connection.prepare_cached("UPDATE kpi_progress SET invalidations = invalidations + 1")?;
    statement.execute([])?;
    // Processes of earlier versions know this only.
    replace_last_token(connection)
}

fn set_steps(connection: &Connection, visitor: Uuid, day: Date, steps: Steps) -> Work<()> {
    if steps != Steps::default() {
        return put_steps(connection, visitor, day, steps);
    }
    let mut delete =
        connection.prepare_cached("DELETE FROM kpi_steps WHERE day = ?1 AND visitor = ?2")?;
    delete.execute(params![day_number(day), visitor.as_bytes()])?;
    Ok(())
}

/// Adds `changes` to the sums of their days.
pub(crate) fn correct_sums(
    connection: &Connection,
    expected: i64,
    changes: &Days,
) -> Work<Option<i64>> {
    let Some(revision) = next_revision(connection, expected)? else { return Ok(None) };
    let mut added = false;
    for (day, change) in changes {
        added |= add_to_sums(connection, *day, change)?;
    }
    if added {
        // Processes know the days that have sums.
        invalidate(connection)?;
    }
    Ok(Some(revision))
}

/// The events that `filter` selects.
pub(crate) fn select_visits(connection: &Connection, filter: &VisitFilter) -> Work<SelectedVisits> {
    let mut visits = select_after(connection, filter, 0)?;
    visits.sort_unstable();
    Ok(SelectedVisits { visits, until: position(connection)? })
}

/// Visitors and ids of the selected events after an id.
fn select_after(
    connection: &Connection,
    filter: &VisitFilter,
    after: i64,
) -> Work<Vec<(Uuid, i64)>> {
    let mut statement = connection
        .prepare_cached("SELECT visitor_id, occurred_at, id FROM kpi_events WHERE id > ?1")?;
    let mut rows = statement.query([after])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        if let Some(visitor) = selected(filter, row)? {
            found.push((visitor, row.get(2)?));
        }
    }
    Ok(found)
}

/// The visitor of an event, if it is selected. The row begins with its visitor and its time.
fn selected(filter: &VisitFilter, row: &Row<'_>) -> Work<Option<Uuid>> {
    let visitor = row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?;
    let day = day_of(row.get::<_, Micros>(1)?.0);
    Ok(filter.selects(visitor, day).then(|| hash_key(visitor)))
}

/// Deletes a piece of what `filter` has selected, and later events of the same visitors.
pub(crate) fn delete_visits(
    connection: &Connection,
    buffer: &mut WriteBuffer,
    filter: &VisitFilter,
    piece: &SelectedVisits,
) -> Work<u64> {
    let Some(_) = next_revision(connection, revision(connection)?)? else { return Ok(0) };
    buffer.catch_up(connection)?;
    buffer.merge(connection)?;
    let visitors: HashSet<_> = piece.visits.iter().map(|(visitor, _)| *visitor).collect();
    let mut find = connection
        .prepare_cached("SELECT visitor_id, occurred_at FROM kpi_events WHERE id = ?1")?;
    let mut wanted = Vec::new();
    for (_, id) in &piece.visits {
        // The ids of events that others have deleted may have been given again.
        let mut rows = find.query([id])?;
        if let Some(row) = rows.next()?
            && let Some(visitor) = selected(filter, row)?
        {
            wanted.push((visitor, *id));
        }
    }
    wanted.extend(select_after(connection, filter, piece.until)?);
    wanted.retain(|(visitor, _)| visitors.contains(visitor));
    let mut delete = connection.prepare_cached(
        "DELETE FROM kpi_events WHERE id = ?1 RETURNING id, kind, visitor_id, occurred_at, uid",
    )?;
    let pruned = basis(connection)?.pruned;
    let (mut deleted, mut events) = (0, Days::new());
    let mut wrong = BTreeSet::new();
    for (_, id) in wanted {
        let mut rows = delete.query([id])?;
        while let Some(row) = rows.next()? {
            let LoggedVisit { visitor, day, kind, .. } = visit(row)?;
            buffer.remove(connection, Uuid::from_bytes(row.get(4)?))?;
            events.entry(day).or_default().count(kind);
            deleted += 1;
            // What is known of pruned events stays.
            if !pruned.contains_key(&day) {
                wrong.insert((visitor, day));
            }
        }
    }
    let mut gone = Vec::new();
    for (visitor, day) in wrong {
        let kept = steps(connection, visitor, day)?;
        gone.push(WrongSteps { visitor, day, kept, counted: Steps::default() });
    }
    let known = visitor_steps(connection, &neighbours(&gone))?;
    let mut changes = change_of_sums(&gone, &known);
    for (day, events) in events {
        let change = changes.entry(day).or_default();
        *change = change.minus(&events);
    }
    for WrongSteps { visitor, day, .. } in gone {
        set_steps(connection, visitor, day, Steps::default())?;
    }
    for (day, change) in changes {
        add_to_sums(connection, day, &change)?;
    }
    buffer.clear();
    // The ids of the last events may be given again.
    set_last_merged(connection, position(connection)?)?;
    invalidate(connection)?;
    Ok(deleted)
}
