//! Migrates the schema.

use std::time::Duration;

use simops::store::sql::{SchemaVersion, no_schema};
use sqlx::Executor;
use tokio::time::sleep;

use crate::connection::{Connections, TxMode};
use crate::error::Work;
use crate::link::Link;
use crate::schema::{LOCK_WRITERS_OUT, MIGRATIONS, STORED, version};

/// The advisory lock of those who migrate: "SiOp".
const LOCK: i64 = 0x5369_4f70;
/// Delay after a migration that had to wait for other transactions.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// Migrates the schema if it is older.
///
/// Of several processes that start at once, one migrates and the others wait. It waits a second at most
/// for transactions that use the tables, because others wait behind it, and then tries again.
pub(crate) async fn migrate(connections: &Connections) -> Work<()> {
    let mut has_warned = false;
    loop {
        match migrate_once(connections).await {
            Err(failure) if failure.is_lock_timeout() => {
                if !std::mem::replace(&mut has_warned, true) {
                    tracing::warn!(
                        code = "migration_waits",
                        "waiting for transactions on the database, to migrate its schema"
                    );
                }
                sleep(RETRY_DELAY).await;
            }
            done => return done,
        }
    }
}

/// Migrates in one transaction: a crash leaves the old schema or the new one.
async fn migrate_once(connections: &Connections) -> Work<()> {
    let mut tx = connections.begin(TxMode::Migrate).await?;
    if let Some(stored) = stored(&mut tx).await?
        && MIGRATIONS.pending(stored)?.is_empty()
    {
        return tx.commit().await;
    }
    tx.execute(sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(LOCK)).await?;
    let stored = match stored(&mut tx).await? {
        Some(stored) => stored,
        None => {
            let create = "CREATE TABLE simops_schema (version INTEGER NOT NULL); \
                          INSERT INTO simops_schema VALUES (0)";
            tx.execute(create).await?;
            SchemaVersion { version: 0, min_writer: 0 }
        }
    };
    let pending = MIGRATIONS.pending(stored)?;
    if !pending.is_empty() {
        tx.execute("SET LOCAL lock_timeout = '1s'").await?;
        tx.execute(LOCK_WRITERS_OUT).await?;
        for migration in pending {
            tx.execute(*migration).await?;
        }
        let number = |version| i32::try_from(version).unwrap_or(0);
        let update = sqlx::query("UPDATE simops_schema SET version = $1, min_writer = $2");
        tx.execute(update.bind(number(MIGRATIONS.version())).bind(number(MIGRATIONS.min_writer)))
            .await?;
    }
    tx.commit().await
}

/// Checks that the database has a schema that can be read.
///
/// # Errors
/// `Unusable` for an empty database, or one of a newer simops that lets this one not write.
pub(crate) async fn check_reader(connections: &Connections) -> Work<()> {
    let mut tx = connections.begin(TxMode::Read).await?;
    let stored = stored(&mut tx).await?.filter(|stored| stored.version > 0);
    tx.commit().await?;
    Ok(MIGRATIONS.check_newer(stored.ok_or_else(no_schema)?)?)
}

/// The stored version; `None` for an empty database.
async fn stored(connection: &mut Link) -> Work<Option<SchemaVersion>> {
    // By a query, because `to_regclass` remembers that there was no table: who waited for the migration
    // of another would not see it.
    let find = "SELECT EXISTS (SELECT FROM pg_class \
                WHERE relname = 'simops_schema' AND pg_table_is_visible(oid))";
    let (exists,): (bool,) = sqlx::query_as(find).fetch_one(&mut *connection).await?;
    if !exists {
        return Ok(None);
    }
    Ok(Some(version(&connection.fetch_one(STORED).await?)?))
}
