//! Rows of open leases.

use std::collections::BTreeSet;

use jiff::Timestamp;
use simops::store::sql::{LEASE_COLUMNS, lease};
use simops::usage::Lease;
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use crate::codec::{Cells, Day, Micros};
use crate::error::Work;
use crate::link::Link;

/// The open leases of `ids`.
pub(crate) async fn of_ids(connection: &mut Link, ids: &[Uuid]) -> Work<Vec<Lease>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let sql = format!("SELECT {LEASE_COLUMNS} FROM leases WHERE id = ANY($1)");
    let rows = sqlx::query(AssertSqlSafe(sql)).bind(ids).fetch_all(connection).await?;
    Ok(rows.iter().map(Cells).map(lease).collect::<sqlx::Result<_>>()?)
}

/// All open leases.
pub(crate) async fn all(connection: &mut Link) -> Work<Vec<Lease>> {
    let sql = format!("SELECT {LEASE_COLUMNS} FROM leases ORDER BY id");
    let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(connection).await?;
    Ok(rows.iter().map(Cells).map(lease).collect::<sqlx::Result<_>>()?)
}

/// At most `most` leases that expired before `now`, the oldest first.
pub(crate) async fn due(connection: &mut Link, now: Timestamp, most: i64) -> Work<Vec<Lease>> {
    let sql = format!(
        "SELECT {LEASE_COLUMNS} FROM leases WHERE expires_at < $1 ORDER BY expires_at LIMIT $2"
    );
    let query = sqlx::query(AssertSqlSafe(sql)).bind(Micros(now)).bind(most);
    let rows = query.fetch_all(connection).await?;
    Ok(rows.iter().map(Cells).map(lease).collect::<sqlx::Result<_>>()?)
}

/// Deletes leases.
pub(crate) async fn delete(connection: &mut Link, ids: &BTreeSet<Uuid>) -> Work<()> {
    if ids.is_empty() {
        return Ok(());
    }
    sqlx::query("DELETE FROM leases WHERE id = ANY($1)")
        .bind(ids.iter().copied().collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}

/// Inserts leases.
pub(crate) async fn insert(connection: &mut Link, new: &[Lease]) -> Work<()> {
    if new.is_empty() {
        return Ok(());
    }
    let sql = format!(
        "INSERT INTO leases ({LEASE_COLUMNS}) \
         SELECT * FROM unnest($1::uuid[], $2::date[], $3::text[], $4::bigint[], $5::bigint[], \
             $6::text[], $7::text[], $8::bigint[], $9::bool[], $10::timestamptz[], \
             $11::timestamptz[])"
    );
    sqlx::query(AssertSqlSafe(sql))
        .bind(new.iter().map(|lease| lease.id).collect::<Vec<_>>())
        .bind(new.iter().map(|lease| Day(lease.day)).collect::<Vec<_>>())
        .bind(new.iter().map(|lease| lease.run_id.as_deref()).collect::<Vec<_>>())
        .bind(new.iter().map(|lease| lease.agent_id).collect::<Vec<_>>())
        .bind(new.iter().map(|lease| lease.checkpoint).collect::<Vec<_>>())
        .bind(new.iter().map(|lease| lease.provider.as_str()).collect::<Vec<_>>())
        .bind(new.iter().map(|lease| lease.model.as_str()).collect::<Vec<_>>())
        .bind(new.iter().map(|lease| lease.upper_bound.0).collect::<Vec<_>>())
        .bind(new.iter().map(|lease| lease.priced).collect::<Vec<_>>())
        .bind(new.iter().map(|lease| Micros(lease.created_at)).collect::<Vec<_>>())
        .bind(new.iter().map(|lease| Micros(lease.expires_at)).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}
