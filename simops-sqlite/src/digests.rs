//! Digests, and reports of runs.

use async_trait::async_trait;
use jiff::Timestamp;
use jiff::civil::Date;
use rusqlite::{Connection, params};
use simops::Result;
use simops::digest::{Digest, DigestStatus};
use simops::run::RunRecord;
use simops::store::sql::{self, REPORT_COLUMNS, SqlRow, body, count, one_more, placed_body};
use simops::store::{DigestStore, Page, ReportStore, StoredReport};

use crate::codec::{Json, Micros, Word, all, first};
use crate::error::Work;
use crate::{SqliteStore, runs};

#[async_trait]
impl DigestStore for SqliteStore {
    async fn digest(&self, slug: &str) -> Result<Option<Digest>> {
        let slug = slug.to_owned();
        let sql = "SELECT body FROM digests WHERE slug = ?1";
        self.read(move |connection| first(connection, sql, [slug], |row| body(row))).await
    }

    async fn digests_of(&self, anchor: Date) -> Result<Vec<Digest>> {
        let sql = "SELECT body FROM digests WHERE anchor_date = ?1 ORDER BY place";
        self.read(move |connection| all(connection, sql, [anchor.to_string()], |row| body(row)))
            .await
    }

    async fn digests(
        &self,
        status: Option<DigestStatus>,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Page<Digest>> {
        let sql = "SELECT body, place FROM digests \
                   WHERE place < ?1 AND (?2 IS NULL OR status = ?2) ORDER BY place DESC LIMIT ?3";
        self.read(move |connection| {
            let before = before.unwrap_or(i64::MAX);
            let values = params![before, status.map(Word), one_more(limit)];
            Ok(sql::page(all(connection, sql, values, |row| placed_body(row))?, limit))
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
            let sql =
                format!("SELECT {REPORT_COLUMNS} FROM reports WHERE run_id = ?1 AND ended_at = ?2");
            first(connection, &sql, params![run_id, Micros(ended_at)], |row| sql::report(row))
        })
        .await
    }

    async fn report_ends(&self, run_id: &str) -> Result<Vec<Timestamp>> {
        let run_id = run_id.to_owned();
        let sql = "SELECT ended_at FROM reports WHERE run_id = ?1 ORDER BY ended_at";
        self.read(move |connection| all(connection, sql, [run_id], |row| row.time(0))).await
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

/// Inserts a digest, or replaces it without changing its place in the list.
pub(crate) fn put(connection: &Connection, digest: &Digest) -> Work<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO digests (slug, anchor_date, status, body) VALUES (?1, ?2, ?3, ?4) \
         ON CONFLICT (slug) DO UPDATE SET status = excluded.status, body = excluded.body",
    )?;
    let anchor = digest.anchor_date.to_string();
    statement.execute(params![digest.slug, anchor, Word(digest.status), Json(digest)])?;
    Ok(())
}
