//! The usage ledger.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};

use super::{Data, MemoryStore};
use crate::Result;
use crate::event::EventWindow;
use crate::store::{ActivityScope, FailureCounts, Page, UsageFilter, UsageStore};
use crate::usage::CallTally;
use crate::usage::budget::{CallTotals, LlmTotals};
use crate::usage::recount::{Pair, Recount};
use crate::usage::series::{Bucket, Series};
use crate::usage::{DayTotals, UsageRow};

#[async_trait]
impl UsageStore for MemoryStore {
    async fn record_usage(&self, rows: &[UsageRow]) -> Result<()> {
        let mut data = self.data();
        rows.iter().for_each(|row| data.settle(row));
        Ok(())
    }

    async fn day_totals(&self, day: Date) -> Result<DayTotals> {
        Ok(self.data().day_use(day).settled)
    }

    async fn llm_totals(&self, scope: &ActivityScope) -> Result<LlmTotals> {
        let data = self.data();
        let calls: CallTotals = match scope {
            ActivityScope::Run(run_id) => {
                let of_run = data.usage.iter().filter(|row| row.run_id.as_ref() == Some(run_id));
                of_run.map(CallTotals::of).sum()
            }
            ActivityScope::Since(since) => {
                let late = data.ledger().filter(|(row, _)| row.created_at >= *since);
                late.map(|(row, _)| CallTotals::of(row)).sum()
            }
        };
        Ok(calls.shown())
    }

    async fn failure_window(&self, run_id: &str, since: Timestamp) -> Result<FailureCounts> {
        let data = self.data();
        let calls = data
            .ledger()
            .filter(|(row, _)| row.run_id.as_deref() == Some(run_id) && row.created_at > since);
        Ok(calls.fold(FailureCounts::default(), |window, (row, _)| FailureCounts {
            failed: window.failed + i64::from(!row.success),
            calls: window.calls + 1,
        }))
    }

    async fn usage_series(
        &self,
        run_id: Option<&str>,
        since: Timestamp,
        step: SignedDuration,
    ) -> Result<Vec<Bucket>> {
        let mut series = Series::of_steps(step);
        let data = self.data();
        for (row, _) in data.ledger().filter(|(row, _)| row.created_at >= since) {
            if run_id.is_none() || run_id == row.run_id.as_deref() {
                series.add(row.created_at, &row.provider, row.success, row.cost);
            }
        }
        Ok(series.finish())
    }

    async fn tally_calls(
        &self,
        run_id: Option<&str>,
        window: EventWindow,
    ) -> Result<Vec<CallTally>> {
        let data = self.data();
        let mut tallies = BTreeMap::<_, CallTally>::new();
        for (row, _) in data.ledger() {
            let wanted = run_id.is_none_or(|run_id| row.run_id.as_deref() == Some(run_id));
            if wanted && window.holds(row.created_at) {
                let call = CallTally::of(row);
                let known = tallies.entry(call.class.clone());
                known.and_modify(|tally| tally.add(&call)).or_insert(call);
            }
        }
        Ok(tallies.into_values().collect())
    }

    async fn usage_rows(&self, filter: &UsageFilter, limit: usize) -> Result<Page<UsageRow>> {
        let data = self.data();
        let wanted = data.ledger().filter(|(row, place)| {
            (filter.run_id.is_none() || filter.run_id == row.run_id)
                && filter.since.is_none_or(|since| row.created_at >= since)
                && filter.after.is_none_or(|after| *place > after)
        });
        let rows = wanted.take(limit.saturating_add(1)).collect();
        let cut = Page::cut(rows, limit, |(_, place)| *place);
        Ok(Page {
            items: cut.items.into_iter().map(|(row, _)| row.clone()).collect(),
            next: cut.next,
        })
    }

    /// Nothing is kept as a sum here, so every sum is right.
    async fn recount(&self) -> Result<Recount> {
        let data = self.data();
        let (mut days, mut runs) = (BTreeSet::new(), BTreeMap::new());
        for row in &data.usage {
            days.insert(row.day);
            if let Some(run_id) = &row.run_id {
                let run: &mut CallTotals = runs.entry(run_id.clone()).or_default();
                *run = *run + CallTotals::of(row);
            }
        }
        days.extend(data.leases.values().map(|lease| lease.day));
        let number = |len: usize| len.try_into().unwrap_or(i64::MAX);
        let day = |day| (day, Pair::of(data.day_use(day)));
        Ok(Recount {
            rows: number(data.usage.len() - data.gone.ledger.len()),
            pruned: number(data.gone.ledger.len()),
            leases: number(data.leases.len()),
            days: days.into_iter().map(day).collect(),
            runs: runs.into_iter().map(|(run_id, sum)| (run_id, Pair::of(sum))).collect(),
        })
    }

    async fn rebuild_usage(&self) -> Result<Recount> {
        self.recount().await
    }
}

impl Data {
    /// The rows that listings show, with their places from 1.
    fn ledger(&self) -> impl Iterator<Item = (&UsageRow, i64)> {
        let all = self.usage.iter().zip(1..);
        all.filter(|(_, place)| !self.gone.ledger.contains(place))
    }
}
