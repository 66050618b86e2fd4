//! Which versions of the schema this program knows, and the check of each transaction that writes.

use simops::store::sql::{Migrations, SchemaVersion};
use sqlx::Row;
use sqlx::postgres::PgRow;

use crate::error::Work;

/// Begins a transaction that writes: a migration waits for those that have begun, and later ones wait
/// for it. Separate from the next statement, which must see what was migrated meanwhile. The lock is that
/// of one schema, and belongs to the transaction, so it works behind a pooler.
pub(crate) const LOCK_WRITER: &str =
    "SELECT pg_advisory_xact_lock_shared(hashtext('simops schema'), hashtext(current_schema()))";
/// Begins a migration, within the transaction.
pub(crate) const LOCK_WRITERS_OUT: &str =
    "SELECT pg_advisory_xact_lock(hashtext('simops schema'), hashtext(current_schema()))";
/// The stored version, also of a schema without the later column.
pub(crate) const STORED: &str = "SELECT version, \
     coalesce((to_jsonb(simops_schema) ->> 'min_writer')::integer, version) FROM simops_schema";

/// The migrations of this program.
pub(crate) const MIGRATIONS: Migrations = Migrations { all: &ALL, min_writer: 22 };

const ALL: [&str; 22] = [
    include_str!("../migrations/0001_control.sql"),
    include_str!("../migrations/0002_events.sql"),
    include_str!("../migrations/0003_usage.sql"),
    include_str!("../migrations/0004_world.sql"),
    include_str!("../migrations/0005_counting.sql"),
    include_str!("../migrations/0006_duties.sql"),
    include_str!("../migrations/0007_tallies.sql"),
    include_str!("../migrations/0008_kpi.sql"),
    include_str!("../migrations/0009_digests.sql"),
    include_str!("../migrations/0010_alerts.sql"),
    include_str!("../migrations/0011_retention.sql"),
    include_str!("../migrations/0012_kpi_token.sql"),
    include_str!("../migrations/0013_production_mark.sql"),
    include_str!("../migrations/0014_min_writer.sql"),
    include_str!("../migrations/0015_events_in_order.sql"),
    include_str!("../migrations/0016_known_addresses.sql"),
    include_str!("../migrations/0017_recount.sql"),
    include_str!("../migrations/0018_run_labels.sql"),
    include_str!("../migrations/0019_open_runs.sql"),
    include_str!("../migrations/0020_budgets.sql"),
    include_str!("../migrations/0021_sent_calls.sql"),
    include_str!("../migrations/0022_agent_names.sql"),
];

/// Checks that this program may write, by the row of [`STORED`].
///
/// # Errors
/// `Unusable` otherwise.
pub(crate) fn check_writer(stored: &PgRow) -> Work<()> {
    Ok(MIGRATIONS.check_writer(version(stored)?)?)
}

/// The version in the row of [`STORED`].
pub(crate) fn version(stored: &PgRow) -> sqlx::Result<SchemaVersion> {
    let number = |column| -> sqlx::Result<usize> {
        Ok(usize::try_from(stored.try_get::<i32, _>(column)?).unwrap_or(usize::MAX))
    };
    Ok(SchemaVersion { version: number(0)?, min_writer: number(1)? })
}
