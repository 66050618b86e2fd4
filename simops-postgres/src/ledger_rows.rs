//! Rows of open leases and of the usage ledger, and of its sums per day and run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use jiff::civil::Date;
use simops::AgentId;
use simops::store::sql::{
    DAY_USE_COLUMNS, LEASE_COLUMNS, RUN_TOTALS_COLUMNS, SqlRecord, USAGE_COLUMNS, USE_COLUMNS,
    USE_KEY, USE_SUMS,
};
use simops::usage::{BudgetUse, CallTotals, Changes, DayTotals, DayUse, Lease, UsageRow, UseKey};
use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Postgres};
use uuid::Uuid;

use crate::codec::{Day, Micros, records};
use crate::error::Work;
use crate::link::Link;

/// The open leases of `ids`.
pub(crate) async fn leases(connection: &mut Link, ids: &[Uuid]) -> Work<Vec<Lease>> {
    of_ids(connection, format!("SELECT {LEASE_COLUMNS} FROM leases WHERE id = ANY($1)"), ids).await
}

/// The recorded calls of `ids`.
pub(crate) async fn calls(connection: &mut Link, ids: &[Uuid]) -> Work<Vec<UsageRow>> {
    of_ids(connection, format!("SELECT {USAGE_COLUMNS} FROM usage WHERE id = ANY($1)"), ids).await
}

async fn of_ids<T: SqlRecord>(connection: &mut Link, sql: String, ids: &[Uuid]) -> Work<Vec<T>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let rows = sqlx::query(AssertSqlSafe(sql)).bind(ids).fetch_all(connection).await?;
    Ok(records(&rows)?)
}

/// The calls of `ids` that were recorded on `day` or later. Reads only the partitions of these days.
pub(crate) async fn calls_since(
    connection: &mut Link,
    ids: &[Uuid],
    day: Date,
) -> Work<Vec<UsageRow>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let sql = format!(
        "SELECT {USAGE_COLUMNS} FROM usage \
         WHERE id = ANY($1) AND created_at >= $2::date::timestamp AT TIME ZONE 'UTC'"
    );
    let rows = sqlx::query(AssertSqlSafe(sql)).bind(ids).bind(Day::at_least(day));
    let rows = rows.fetch_all(connection).await?;
    Ok(records(&rows)?)
}

/// Deletes leases.
async fn delete_leases(connection: &mut Link, ids: &BTreeSet<Uuid>) -> Work<()> {
    if ids.is_empty() {
        return Ok(());
    }
    sqlx::query("DELETE FROM leases WHERE id = ANY($1)")
        .bind(ids.iter().copied().collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}

/// Overwrites recorded calls, which keep their place in listings.
async fn replace_calls(connection: &mut Link, new: &[UsageRow]) -> Work<()> {
    if new.is_empty() {
        return Ok(());
    }
    let set: Vec<_> =
        USAGE_COLUMNS.split(", ").map(|column| format!("{column} = new.{column}")).collect();
    let given = Arrays::default().next(&CALL_TYPES);
    let sql = format!(
        "UPDATE usage SET {} FROM {given} AS new ({USAGE_COLUMNS}) WHERE usage.id = new.id",
        set.join(", ")
    );
    bind_calls(sqlx::query(AssertSqlSafe(sql)), new).execute(connection).await?;
    Ok(())
}

/// The types of the [`LEASE_COLUMNS`].
const LEASE_TYPES: [&str; 14] = [
    "uuid",
    "date",
    "text",
    "bigint",
    "text",
    "bigint",
    "text",
    "text",
    "bigint",
    "bool",
    "timestamptz",
    "timestamptz",
    "bigint",
    "bigint",
];

/// The types of the [`USAGE_COLUMNS`].
const CALL_TYPES: [&str; 22] = [
    "uuid",
    "date",
    "text",
    "bigint",
    "text",
    "bigint",
    "text",
    "text",
    "text",
    "bigint",
    "bigint",
    "bigint",
    "bigint",
    "bigint",
    "bool",
    "bool",
    "bool",
    "bigint",
    "text",
    "timestamptz",
    "bool",
    "bool",
];

/// The parameters of a statement, as arrays of which each is a column.
#[derive(Default)]
struct Arrays(usize);

impl Arrays {
    /// The rows of the next parameters.
    fn next(&mut self, types: &[&str]) -> String {
        let arrays = types.iter().map(|of| {
            self.0 += 1;
            format!("${}::{of}[]", self.0)
        });
        format!("unnest({})", arrays.collect::<Vec<_>>().join(", "))
    }

    /// Inserts the rows of the next parameters into a table, or writes them over those of the same key.
    fn upsert(&mut self, table: &str, key: (&str, &[&str]), sums: &str) -> String {
        let (key, key_types) = key;
        let types: Vec<_> =
            key_types.iter().copied().chain(sums.split(", ").map(|_| "bigint")).collect();
        let set: Vec<_> =
            sums.split(", ").map(|column| format!("{column} = excluded.{column}")).collect();
        format!(
            "INSERT INTO {table} ({key}, {sums}) SELECT * FROM {} ON CONFLICT ({key}) DO UPDATE SET {}",
            self.next(&types),
            set.join(", ")
        )
    }
}

/// All that a batch changes but rows that it replaces, in one statement: what counts is how often the
/// server is asked. Its parts see the tables as they were before it.
static WRITE: LazyLock<String> = LazyLock::new(|| {
    let mut arrays = Arrays(1);
    let opened =
        format!("INSERT INTO leases ({LEASE_COLUMNS}) SELECT * FROM {}", arrays.next(&LEASE_TYPES));
    // Calls keep the order of their recording.
    let recorded = format!(
        "INSERT INTO usage ({USAGE_COLUMNS}) SELECT {USAGE_COLUMNS} FROM {} WITH ORDINALITY \
         AS new ({USAGE_COLUMNS}, place) ORDER BY new.place",
        arrays.next(&CALL_TYPES)
    );
    let days = arrays.upsert("usage_days", ("day", &["date"]), DAY_USE_COLUMNS);
    let runs = arrays.upsert("usage_runs", ("run_id", &["text"]), RUN_TOTALS_COLUMNS);
    let uses = arrays.upsert("budget_use", (USE_KEY, &["text"; 3]), USE_SUMS);
    format!(
        "WITH ended AS (DELETE FROM leases WHERE id = ANY($1::uuid[])), opened AS ({opened}), \
         recorded AS ({recorded}), days AS ({days}), runs AS ({runs}) {uses}"
    )
});

/// Writes what a batch changes.
pub(crate) async fn write(connection: &mut Link, changes: &Changes) -> Work<()> {
    let Changes { ended, opened, inserted, replaced, days, runs, uses } = changes;
    if opened.iter().any(|lease| ended.contains(&lease.id)) {
        // The new lease would meet the old one.
        delete_leases(&mut *connection, ended).await?;
    }
    let ended: Vec<_> = ended.iter().copied().collect();
    let mut query = sqlx::query(WRITE.as_str()).bind(ended);
    query = bind_leases(query, opened);
    query = bind_calls(query, inserted);
    query = query.bind(column(days, |(day, _)| Day(*day)));
    for place in 0..DayTotals::NAMES.len() {
        query = query.bind(column(days, |(_, used)| used.settled.to_array()[place]));
    }
    for place in 0..DayTotals::NAMES.len() {
        query = query.bind(column(days, |(_, used)| used.reserved.to_array()[place]));
    }
    query = query.bind(column(days, |(_, used)| used.version.cast_signed()));
    query = query.bind(runs.iter().map(|(run_id, _)| run_id.as_str()).collect::<Vec<_>>());
    for place in 0..CallTotals::NAMES.len() {
        query = query.bind(column(runs, |(_, sums)| sums.to_array()[place]));
    }
    bind_uses(query, uses).execute(&mut *connection).await?;
    replace_calls(connection, replaced).await
}

type Bound<'q> = Query<'q, Postgres, PgArguments>;

fn bind_leases<'q>(query: Bound<'q>, new: &'q [Lease]) -> Bound<'q> {
    query
        .bind(column(new, |lease| lease.id))
        .bind(column(new, |lease| Day(lease.day)))
        .bind(new.iter().map(|lease| lease.run_id.as_deref()).collect::<Vec<_>>())
        .bind(column(new, |lease| lease.agent_id.as_ref().and_then(AgentId::number)))
        .bind(names(new.iter().map(|lease| lease.agent_id.as_ref())))
        .bind(column(new, |lease| lease.checkpoint))
        .bind(new.iter().map(|lease| lease.provider.as_str()).collect::<Vec<_>>())
        .bind(new.iter().map(|lease| lease.model.as_str()).collect::<Vec<_>>())
        .bind(column(new, |lease| lease.upper_bound.0))
        .bind(column(new, |lease| lease.priced))
        .bind(column(new, |lease| Micros(lease.created_at)))
        .bind(column(new, |lease| Micros(lease.expires_at)))
        .bind(column(new, |lease| lease.input_tokens))
        .bind(column(new, |lease| lease.output_tokens))
}

fn bind_calls<'q>(query: Bound<'q>, new: &'q [UsageRow]) -> Bound<'q> {
    query
        .bind(column(new, |row| row.id))
        .bind(column(new, |row| Day(row.day)))
        .bind(new.iter().map(|row| row.run_id.as_deref()).collect::<Vec<_>>())
        .bind(column(new, |row| row.agent_id.as_ref().and_then(AgentId::number)))
        .bind(names(new.iter().map(|row| row.agent_id.as_ref())))
        .bind(column(new, |row| row.checkpoint))
        .bind(new.iter().map(|row| row.provider.as_str()).collect::<Vec<_>>())
        .bind(new.iter().map(|row| row.model_requested.as_str()).collect::<Vec<_>>())
        .bind(new.iter().map(|row| row.model_resolved.as_deref()).collect::<Vec<_>>())
        .bind(column(new, |row| row.input_tokens))
        .bind(column(new, |row| row.cached_input_tokens))
        .bind(column(new, |row| row.output_tokens))
        .bind(column(new, |row| row.reasoning_tokens))
        .bind(column(new, |row| row.cost.0))
        .bind(column(new, |row| row.priced))
        .bind(column(new, |row| row.success))
        .bind(column(new, |row| row.fallback_used))
        .bind(column(new, |row| row.latency_ms))
        .bind(new.iter().map(|row| row.error_type.as_deref()).collect::<Vec<_>>())
        .bind(column(new, |row| Micros(row.created_at)))
        .bind(column(new, |row| row.sent))
        .bind(column(new, |row| row.over_reservation))
}

fn bind_uses<'q>(query: Bound<'q>, uses: &'q [(UseKey, BudgetUse)]) -> Bound<'q> {
    query
        .bind(uses.iter().map(|(key, _)| key.budget.as_str()).collect::<Vec<_>>())
        .bind(uses.iter().map(|(key, _)| key.period.as_str()).collect::<Vec<_>>())
        .bind(uses.iter().map(|(key, _)| key.part.as_str()).collect::<Vec<_>>())
        .bind(column(uses, |(_, used)| used.settled))
        .bind(column(uses, |(_, used)| used.reserved))
        .bind(column(uses, |(_, used)| used.pruned))
        .bind(column(uses, |(_, used)| used.version.cast_signed()))
}

fn names<'a>(agents: impl Iterator<Item = Option<&'a AgentId>>) -> Vec<Option<&'a str>> {
    agents.map(|agent| agent.and_then(AgentId::name)).collect()
}

fn column<R, T>(rows: &[R], of: impl Fn(&R) -> T) -> Vec<T> {
    rows.iter().map(of).collect()
}

/// The sums of runs. Runs without sums are missing.
pub(crate) async fn run_totals(
    connection: &mut Link,
    runs: &[String],
) -> Work<BTreeMap<String, CallTotals>> {
    if runs.is_empty() {
        return Ok(BTreeMap::new());
    }
    let sql = format!("SELECT run_id, {RUN_TOTALS_COLUMNS} FROM usage_runs WHERE run_id = ANY($1)");
    let rows = sqlx::query(AssertSqlSafe(sql)).bind(runs).fetch_all(connection).await?;
    Ok(records(&rows)?)
}

/// The sums of days. Days without sums are missing.
pub(crate) async fn day_uses(
    connection: &mut Link,
    days: impl IntoIterator<Item = Date>,
) -> Work<BTreeMap<Date, DayUse>> {
    let sql = format!("SELECT day, {DAY_USE_COLUMNS} FROM usage_days WHERE day = ANY($1)");
    let days: Vec<_> = days.into_iter().map(Day).collect();
    let rows = sqlx::query(AssertSqlSafe(sql)).bind(days).fetch_all(connection).await?;
    Ok(records(&rows)?)
}

/// What is used of budgets. Uses that are not stored are missing.
pub(crate) async fn budget_uses(
    connection: &mut Link,
    keys: &BTreeSet<UseKey>,
) -> Work<BTreeMap<UseKey, BudgetUse>> {
    if keys.is_empty() {
        return Ok(BTreeMap::new());
    }
    let sql = format!(
        "SELECT {USE_COLUMNS} FROM budget_use WHERE ({USE_KEY}) IN \
             (SELECT * FROM unnest($1::text[], $2::text[], $3::text[]))"
    );
    let column = |of: fn(&UseKey) -> &str| keys.iter().map(of).collect::<Vec<_>>();
    let rows = sqlx::query(AssertSqlSafe(sql))
        .bind(column(|key| &key.budget))
        .bind(column(|key| &key.period))
        .bind(column(|key| &key.part))
        .fetch_all(connection)
        .await?;
    Ok(records(&rows)?)
}

/// Replaces what is used of budgets.
pub(crate) async fn put_budget_uses(
    connection: &mut Link,
    uses: &[(UseKey, BudgetUse)],
) -> Work<()> {
    if uses.is_empty() {
        return Ok(());
    }
    let sql = Arrays::default().upsert("budget_use", (USE_KEY, &["text"; 3]), USE_SUMS);
    bind_uses(sqlx::query(AssertSqlSafe(sql)), uses).execute(connection).await?;
    Ok(())
}

/// SQL sums of calls, which stop at `i64::MAX`: how they ended, and their tokens.
pub(crate) const CALLS_BY_END: &str = "count(*) FILTER (WHERE success), \
     count(*) FILTER (WHERE fallback_used), \
     least(coalesce(sum(least(input_tokens::numeric + output_tokens, 9223372036854775807)), 0), \
         9223372036854775807)::bigint";

/// SQL sums of calls: their number, [`CALLS_BY_END`], and their cost.
pub(crate) fn call_sums() -> String {
    format!("count(*), {CALLS_BY_END}, least(coalesce(sum(cost), 0), 9223372036854775807)::bigint")
}

/// Sums of a day's calls that were sent as SQL, as [`simops::usage::DayTotals::of`] counts them.
pub(crate) const DAY_SUMS: &str = "count(*), count(*) FILTER (WHERE model_requested LIKE '%:free'), \
     count(*) FILTER (WHERE provider = 'groq'), count(*) FILTER (WHERE provider = 'gemini'), \
     count(*) FILTER (WHERE NOT priced), least(sum(cost), 9223372036854775807)::bigint";
