//! Whether a pooler in transaction mode stands before the database.
//!
//! Such a pooler lends a session only for a transaction: statements prepared in one are missing in
//! the next, and notifications do not arrive. It shows by two connections that are answered by one
//! process of the server, or one connection that is answered by two.

use simops::{Error, Result};
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Executor, Row};
use tokio::time::timeout;

use crate::PostgresOptions;
use crate::error::{Failure, Work};
use crate::location::Location;

/// Rounds of asking: another client may take the session that a pooler would have lent us.
const ROUNDS: usize = 4;

/// Whether one does.
///
/// # Errors
/// Of connecting.
pub(crate) async fn stands_before(location: &Location, options: &PostgresOptions) -> Result<bool> {
    let asked = timeout(options.acquire_within, ask(location)).await;
    let late = |_| Error::unavailable("the database does not answer");
    asked.map_err(late)?.map_err(Failure::into_error)
}

async fn ask(location: &Location) -> Work<bool> {
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
    // Who asked has its answer, whether or not the goodbye arrives.
    let _ = one.close().await;
    let _ = other.close().await;
    Ok(pooled)
}

/// The process of the server that answers; asked without preparing anything.
async fn process(connection: &mut PgConnection) -> Work<String> {
    let row = connection.fetch_one("SELECT pg_backend_pid()::text").await?;
    Ok(row.try_get(0)?)
}
