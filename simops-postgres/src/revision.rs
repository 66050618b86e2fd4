//! The revision that watchers follow.

use crate::error::Work;
use crate::link::Link;

/// Increments the revision in the open transaction, and notifies others once it is durable. Returns
/// the new revision.
pub(crate) async fn increment_revision(connection: &mut Link, channel: &str) -> Work<u64> {
    let (revision, _): (i64, String) = sqlx::query_as(
        "WITH next AS (UPDATE revisions SET revision = revision + 1 RETURNING revision) \
         SELECT revision, pg_notify($1, revision::text)::text FROM next",
    )
    .bind(channel)
    .fetch_one(connection)
    .await?;
    Ok(revision.cast_unsigned())
}

/// The stored revision.
pub(crate) async fn stored(connection: &mut Link) -> Work<u64> {
    let (revision,): (i64,) =
        sqlx::query_as("SELECT revision FROM revisions").fetch_one(connection).await?;
    Ok(revision.cast_unsigned())
}
