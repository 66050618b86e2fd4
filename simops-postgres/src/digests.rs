//! Digests, and reports of runs.

use async_trait::async_trait;
use jiff::Timestamp;
use jiff::civil::Date;
use simops::Result;
use simops::digest::{Digest, DigestStatus};
use simops::run::RunRecord;
use simops::store::sql::{self, REPORT_COLUMNS, SqlRow, body, count, one_more, placed_body};
use simops::store::{DigestStore, Page, ReportStore, StoredReport};
use sqlx::AssertSqlSafe;

use crate::codec::{Day, Json, Micros, Word};
use crate::error::Work;
use crate::link::Link;
use crate::{PostgresStore, runs};

#[async_trait]
impl DigestStore for PostgresStore {
    async fn digest(&self, slug: &str) -> Result<Option<Digest>> {
        let sql = "SELECT body FROM digests WHERE slug = $1";
        self.base.fetch_optional(|| sqlx::query(sql).bind(slug), |row| body(row)).await
    }

    async fn digests_of(&self, anchor: Date) -> Result<Vec<Digest>> {
        let sql = "SELECT body FROM digests WHERE anchor_date = $1 ORDER BY place";
        let statement = || sqlx::query(sql).bind(Day::at_least(anchor));
        self.base.fetch_all(statement, |row| body(row)).await
    }

    async fn digests(
        &self,
        status: Option<DigestStatus>,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Page<Digest>> {
        let sql = "SELECT body, place FROM digests \
                   WHERE place < $1 AND ($2::text IS NULL OR status = $2) \
                   ORDER BY place DESC LIMIT $3";
        let statement = || {
            sqlx::query(sql)
                .bind(before.unwrap_or(i64::MAX))
                .bind(status.map(DigestStatus::as_str))
                .bind(one_more(limit))
        };
        Ok(sql::page(self.base.fetch_all(statement, |row| placed_body(row)).await?, limit))
    }
}

#[async_trait]
impl ReportStore for PostgresStore {
    async fn put_report(&self, report: &StoredReport) -> Result<bool> {
        self.base
            .write(|mut tx| async move {
                let kept = sqlx::query(
                    "INSERT INTO reports (run_id, ended_at, body, created_at) \
                     VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
                )
                .bind(&report.run_id)
                .bind(Micros(report.ended_at))
                .bind(Json(&report.body))
                .bind(Micros(report.created_at))
                .execute(&mut *tx)
                .await?;
                Ok((tx, kept.rows_affected() == 1))
            })
            .await
    }

    async fn report_of(&self, run_id: &str, ended_at: Timestamp) -> Result<Option<StoredReport>> {
        let statement = || {
            let sql =
                format!("SELECT {REPORT_COLUMNS} FROM reports WHERE run_id = $1 AND ended_at = $2");
            sqlx::query(AssertSqlSafe(sql)).bind(run_id).bind(Micros(ended_at))
        };
        self.base.fetch_optional(statement, |row| sql::report(row)).await
    }

    async fn report_ends(&self, run_id: &str) -> Result<Vec<Timestamp>> {
        let sql = "SELECT ended_at FROM reports WHERE run_id = $1 ORDER BY ended_at";
        self.base.fetch_all(|| sqlx::query(sql).bind(run_id), |row| row.time(0)).await
    }

    async fn runs_without_report(&self, limit: usize) -> Result<Vec<RunRecord>> {
        self.base
            .query(|mut connection| async move {
                let rows = sqlx::query(
                    "SELECT * FROM runs WHERE ended_at IS NOT NULL AND NOT EXISTS \
                         (SELECT 1 FROM reports WHERE reports.run_id = runs.run_id \
                              AND reports.ended_at = runs.ended_at) \
                     ORDER BY ended_at, place LIMIT $1",
                )
                .bind(count(limit))
                .fetch_all(&mut *connection)
                .await?;
                let found = rows.iter().map(runs::record).collect::<sqlx::Result<_>>()?;
                Ok((connection, found))
            })
            .await
    }
}

/// Inserts a digest, or replaces it without changing its place in the list.
pub(crate) async fn put(connection: &mut Link, digest: &Digest) -> Work<()> {
    sqlx::query(
        "INSERT INTO digests (slug, anchor_date, status, body) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (slug) DO UPDATE SET status = excluded.status, body = excluded.body",
    )
    .bind(&digest.slug)
    .bind(Day::at_least(digest.anchor_date))
    .bind(Word(digest.status))
    .bind(Json(digest))
    .execute(connection)
    .await?;
    Ok(())
}
