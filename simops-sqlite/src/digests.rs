//! Digests, and reports of runs.

use async_trait::async_trait;
use jiff::Timestamp;
use jiff::civil::Date;
use rusqlite::{Connection, OptionalExtension, Row, params};
use simops::Result;
use simops::digest::{Digest, DigestStatus};
use simops::run::RunRecord;
use simops::store::{DigestStore, Page, ReportStore, StoredReport};

use crate::codec::{Json, Micros, Word, count, one_more};
use crate::error::Work;
use crate::{SqliteStore, runs};

#[async_trait]
impl DigestStore for SqliteStore {
    async fn digest(&self, slug: &str) -> Result<Option<Digest>> {
        let slug = slug.to_owned();
        self.read(move |connection| {
            let mut statement =
                connection.prepare_cached("SELECT body FROM digests WHERE slug = ?1")?;
            Ok(statement.query_row([slug], draft).optional()?)
        })
        .await
    }

    async fn digests_of(&self, anchor: Date) -> Result<Vec<Digest>> {
        self.read(move |connection| {
            let mut statement = connection
                .prepare_cached("SELECT body FROM digests WHERE anchor_date = ?1 ORDER BY place")?;
            let rows = statement.query_map([anchor.to_string()], draft)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    async fn digests(
        &self,
        status: Option<DigestStatus>,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Page<Digest>> {
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT body, place FROM digests \
                 WHERE place < ?1 AND (?2 IS NULL OR status = ?2) ORDER BY place DESC LIMIT ?3",
            )?;
            let before = before.unwrap_or(i64::MAX);
            let rows = statement
                .query_map(params![before, status.map(Word), one_more(limit)], |row| {
                    Ok((row.get::<_, i64>(1)?, draft(row)?))
                })?;
            let page =
                Page::cut(rows.collect::<rusqlite::Result<_>>()?, limit, |(place, _)| *place);
            let items = page.items.into_iter().map(|(_, draft)| draft).collect();
            Ok(Page { items, next: page.next })
        })
        .await
    }
}

#[async_trait]
impl ReportStore for SqliteStore {
    async fn put_report(&self, report: &StoredReport) -> Result<bool> {
        let report = report.clone();
        self.write(move |tx| {
            let mut statement = tx.prepare_cached(
                "INSERT INTO reports (run_id, ended_at, body, created_at) VALUES (?1, ?2, ?3, ?4) \
                 ON CONFLICT DO NOTHING",
            )?;
            let kept = statement.execute(params![
                report.run_id,
                Micros(report.ended_at),
                Json(&report.body),
                Micros(report.created_at),
            ])?;
            Ok(kept == 1)
        })
        .await
    }

    async fn report_of(&self, run_id: &str, ended_at: Timestamp) -> Result<Option<StoredReport>> {
        let run_id = run_id.to_owned();
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT body, created_at FROM reports WHERE run_id = ?1 AND ended_at = ?2",
            )?;
            let found = statement.query_row(params![run_id, Micros(ended_at)], |row| {
                let (body, created_at) = (row.get::<_, Json<_>>(0)?.0, row.get::<_, Micros>(1)?.0);
                Ok((body, created_at))
            });
            let found = found.optional()?;
            Ok(found.map(|(body, created_at)| StoredReport { run_id, ended_at, body, created_at }))
        })
        .await
    }

    async fn report_ends(&self, run_id: &str) -> Result<Vec<Timestamp>> {
        let run_id = run_id.to_owned();
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT ended_at FROM reports WHERE run_id = ?1 ORDER BY ended_at",
            )?;
            let ends = statement.query_map([run_id], |row| Ok(row.get::<_, Micros>(0)?.0))?;
            Ok(ends.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    async fn runs_without_report(&self, limit: usize) -> Result<Vec<RunRecord>> {
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT * FROM runs WHERE ended_at IS NOT NULL AND NOT EXISTS \
                     (SELECT 1 FROM reports WHERE reports.run_id = runs.run_id \
                          AND reports.ended_at = runs.ended_at) \
                 ORDER BY ended_at, place LIMIT ?1",
            )?;
            let rows = statement.query_map([count(limit)], runs::record)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }
}

/// Inserts a digest, or replaces it in its place.
pub(crate) fn put(connection: &Connection, digest: &Digest) -> Work<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO digests (slug, anchor_date, status, body) VALUES (?1, ?2, ?3, ?4) \
         ON CONFLICT (slug) DO UPDATE SET status = excluded.status, body = excluded.body",
    )?;
    let anchor = digest.anchor_date.to_string();
    statement.execute(params![digest.slug, anchor, Word(digest.status), Json(digest)])?;
    Ok(())
}

fn draft(row: &Row<'_>) -> rusqlite::Result<Digest> {
    Ok(row.get::<_, Json<_>>(0)?.0)
}
