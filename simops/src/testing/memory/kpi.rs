//! KPI events of visitors. No sums are stored: every call recounts the events.

use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::civil::Date;
use uuid::Uuid;

use super::{Data, MemoryStore, next_position};
use crate::Result;
use crate::kpi::recount::{Recounter, StepsComparison};
use crate::kpi::summary::Days;
use crate::kpi::{CountedSteps, DaySums, KpiEvent, LoggedVisit, Steps, VisitorSteps, WrongSteps};
use crate::store::{KpiBasis, KpiSnapshot, KpiStore, SelectedVisits, VisitFilter};

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

    async fn select_visits(&self, filter: &VisitFilter) -> Result<SelectedVisits> {
        let data = self.data();
        let events = (1_i64..).zip(&data.kpi);
        let left = events.filter(|(place, _)| !data.deleted.visits.contains(place));
        let selected = left.filter(|(_, event)| filter.selects(&event.visitor_id, event.day()));
        let mut visits: Vec<_> = selected.map(|(place, event)| (event.visitor, place)).collect();
        visits.sort_unstable();
        Ok(SelectedVisits { visits, until: next_position(data.kpi.len()) - 1 })
    }

    async fn delete_visits(&self, filter: &VisitFilter, piece: &SelectedVisits) -> Result<u64> {
        // Events before a deleted one move, so that the positions may be those of others.
        let visitors: HashSet<_> = piece.visits.iter().map(|(visitor, _)| *visitor).collect();
        let is_selected = |event: &KpiEvent| {
            visitors.contains(&event.visitor) && filter.selects(&event.visitor_id, event.day())
        };
        let mut data = self.data();
        let before = data.kpi.len();
        let pruned = std::mem::take(&mut data.deleted.visits);
        data.kpi_revision += 1;
        let mut left = 0_i64;
        for (place, event) in (1_i64..).zip(std::mem::take(&mut data.kpi)) {
            let is_pruned = pruned.contains(&place);
            if !is_pruned && is_selected(&event) {
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

    async fn kpi_position(&self) -> Result<i64> {
        Ok(next_position(self.data().kpi.len()) - 1)
    }

    async fn kpi_log(&self, after: i64, until: i64, limit: usize) -> Result<Vec<LoggedVisit>> {
        let data = self.data();
        Ok(data
            .log()
            .filter(|visit| (after + 1..=until).contains(&visit.position))
            .take(limit)
            .collect())
    }

    async fn kpi_basis(&self) -> Result<KpiBasis> {
        Ok(self.data().kpi_basis())
    }

    async fn compare_steps(&self, counted: Arc<CountedSteps>) -> Result<(i64, Vec<WrongSteps>)> {
        let data = self.data();
        let basis = data.kpi_basis();
        let mut comparison = StepsComparison::new(&counted, basis.pruned.into_keys().collect());
        for visit in data.log().filter(|visit| visit.position > counted.position) {
            comparison.add_recent(&visit, true);
        }
        let stored: Vec<_> = data.recounter().steps.into_iter().collect();
        for ((visitor, day), steps) in &stored {
            if counted.visitors.contains(visitor) {
                comparison.add_stored(*visitor, *day, *steps);
            }
        }
        comparison.is_missing_some();
        let stored = stored.into_iter().map(|(key, _)| key).collect();
        Ok((basis.revision, comparison.finish(&stored)))
    }

    async fn visitor_steps(&self, keys: Vec<(Uuid, Date)>) -> Result<VisitorSteps> {
        let mut steps = self.data().recounter().steps;
        steps.retain(|key, _| keys.contains(key));
        Ok(steps)
    }

    async fn kpi_snapshot(&self, first: Date, last: Date, after: i64) -> Result<KpiSnapshot> {
        let data = self.data();
        let of_range = |mut days: Days| {
            days.retain(|day, _| (first..=last).contains(day));
            days
        };
        let (kept, mut recent) = (data.recounter().days(), Days::new());
        for visit in data.log().filter(|visit| visit.position > after) {
            recent.entry(visit.day).or_default().count(visit.kind);
        }
        let mut by_steps = kept.clone();
        by_steps.values_mut().for_each(|sums| sums.events = DaySums::default().events);
        Ok(KpiSnapshot {
            basis: data.kpi_basis(),
            kept: of_range(kept),
            by_steps: of_range(by_steps),
            recent: of_range(recent),
        })
    }

    async fn correct_steps(
        &self,
        revision: i64,
        _: Arc<Vec<((Uuid, Date), Steps)>>,
        _: i64,
    ) -> Result<Option<i64>> {
        Ok(self.data().next_kpi_revision(revision))
    }

    async fn correct_sums(&self, revision: i64, _: Arc<Days>) -> Result<Option<i64>> {
        Ok(self.data().next_kpi_revision(revision))
    }
}

impl Data {
    /// All events, also pruned ones.
    fn recounter(&self) -> Recounter {
        let mut recounter = Recounter::default();
        for event in &self.kpi {
            recounter.count(event.kind, event.visitor, event.day());
        }
        recounter
    }

    /// The events that are not pruned, by position.
    fn log(&self) -> impl Iterator<Item = LoggedVisit> {
        let events = (1..).zip(&self.kpi);
        let left = events.filter(|(position, _)| !self.deleted.visits.contains(position));
        left.map(|(position, event)| LoggedVisit {
            position,
            kind: event.kind,
            visitor: event.visitor,
            day: event.day(),
        })
    }

    fn kpi_basis(&self) -> KpiBasis {
        let mut pruned = Days::new();
        for (position, event) in (1..).zip(&self.kpi) {
            if self.deleted.visits.contains(&position) {
                pruned.entry(event.day()).or_default().count(event.kind);
            }
        }
        KpiBasis { revision: self.kpi_revision, pruned }
    }

    fn next_kpi_revision(&mut self, revision: i64) -> Option<i64> {
        let is_current = self.kpi_revision == revision;
        self.kpi_revision += i64::from(is_current);
        is_current.then_some(self.kpi_revision)
    }
}
