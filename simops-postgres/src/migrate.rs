//! Migrates the schema.

use simops::store::sql::pending_migrations;
use sqlx::Executor;

use crate::connection::{Connections, TxMode};
use crate::error::Work;
use crate::link::Link;

/// The advisory lock of migrations: "SiOp".
const LOCK: i64 = 0x5369_4f70;

/// Each migrates the schema from its index to the next version. Append only.
const MIGRATIONS: [&str; 13] = [
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
];

/// Migrates the schema.
///
/// Runs in one transaction under one lock: of several processes that start at once, one migrates,
/// and a crash leaves the old schema or the new one. The lock belongs to the transaction, so it also
/// works behind a pooler.
pub(crate) async fn migrate(connections: &Connections) -> Work<()> {
    let mut tx = connections.begin(TxMode::WriteLong).await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(LOCK).execute(&mut *tx).await?;
    let version = version(&mut tx).await?;
    let pending = pending_migrations(&MIGRATIONS, version)?;
    if pending.is_empty() {
        return tx.commit().await;
    }
    for migration in pending {
        tx.execute(*migration).await?;
    }
    sqlx::query("UPDATE simops_schema SET version = $1")
        .bind(i32::try_from(MIGRATIONS.len()).unwrap_or(0))
        .execute(&mut *tx)
        .await?;
    tx.commit().await
}

/// The version of the schema; 0 for an empty one.
async fn version(connection: &mut Link) -> Work<usize> {
    let (exists,): (bool,) = sqlx::query_as("SELECT to_regclass('simops_schema') IS NOT NULL")
        .fetch_one(&mut *connection)
        .await?;
    if !exists {
        let create = "CREATE TABLE simops_schema (version INTEGER NOT NULL); \
                      INSERT INTO simops_schema VALUES (0)";
        connection.execute(create).await?;
    }
    let (version,): (i32,) =
        sqlx::query_as("SELECT version FROM simops_schema").fetch_one(&mut *connection).await?;
    Ok(usize::try_from(version).unwrap_or(usize::MAX))
}
