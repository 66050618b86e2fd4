//! Detects a pooler in transaction mode.
//!
//! Such a pooler assigns a session per transaction: statements prepared in one are missing in the
//! next, and notifications do not arrive. It is detected if two connections reach the same server
//! process, or one connection reaches two.

use simops::{Error, Result};
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Executor, Row};
use tokio::time::timeout;

use crate::PostgresOptions;
use crate::error::{Failure, Work};
use crate::location::Location;

/// Rounds of queries: another client may hold the session that both connections would share.
const ROUNDS: usize = 4;

/// Whether `location` is that of a pooler.
///
/// # Errors
/// Those of connecting.
pub(crate) async fn is_pooled(location: &Location, options: &PostgresOptions) -> Result<bool> {
    let pooled = timeout(options.acquire_timeout, detect(location)).await;
    let late = |_| Error::unavailable("the database does not answer");
    pooled.map_err(late)?.map_err(Failure::into_error)
}

async fn detect(location: &Location) -> Work<bool> {
    let mut one = PgConnection::connect_with(&location.connect).await?;
    let mut other = PgConnection::connect_with(&location.connect).await?;
    let mut seen = (None, None);
    let mut pooled = false;
    for _ in 0..ROUNDS {
        let (first, second) = (process(&mut one).await?, process(&mut other).await?);
        pooled |= first == second || seen.0.is_some_and(|seen| seen != first);
        pooled |= seen.1.is_some_and(|seen| seen != second);
        seen = (Some(first), Some(second));
    }
    // A failure to close does not change the result.
    let _ = one.close().await;
    let _ = other.close().await;
    Ok(pooled)
}

/// The id of the server process, queried without a prepared statement.
async fn process(connection: &mut PgConnection) -> Work<String> {
    let row = connection.fetch_one("SELECT pg_backend_pid()::text").await?;
    Ok(row.try_get(0)?)
}
