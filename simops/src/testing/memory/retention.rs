//! Deletion of old rows: they are marked, so that they are not listed but still counted.

use async_trait::async_trait;

use super::{Data, MemoryStore, next_position};
use crate::Result;
use crate::store::{LogTable, PruneCutoff, RetentionStore};

#[async_trait]
impl RetentionStore for MemoryStore {
    async fn count_prunable(&self, log: LogTable, cutoff: &PruneCutoff) -> Result<u64> {
        Ok(self.data().prunable(log, cutoff).len() as u64)
    }

    async fn prune(&self, log: LogTable, cutoff: &PruneCutoff, limit: usize) -> Result<u64> {
        let mut data = self.data();
        let positions: Vec<_> = data.prunable(log, cutoff).into_iter().take(limit).collect();
        let deleted = positions.len() as u64;
        let marked = match log {
            LogTable::Events => &mut data.deleted.events,
            LogTable::Ledger => &mut data.deleted.ledger,
            LogTable::Visits => &mut data.deleted.visits,
        };
        marked.extend(positions);
        Ok(deleted)
    }
}

impl Data {
    /// The positions of the rows that can be deleted, oldest first.
    fn prunable(&self, log: LogTable, cutoff: &PruneCutoff) -> Vec<i64> {
        let (deleted, rows): (_, Vec<_>) = match log {
            LogTable::Events => {
                let rows = self.events.iter().map(|(.., row)| (row.created_at, &row.run_id));
                (&self.deleted.events, rows.collect())
            }
            LogTable::Ledger => {
                let rows = self.usage.iter().map(|row| (row.created_at, &row.run_id));
                (&self.deleted.ledger, rows.collect())
            }
            LogTable::Visits => (
                &self.deleted.visits,
                self.kpi.iter().map(|row| (row.occurred_at, &None)).collect(),
            ),
        };
        let last = next_position(rows.len()) - 1;
        let mut positions: Vec<_> = (1..)
            .zip(rows)
            .filter(|(position, (at, run_id))| {
                *at < cutoff.before
                    && (cutoff.except_run.is_none() || **run_id != cutoff.except_run)
                    && *position != last
                    && !deleted.contains(position)
            })
            .map(|(position, (at, _))| (at, position))
            .collect();
        positions.sort_unstable();
        positions.into_iter().map(|(_, position)| position).collect()
    }
}
