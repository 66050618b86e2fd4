//! Rows of the run registry.

use super::{SqlRecord, SqlRow, Statement, upsert};
use crate::run::RunRecord;

/// The columns of a run.
pub(super) const RUN_COLUMNS: &str = "run_id, mode, protocol_version, condition_name, \
     hypothesis_id, season_id, season_number, parent_run_id, transfer_policy_version, epoch_id, \
     run_class, mirror_control_run_id, carryover_agent_count, fresh_agent_count, \
     protocol_deviation, deviation_reason, world_epoch, started_at, started_by, start_reason, \
     ended_at, end_reason, ended_by";

impl SqlRecord for RunRecord {
    fn read<R: SqlRow>(row: &mut R) -> Result<Self, R::Error> {
        Ok(Self {
            run_id: row.text()?,
            mode: row.word()?,
            protocol_version: row.text()?,
            condition_name: row.optional(R::text)?,
            hypothesis_id: row.optional(R::text)?,
            season_id: row.optional(R::text)?,
            season_number: row.optional(R::int)?,
            parent_run_id: row.optional(R::text)?,
            transfer_policy_version: row.optional(R::text)?,
            epoch_id: row.optional(R::text)?,
            run_class: row.word()?,
            mirror_control_run_id: row.optional(R::text)?,
            carryover_agent_count: row.optional(R::int)?,
            fresh_agent_count: row.optional(R::int)?,
            protocol_deviation: row.flag()?,
            deviation_reason: row.optional(R::text)?,
            world_epoch: row.optional(R::int)?,
            started_at: row.time()?,
            started_by: row.text()?,
            start_reason: row.optional(R::text)?,
            ended_at: row.optional(R::time)?,
            end_reason: row.optional(R::text)?,
            ended_by: row.optional(R::word)?,
        })
    }
}

/// Inserts `run`, or replaces its row in place.
pub(super) fn put_run(run: &RunRecord) -> Statement {
    Statement::new(upsert("runs", "run_id", RUN_COLUMNS))
        .bind(&run.run_id)
        .bind_word(&run.mode)
        .bind(&run.protocol_version)
        .bind(&run.condition_name)
        .bind(&run.hypothesis_id)
        .bind(&run.season_id)
        .bind(run.season_number)
        .bind(&run.parent_run_id)
        .bind(&run.transfer_policy_version)
        .bind(&run.epoch_id)
        .bind_word(&run.run_class)
        .bind(&run.mirror_control_run_id)
        .bind(run.carryover_agent_count)
        .bind(run.fresh_agent_count)
        .bind(run.protocol_deviation)
        .bind(&run.deviation_reason)
        .bind(run.world_epoch)
        .bind(run.started_at)
        .bind(&run.started_by)
        .bind(&run.start_reason)
        .bind(run.ended_at)
        .bind(&run.end_reason)
        .bind_word(&run.ended_by)
}

/// The row of that name.
pub(super) fn run_of(run_id: &str) -> Statement {
    Statement::new(format!("SELECT {RUN_COLUMNS} FROM runs WHERE run_id = $1")).bind(run_id)
}
