//! Rows of the run registry.

use super::{SqlRecord, SqlRow, Statement, one_more, upsert};
use crate::run::RunRecord;
use crate::store::RunFilter;

/// The columns of a run.
const COLUMNS: &str = "run_id, mode, protocol_version, condition_name, \
     hypothesis_id, season_id, season_number, parent_run_id, transfer_policy_version, epoch_id, \
     run_class, mirror_control_run_id, carryover_agent_count, fresh_agent_count, \
     protocol_deviation, deviation_reason, world_epoch, started_at, started_by, start_reason, \
     ended_at, end_reason, ended_by, group_id, labels";

/// The columns of a run in a query on `runs`. An older schema, which commands read as it is, lacks the
/// group and the labels: there, their names mean those of `absent`.
pub(super) const RUN_COLUMNS: &str = "run_id, mode, protocol_version, condition_name, \
     hypothesis_id, season_id, season_number, parent_run_id, transfer_policy_version, epoch_id, \
     run_class, mirror_control_run_id, carryover_agent_count, fresh_agent_count, \
     protocol_deviation, deviation_reason, world_epoch, started_at, started_by, start_reason, \
     ended_at, end_reason, ended_by, \
     (SELECT (SELECT group_id FROM runs AS present WHERE present.place = runs.place) \
         FROM (SELECT NULL AS group_id) AS absent), \
     (SELECT (SELECT labels FROM runs AS present WHERE present.place = runs.place) \
         FROM (SELECT '{}' AS labels) AS absent)";

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
            group_id: row.optional(R::text)?,
            labels: serde_json::from_str(&row.text()?)
                .map_err(|error| R::unreadable(format!("the labels of a run: {error}")))?,
        })
    }
}

/// Inserts `run`, or replaces its row in place.
pub(super) fn put_run(run: &RunRecord) -> Statement {
    Statement::new(upsert("runs", "run_id", COLUMNS))
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
        .bind(&run.group_id)
        .bind(&serde_json::json!(run.labels).to_string())
}

/// The row of that name.
pub(super) fn run_of(run_id: &str) -> Statement {
    Statement::new(format!("SELECT {RUN_COLUMNS} FROM runs WHERE run_id = $1")).bind(run_id)
}

/// The labels of a stored run, which never change, for [`list_runs`].
pub(super) fn put_labels(run: &RunRecord) -> impl Iterator<Item = Statement> {
    run.labels.iter().map(|(name, value)| {
        Statement::new(
            "INSERT INTO run_labels (name, value, place) \
                 SELECT $1, $2, place FROM runs WHERE run_id = $3 ON CONFLICT DO NOTHING",
        )
        .bind(name)
        .bind(value)
        .bind(&run.run_id)
    })
}

/// Runs with their places. It reads an index in the order of the list: that of the first label, that of
/// groups, or that of places.
pub(super) fn list_runs(filter: &RunFilter) -> Statement {
    // Numbered in the order of the text, as SQLite counts them.
    let mut binds = 1;
    let mut next = || {
        binds += 1;
        binds
    };
    let (mut joins, mut wanted) = (String::new(), String::new());
    for number in 0..filter.labels.len() {
        let (label, name, value) = (format!("label{number}"), next(), next());
        joins.push_str(&format!(" JOIN run_labels AS {label} ON {label}.place = runs.place"));
        wanted.push_str(&format!(" AND {label}.name = ${name} AND {label}.value = ${value}"));
    }
    if filter.group_id.is_some() {
        wanted.push_str(&format!(" AND runs.group_id = ${}", next()));
    }
    let place = if filter.labels.is_empty() { "runs.place" } else { "label0.place" };
    let sql = format!(
        "SELECT runs.place, {RUN_COLUMNS} FROM runs{joins} WHERE {place} < $1{wanted} \
         ORDER BY {place} DESC LIMIT ${}",
        next()
    );
    let runs = Statement::new(sql).bind(filter.before.unwrap_or(i64::MAX));
    let labels = filter.labels.iter().flat_map(|(name, value)| [name, value]);
    let runs = labels.chain(&filter.group_id).fold(runs, Statement::bind);
    runs.bind(one_more(filter.limit))
}
