//! Digests, and reports of runs.

use async_trait::async_trait;
use jiff::Timestamp;
use jiff::civil::Date;

use super::row::read_by;
use super::runs::RUN_COLUMNS;
use super::{SqlRecord, SqlRow, SqlStore, Statement, count, insert, one_more, page, upsert};
use crate::Result;
use crate::digest::{Digest, DigestStatus};
use crate::run::RunRecord;
use crate::store::{DigestStore, Page, ReportStore, StoredReport};

const REPORT_COLUMNS: &str = "run_id, ended_at, body, created_at";

read_by! { json: Digest; }

impl SqlRecord for StoredReport {
    fn read<R: SqlRow>(row: &mut R) -> Result<Self, R::Error> {
        Ok(Self {
            run_id: row.text()?,
            ended_at: row.time()?,
            body: row.json()?,
            created_at: row.time()?,
        })
    }
}

#[async_trait]
impl<S: SqlStore> DigestStore for S {
    async fn digest(&self, slug: &str) -> Result<Option<Digest>> {
        let sql = "SELECT body FROM digests WHERE slug = $1";
        self.fetch_optional(Statement::new(sql).bind(slug)).await
    }

    async fn digests_of(&self, anchor: Date) -> Result<Vec<Digest>> {
        let sql = "SELECT body FROM digests WHERE anchor_date = $1 ORDER BY place";
        self.fetch_all(Statement::new(sql).bind(anchor)).await
    }

    async fn digests(
        &self,
        status: Option<DigestStatus>,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Page<Digest>> {
        let sql = "SELECT place, body FROM digests \
                   WHERE place < $1 AND ($2 IS NULL OR status = $2) ORDER BY place DESC LIMIT $3";
        let digests = Statement::new(sql)
            .bind(before.unwrap_or(i64::MAX))
            .bind_word(&status)
            .bind(one_more(limit));
        Ok(page(self.fetch_all(digests).await?, limit))
    }
}

#[async_trait]
impl<S: SqlStore> ReportStore for S {
    async fn put_report(&self, report: &StoredReport) -> Result<bool> {
        let sql = format!("{} ON CONFLICT DO NOTHING", insert("reports", REPORT_COLUMNS));
        let put = Statement::new(sql)
            .bind(&report.run_id)
            .bind(report.ended_at)
            .bind_json(&report.body)
            .bind(report.created_at);
        Ok(self.write(put).await? == 1)
    }

    async fn report_of(&self, run_id: &str, ended_at: Timestamp) -> Result<Option<StoredReport>> {
        let sql =
            format!("SELECT {REPORT_COLUMNS} FROM reports WHERE run_id = $1 AND ended_at = $2");
        self.fetch_optional(Statement::new(sql).bind(run_id).bind(ended_at)).await
    }

    async fn report_ends(&self, run_id: &str) -> Result<Vec<Timestamp>> {
        let sql = "SELECT ended_at FROM reports WHERE run_id = $1 ORDER BY ended_at";
        self.fetch_all(Statement::new(sql).bind(run_id)).await
    }

    async fn runs_without_report(&self, limit: usize) -> Result<Vec<RunRecord>> {
        let sql = format!(
            "SELECT {} FROM runs WHERE ended_at IS NOT NULL AND NOT EXISTS \
                 (SELECT 1 FROM reports WHERE reports.run_id = runs.run_id \
                      AND reports.ended_at = runs.ended_at) \
             ORDER BY ended_at, place LIMIT $1",
            *RUN_COLUMNS
        );
        self.fetch_all(Statement::new(sql).bind(count(limit))).await
    }
}

/// Inserts a digest, or replaces it without changing its place in the list.
pub(super) fn put_digest(digest: &Digest) -> Statement {
    Statement::new(upsert("digests", "slug", "slug, anchor_date, status, body"))
        .bind(&digest.slug)
        .bind(digest.anchor_date)
        .bind_word(&digest.status)
        .bind_json(digest)
}
