//! Recounts visitors' events and repairs what is stored.

use rusqlite::Connection;
use simops::clock::day_of;
use simops::kpi::KpiRecount;
use simops::store::rules::Recounter;
use simops::store::rules::hash_key;
use simops::store::sql::{count_wrong_steps, kpi_kind};

use crate::codec::Micros;
use crate::error::Work;
use crate::kpi_rows::{
    add_pruned, all_days, all_steps, last_merged, put_steps, put_sums, set_last_merged,
};
use crate::kpi_segments::rebuild_segments;

/// Compares what is stored with a recount of the events.
pub(crate) fn recount(connection: &Connection) -> Work<KpiRecount> {
    count(connection).map(|(found, _)| found)
}

/// As [`recount`], and replaces what is stored with the recount.
pub(crate) fn rebuild(connection: &Connection) -> Work<KpiRecount> {
    let (found, counted) = count(connection)?;
    connection.execute_batch("DELETE FROM kpi_days; DELETE FROM kpi_steps")?;
    rebuild_segments(connection)?;
    for (day, sums) in &found.counted {
        put_sums(connection, *day, sums)?;
    }
    let mut steps: Vec<_> = counted.steps.iter().collect();
    steps.sort_unstable_by_key(|((visitor, day), _)| (*day, *visitor));
    for ((visitor, day), steps) in steps {
        put_steps(connection, *visitor, *day, *steps)?;
    }
    let last = connection
        .query_row("SELECT coalesce(max(id), 0) FROM kpi_events", [], |row| row.get(0))?;
    set_last_merged(connection, last)?;
    Ok(found)
}

fn count(connection: &Connection) -> Work<(KpiRecount, Recounter)> {
    let last_merged = last_merged(connection)?;
    let mut stored = Some(all_steps(connection)?);
    let mut counted = Recounter::default();
    add_pruned(connection, &mut counted)?;
    let mut statement = connection
        .prepare("SELECT id, kind, visitor_id, occurred_at FROM kpi_events ORDER BY id")?;
    let mut rows = statement.query([])?;
    let mut wrong_steps = 0;
    while let Some(row) = rows.next()? {
        // The stored steps cover the merged events only, so they are compared at their end.
        if row.get::<_, i64>(0)? > last_merged
            && let Some(stored) = stored.take()
        {
            wrong_steps = count_wrong_steps(&stored, &counted.steps);
        }
        let kind = kpi_kind(row.get(1)?)?;
        let visitor = hash_key(row.get_ref(2)?.as_str().map_err(rusqlite::Error::from)?);
        counted.count(kind, visitor, day_of(row.get::<_, Micros>(3)?.0));
    }
    if let Some(stored) = stored {
        wrong_steps = count_wrong_steps(&stored, &counted.steps);
    }
    let found = KpiRecount {
        events: counted.events,
        pruned: counted.pruned,
        kept: all_days(connection)?,
        counted: counted.days(),
        wrong_steps,
    };
    Ok((found, counted))
}
