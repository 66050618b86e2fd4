//! Rows of the run registry.

use rusqlite::{Connection, OptionalExtension, Row, named_params, params};
use simops::run::RunRecord;
use simops::store::Page;

use crate::codec::{Micros, Word, one_more};
use crate::error::Work;

/// Inserts `run`, or replaces its row in place.
pub(crate) fn put(connection: &Connection, run: &RunRecord) -> Work<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO runs (run_id, mode, protocol_version, condition_name, hypothesis_id, \
             season_id, season_number, parent_run_id, transfer_policy_version, epoch_id, \
             run_class, mirror_control_run_id, carryover_agent_count, fresh_agent_count, \
             protocol_deviation, deviation_reason, world_epoch, started_at, started_by, \
             start_reason, ended_at, end_reason, ended_by) \
         VALUES (:run_id, :mode, :protocol_version, :condition_name, :hypothesis_id, :season_id, \
             :season_number, :parent_run_id, :transfer_policy_version, :epoch_id, :run_class, \
             :mirror_control_run_id, :carryover_agent_count, :fresh_agent_count, \
             :protocol_deviation, :deviation_reason, \
             :world_epoch, :started_at, :started_by, :start_reason, :ended_at, :end_reason, \
             :ended_by) \
         ON CONFLICT (run_id) DO UPDATE SET mode = excluded.mode, \
             protocol_version = excluded.protocol_version, \
             condition_name = excluded.condition_name, hypothesis_id = excluded.hypothesis_id, \
             season_id = excluded.season_id, season_number = excluded.season_number, \
             parent_run_id = excluded.parent_run_id, \
             transfer_policy_version = excluded.transfer_policy_version, \
             epoch_id = excluded.epoch_id, run_class = excluded.run_class, \
             mirror_control_run_id = excluded.mirror_control_run_id, \
             carryover_agent_count = excluded.carryover_agent_count, \
             fresh_agent_count = excluded.fresh_agent_count, \
             protocol_deviation = excluded.protocol_deviation, \
             deviation_reason = excluded.deviation_reason, \
             world_epoch = excluded.world_epoch, started_at = excluded.started_at, \
             started_by = excluded.started_by, start_reason = excluded.start_reason, \
             ended_at = excluded.ended_at, end_reason = excluded.end_reason, \
             ended_by = excluded.ended_by",
    )?;
    statement.execute(named_params! {
        ":run_id": run.run_id,
        ":mode": Word(run.mode),
        ":protocol_version": run.protocol_version,
        ":condition_name": run.condition_name,
        ":hypothesis_id": run.hypothesis_id,
        ":season_id": run.season_id,
        ":season_number": run.season_number,
        ":parent_run_id": run.parent_run_id,
        ":transfer_policy_version": run.transfer_policy_version,
        ":epoch_id": run.epoch_id,
        ":run_class": Word(run.run_class),
        ":mirror_control_run_id": run.mirror_control_run_id,
        ":carryover_agent_count": run.carryover_agent_count,
        ":fresh_agent_count": run.fresh_agent_count,
        ":protocol_deviation": run.protocol_deviation,
        ":deviation_reason": run.deviation_reason,
        ":world_epoch": run.world_epoch,
        ":started_at": Micros(run.started_at),
        ":started_by": run.started_by,
        ":start_reason": run.start_reason,
        ":ended_at": run.ended_at.map(Micros),
        ":end_reason": run.end_reason,
        ":ended_by": run.ended_by.map(Word),
    })?;
    Ok(())
}

/// The row of that name.
pub(crate) fn get(connection: &Connection, run_id: &str) -> Work<Option<RunRecord>> {
    let mut statement = connection.prepare_cached("SELECT * FROM runs WHERE run_id = ?1")?;
    Ok(statement.query_row([run_id], record).optional()?)
}

/// Rows before the place `before`, newest first.
pub(crate) fn list(
    connection: &Connection,
    before: Option<i64>,
    limit: usize,
) -> Work<Page<RunRecord>> {
    let mut statement = connection
        .prepare_cached("SELECT * FROM runs WHERE place < ?1 ORDER BY place DESC LIMIT ?2")?;
    let rows = statement
        .query_map(params![before.unwrap_or(i64::MAX), one_more(limit)], |row| {
            Ok((row.get::<_, i64>("place")?, record(row)?))
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let page = Page::cut(rows, limit, |(place, _)| *place);
    Ok(Page { items: page.items.into_iter().map(|(_, run)| run).collect(), next: page.next })
}

pub(crate) fn record(row: &Row<'_>) -> rusqlite::Result<RunRecord> {
    Ok(RunRecord {
        run_id: row.get("run_id")?,
        mode: row.get::<_, Word<_>>("mode")?.0,
        protocol_version: row.get("protocol_version")?,
        condition_name: row.get("condition_name")?,
        hypothesis_id: row.get("hypothesis_id")?,
        season_id: row.get("season_id")?,
        season_number: row.get("season_number")?,
        parent_run_id: row.get("parent_run_id")?,
        transfer_policy_version: row.get("transfer_policy_version")?,
        epoch_id: row.get("epoch_id")?,
        run_class: row.get::<_, Word<_>>("run_class")?.0,
        mirror_control_run_id: row.get("mirror_control_run_id")?,
        carryover_agent_count: row.get("carryover_agent_count")?,
        fresh_agent_count: row.get("fresh_agent_count")?,
        protocol_deviation: row.get("protocol_deviation")?,
        deviation_reason: row.get("deviation_reason")?,
        world_epoch: row.get("world_epoch")?,
        started_at: row.get::<_, Micros>("started_at")?.0,
        started_by: row.get("started_by")?,
        start_reason: row.get("start_reason")?,
        ended_at: row.get::<_, Option<Micros>>("ended_at")?.map(|at| at.0),
        end_reason: row.get("end_reason")?,
        ended_by: row.get::<_, Option<Word<_>>>("ended_by")?.map(|by| by.0),
    })
}
