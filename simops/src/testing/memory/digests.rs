//! Digests and reports.

use async_trait::async_trait;
use jiff::Timestamp;
use jiff::civil::Date;

use super::{Data, MemoryStore, next_position, page};
use crate::Result;
use crate::digest::{Digest, DigestStatus};
use crate::run::RunRecord;
use crate::store::{DigestStore, Page, ReportStore, StoredReport};

#[async_trait]
impl DigestStore for MemoryStore {
    async fn digest(&self, slug: &str) -> Result<Option<Digest>> {
        Ok(self.data().digests.iter().find(|digest| digest.slug == slug).cloned())
    }

    async fn digests_of(&self, anchor: Date) -> Result<Vec<Digest>> {
        let data = self.data();
        let found = data.digests.iter().filter(|digest| digest.anchor_date == anchor);
        Ok(found.cloned().collect())
    }

    async fn digests(
        &self,
        status: Option<DigestStatus>,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Page<Digest>> {
        let data = self.data();
        let placed = data.digests.iter().enumerate();
        let wanted = placed.filter(|(_, digest)| status.is_none_or(|s| digest.status == s));
        let rows = wanted.map(|(index, digest)| (next_position(index), digest.clone()));
        Ok(page(rows, before, limit))
    }
}

#[async_trait]
impl ReportStore for MemoryStore {
    async fn put_report(&self, report: &StoredReport) -> Result<bool> {
        let mut data = self.data();
        if data.report_of(&report.run_id, report.ended_at).is_some() {
            return Ok(false);
        }
        data.reports.push(report.clone());
        Ok(true)
    }

    async fn report_of(&self, run_id: &str, ended_at: Timestamp) -> Result<Option<StoredReport>> {
        Ok(self.data().report_of(run_id, ended_at).cloned())
    }

    async fn report_ends(&self, run_id: &str) -> Result<Vec<Timestamp>> {
        let data = self.data();
        let reports = data.reports.iter().filter(|report| report.run_id == run_id);
        let mut ends: Vec<_> = reports.map(|report| report.ended_at).collect();
        ends.sort_unstable();
        Ok(ends)
    }

    async fn runs_without_report(&self, limit: usize) -> Result<Vec<RunRecord>> {
        let data = self.data();
        let missing = data.runs.iter().filter(|run| {
            run.ended_at.is_some_and(|ended| data.report_of(&run.run_id, ended).is_none())
        });
        let mut missing: Vec<_> = missing.cloned().collect();
        missing.sort_by_key(|run| run.ended_at);
        missing.truncate(limit);
        Ok(missing)
    }
}

impl Data {
    pub(super) fn put_digest(&mut self, digest: &Digest) {
        match self.digests.iter_mut().find(|known| known.slug == digest.slug) {
            Some(known) => *known = digest.clone(),
            None => self.digests.push(digest.clone()),
        }
    }

    fn report_of(&self, run_id: &str, ended_at: Timestamp) -> Option<&StoredReport> {
        self.reports.iter().find(|known| known.run_id == run_id && known.ended_at == ended_at)
    }
}
