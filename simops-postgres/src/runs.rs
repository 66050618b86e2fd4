//! Rows of the run registry.

use simops::run::RunRecord;
use simops::store::Page;
use sqlx::Row;
use sqlx::postgres::PgRow;

use crate::codec::{Micros, Word, one_more};
use crate::error::Work;
use crate::link::Link;

/// Inserts `run`, or replaces its row in place.
pub(crate) async fn put(connection: &mut Link, run: &RunRecord) -> Work<()> {
    sqlx::query(
        "INSERT INTO runs (run_id, mode, protocol_version, condition_name, hypothesis_id, \
             season_id, season_number, parent_run_id, transfer_policy_version, epoch_id, \
             run_class, mirror_control_run_id, carryover_agent_count, fresh_agent_count, \
             protocol_deviation, deviation_reason, world_epoch, started_at, started_by, \
             start_reason, ended_at, end_reason, ended_by) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, \
             $19, $20, $21, $22, $23) \
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
    )
    .bind(&run.run_id)
    .bind(Word(run.mode))
    .bind(&run.protocol_version)
    .bind(&run.condition_name)
    .bind(&run.hypothesis_id)
    .bind(&run.season_id)
    .bind(run.season_number)
    .bind(&run.parent_run_id)
    .bind(&run.transfer_policy_version)
    .bind(&run.epoch_id)
    .bind(Word(run.run_class))
    .bind(&run.mirror_control_run_id)
    .bind(run.carryover_agent_count)
    .bind(run.fresh_agent_count)
    .bind(run.protocol_deviation)
    .bind(&run.deviation_reason)
    .bind(run.world_epoch)
    .bind(Micros(run.started_at))
    .bind(&run.started_by)
    .bind(&run.start_reason)
    .bind(run.ended_at.map(Micros))
    .bind(&run.end_reason)
    .bind(run.ended_by.map(Word))
    .execute(connection)
    .await?;
    Ok(())
}

/// The row of that name.
pub(crate) async fn get(connection: &mut Link, run_id: &str) -> Work<Option<RunRecord>> {
    let row = sqlx::query("SELECT * FROM runs WHERE run_id = $1").bind(run_id);
    let row = row.fetch_optional(connection).await?;
    Ok(row.as_ref().map(record).transpose()?)
}

/// Rows before the place `before`, newest first.
pub(crate) async fn list(
    connection: &mut Link,
    before: Option<i64>,
    limit: usize,
) -> Work<Page<RunRecord>> {
    let rows = sqlx::query("SELECT * FROM runs WHERE place < $1 ORDER BY place DESC LIMIT $2")
        .bind(before.unwrap_or(i64::MAX))
        .bind(one_more(limit))
        .fetch_all(connection)
        .await?;
    let placed = rows.iter().map(|row| Ok((row.try_get::<i64, _>("place")?, record(row)?)));
    let page = Page::cut(placed.collect::<sqlx::Result<Vec<_>>>()?, limit, |(place, _)| *place);
    Ok(Page { items: page.items.into_iter().map(|(_, run)| run).collect(), next: page.next })
}

pub(crate) fn record(row: &PgRow) -> sqlx::Result<RunRecord> {
    Ok(RunRecord {
        run_id: row.try_get("run_id")?,
        mode: row.try_get::<Word<_>, _>("mode")?.0,
        protocol_version: row.try_get("protocol_version")?,
        condition_name: row.try_get("condition_name")?,
        hypothesis_id: row.try_get("hypothesis_id")?,
        season_id: row.try_get("season_id")?,
        season_number: row.try_get("season_number")?,
        parent_run_id: row.try_get("parent_run_id")?,
        transfer_policy_version: row.try_get("transfer_policy_version")?,
        epoch_id: row.try_get("epoch_id")?,
        run_class: row.try_get::<Word<_>, _>("run_class")?.0,
        mirror_control_run_id: row.try_get("mirror_control_run_id")?,
        carryover_agent_count: row.try_get("carryover_agent_count")?,
        fresh_agent_count: row.try_get("fresh_agent_count")?,
        protocol_deviation: row.try_get("protocol_deviation")?,
        deviation_reason: row.try_get("deviation_reason")?,
        world_epoch: row.try_get("world_epoch")?,
        started_at: row.try_get::<Micros, _>("started_at")?.0,
        started_by: row.try_get("started_by")?,
        start_reason: row.try_get("start_reason")?,
        ended_at: row.try_get::<Option<Micros>, _>("ended_at")?.map(|at| at.0),
        end_reason: row.try_get("end_reason")?,
        ended_by: row.try_get::<Option<Word<_>>, _>("ended_by")?.map(|by| by.0),
    })
}
