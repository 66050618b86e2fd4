//! Rows of the run registry.

use std::sync::LazyLock;

use super::{SqlRecord, SqlRow, Statement, later_column, one_more, upsert};
use crate::run::RunRecord;
use crate::store::RunFilter;

/// The columns of a run in the first schema.
const FIRST_COLUMNS: &str = "run_id, mode, protocol_version, condition_name, \
     hypothesis_id, season_id, season_number, parent_run_id, transfer_policy_version, epoch_id, \
     run_class, mirror_control_run_id, carryover_agent_count, fresh_agent_count, \
     protocol_deviation, deviation_reason, world_epoch, started_at, started_by, start_reason, \
     ended_at, end_reason, ended_by";
/// The columns that were added, each with its value in an older schema.
const LATER_COLUMNS: [(&str, &str); 10] = [
    ("group_id", "NULL"),
    ("labels", "'{}'"),
    ("host", "NULL"),
    ("world", "'main'"),
    ("paused", "CAST(0 AS BOOLEAN)"),
    ("gate_generation", "CAST(0 AS BIGINT)"),
    ("open_since", "CAST(NULL AS TIMESTAMPTZ)"),
    ("open_before_ms", "CAST(0 AS BIGINT)"),
    ("limits", "NULL"),
    ("limit_reached", "NULL"),
];

/// The columns of a run in a query on `runs`, whatever the schema.
pub(super) static RUN_COLUMNS: LazyLock<String> = LazyLock::new(|| {
    let later = LATER_COLUMNS.map(|column| later_column("runs", "place", column));
    format!("{FIRST_COLUMNS}, {}", later.join(", "))
});

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
            host: row.optional(R::text)?,
            world: row.optional(R::text)?,
            paused: row.flag()?,
            gate_generation: row.int()?.cast_unsigned(),
            open_since: row.optional(R::time)?,
            open_before_ms: row.int()?,
            limits: match row.optional(R::text)? {
                Some(limits) => Some(
                    serde_json::from_str(&limits)
                        .map_err(|error| R::unreadable(format!("the limits of a run: {error}")))?,
                ),
                None => None,
            },
            limit_reached: row.optional(R::text)?,
        })
    }
}

/// Inserts `run`, or replaces its row in place.
pub(super) fn put_run(run: &RunRecord) -> Statement {
    let later = LATER_COLUMNS.map(|(column, _)| column).join(", ");
    Statement::new(upsert("runs", "run_id", &format!("{FIRST_COLUMNS}, {later}")))
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
        .bind(&run.host)
        .bind(&run.world)
        .bind(run.paused)
        .bind(run.gate_generation)
        .bind(run.open_since)
        .bind(run.open_before_ms)
        .bind(&run.limits.map(|limits| serde_json::json!(limits).to_string()))
        .bind(&run.limit_reached)
}

/// The row of that name.
pub(super) fn run_of(run_id: &str) -> Statement {
    let columns = &*RUN_COLUMNS;
    Statement::new(format!("SELECT {columns} FROM runs WHERE run_id = $1")).bind(run_id)
}

/// The open runs, in the order of their starts.
pub(super) fn open_runs() -> Statement {
    let columns = &*RUN_COLUMNS;
    Statement::new(format!("SELECT {columns} FROM runs WHERE ended_at IS NULL ORDER BY place"))
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
        "SELECT runs.place, {columns} FROM runs{joins} WHERE {place} < $1{wanted} \
         ORDER BY {place} DESC LIMIT ${}",
        next(),
        columns = *RUN_COLUMNS,
    );
    let runs = Statement::new(sql).bind(filter.before.unwrap_or(i64::MAX));
    let labels = filter.labels.iter().flat_map(|(name, value)| [name, value]);
    let runs = labels.chain(&filter.group_id).fold(runs, Statement::bind);
    runs.bind(one_more(filter.limit))
}
