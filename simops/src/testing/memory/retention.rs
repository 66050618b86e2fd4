//! Old rows: set aside, so that they are gone from every listing and counted as before.

use async_trait::async_trait;

use super::{Data, MemoryStore, place_after};
use crate::Result;
use crate::store::{LogTable, PruneCutoff, RetentionStore};

#[async_trait]
impl RetentionStore for MemoryStore {
    async fn count_prunable(&self, log: LogTable, old: &PruneCutoff) -> Result<u64> {
        Ok(self.data().old(log, old).len() as u64)
    }

    async fn prune(&self, log: LogTable, old: &PruneCutoff, limit: usize) -> Result<u64> {
        let mut data = self.data();
        let places: Vec<_> = data.old(log, old).into_iter().take(limit).collect();
        let deleted = places.len() as u64;
        let gone = match log {
            LogTable::Events => &mut data.gone.events,
            LogTable::Ledger => &mut data.gone.ledger,
            LogTable::Visits => &mut data.gone.visits,
        };
        gone.extend(places);
        Ok(deleted)
    }
}

impl Data {
    /// The places of old rows, the oldest first.
    fn old(&self, log: LogTable, old: &PruneCutoff) -> Vec<i64> {
        let (gone, rows): (_, Vec<_>) = match log {
            LogTable::Events => {
                let rows = self.events.iter().map(|(.., row)| (row.created_at, &row.run_id));
                (&self.gone.events, rows.collect())
            }
            LogTable::Ledger => {
                let rows = self.usage.iter().map(|row| (row.created_at, &row.run_id));
                (&self.gone.ledger, rows.collect())
            }
            LogTable::Visits => {
                (&self.gone.visits, self.kpi.iter().map(|row| (row.occurred_at, &None)).collect())
            }
        };
        let last = place_after(rows.len()) - 1;
        let mut places: Vec<_> = (1..)
            .zip(rows)
            .filter(|(place, (at, run_id))| {
                *at < old.before
                    && (old.except_run.is_none() || **run_id != old.except_run)
                    && *place != last
                    && !gone.contains(place)
            })
            .map(|(place, (at, _))| (at, place))
            .collect();
        places.sort_unstable();
        places.into_iter().map(|(_, place)| place).collect()
    }
}
