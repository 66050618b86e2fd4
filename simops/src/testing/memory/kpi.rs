//! KPI events of visitors. No sums are stored: every call recounts the events.

use async_trait::async_trait;
use jiff::civil::Date;

use super::{Data, MemoryStore};
use crate::Result;
use crate::kpi::recount::Recounter;
use crate::kpi::summary::Days;
use crate::kpi::{KpiEvent, KpiRecount};
use crate::store::KpiStore;

#[async_trait]
impl KpiStore for MemoryStore {
    async fn record_kpi(&self, events: &[KpiEvent]) -> Result<u64> {
        let mut data = self.data();
        let before = data.kpi.len();
        for event in events {
            if data.kpi.iter().all(|known| known.uid != event.uid) {
                data.kpi.push(event.clone());
            }
        }
        Ok((data.kpi.len() - before) as u64)
    }

    async fn kpi_days(&self, first: Date, last: Date) -> Result<Days> {
        let days = self.data().recounter().days();
        Ok(days.into_iter().filter(|(day, _)| (first..=last).contains(day)).collect())
    }

    async fn recount_kpi(&self) -> Result<KpiRecount> {
        let data = self.data();
        let recounter = data.recounter();
        let (days, pruned) = (recounter.days(), data.deleted.visits.len() as u64);
        Ok(KpiRecount {
            events: recounter.events - pruned,
            pruned,
            kept: days.clone(),
            counted: days,
            wrong_steps: 0,
        })
    }

    async fn delete_visits(&self, prefix: &str) -> Result<u64> {
        let mut data = self.data();
        let before = data.kpi.len();
        let pruned = std::mem::take(&mut data.deleted.visits);
        let mut left = 0_i64;
        for (place, event) in (1_i64..).zip(std::mem::take(&mut data.kpi)) {
            let is_pruned = pruned.contains(&place);
            if !is_pruned && event.visitor_id.starts_with(prefix) {
                continue;
            }
            left += 1;
            data.kpi.push(event);
            if is_pruned {
                data.deleted.visits.insert(left);
            }
        }
        Ok((before - data.kpi.len()) as u64)
    }

    async fn rebuild_kpi(&self) -> Result<KpiRecount> {
        self.recount_kpi().await
    }
}

impl Data {
    fn recounter(&self) -> Recounter {
        let mut recounter = Recounter::default();
        for event in &self.kpi {
            recounter.count(event.kind, event.visitor, event.day());
        }
        recounter
    }
}
