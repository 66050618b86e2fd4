//! Digests, and reports of runs.

use async_trait::async_trait;
use jiff::Timestamp;
use jiff::civil::Date;
use simops::Result;
use simops::digest::{Digest, DigestStatus};
use simops::run::RunRecord;
use simops::store::{DigestStore, Page, ReportStore, StoredReport};
use sqlx::Row;
use sqlx::postgres::PgRow;

use crate::codec::{Day, Json, Micros, Word, count, one_more};
use crate::error::Work;
use crate::link::Link;
use crate::{PostgresStore, runs};

#[async_trait]
impl DigestStore for PostgresStore {
    async fn digest(&self, slug: &str) -> Result<Option<Digest>> {
        self.base
            .look(|mut connection| async move {
                let row = sqlx::query("SELECT body FROM digests WHERE slug = $1").bind(slug);
                let row = row.fetch_optional(&mut *connection).await?;
                let found = row.as_ref().map(draft).transpose()?;
                Ok((connection, found))
            })
            .await
    }

    async fn digests_of(&self, anchor: Date) -> Result<Vec<Digest>> {
        self.base
            .look(|mut connection| async move {
                let rows =
                    sqlx::query("SELECT body FROM digests WHERE anchor_date = $1 ORDER BY place")
                        .bind(Day::at_least(anchor))
                        .fetch_all(&mut *connection)
                        .await?;
                let found = rows.iter().map(draft).collect::<sqlx::Result<_>>()?;
                Ok((connection, found))
            })
            .await
    }

    async fn digests(
        &self,
        status: Option<DigestStatus>,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Page<Digest>> {
        self.base
            .look(|mut connection| async move {
                let rows = sqlx::query(
                    "SELECT body, place FROM digests \
                     WHERE place < $1 AND ($2::text IS NULL OR status = $2) \
                     ORDER BY place DESC LIMIT $3",
                )
                .bind(before.unwrap_or(i64::MAX))
                .bind(status.map(DigestStatus::as_str))
                .bind(one_more(limit))
                .fetch_all(&mut *connection)
                .await?;
                let placed = rows.iter().map(|row| Ok((row.try_get::<i64, _>(1)?, draft(row)?)));
                let placed = placed.collect::<sqlx::Result<Vec<_>>>()?;
                let page = Page::cut(placed, limit, |(place, _)| *place);
                let items = page.items.into_iter().map(|(_, draft)| draft).collect();
                Ok((connection, Page { items, next: page.next }))
            })
            .await
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
        self.base
            .look(|mut connection| async move {
                let row = sqlx::query(
                    "SELECT body, created_at FROM reports WHERE run_id = $1 AND ended_at = $2",
                )
                .bind(run_id)
                .bind(Micros(ended_at))
                .fetch_optional(&mut *connection)
                .await?;
                let found = row.map(|row| {
                    Ok::<_, sqlx::Error>(StoredReport {
                        run_id: run_id.to_owned(),
                        ended_at,
                        body: row.try_get::<Json<_>, _>(0)?.0,
                        created_at: row.try_get::<Micros, _>(1)?.0,
                    })
                });
                Ok((connection, found.transpose()?))
            })
            .await
    }

    async fn report_ends(&self, run_id: &str) -> Result<Vec<Timestamp>> {
        self.base
            .look(|mut connection| async move {
                let ends: Vec<(Micros,)> = sqlx::query_as(
                    "SELECT ended_at FROM reports WHERE run_id = $1 ORDER BY ended_at",
                )
                .bind(run_id)
                .fetch_all(&mut *connection)
                .await?;
                Ok((connection, ends.into_iter().map(|(at,)| at.0).collect()))
            })
            .await
    }

    async fn runs_without_report(&self, limit: usize) -> Result<Vec<RunRecord>> {
        self.base
            .look(|mut connection| async move {
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

/// Inserts a digest, or replaces it in its place.
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

fn draft(row: &PgRow) -> sqlx::Result<Digest> {
    Ok(row.try_get::<Json<_>, _>(0)?.0)
}
