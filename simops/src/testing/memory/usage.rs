//! The usage ledger, and its sums per day and run.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};

use super::{Data, MemoryStore};
use crate::Result;
use crate::event::EventWindow;
use crate::store::{ActivityScope, FailureCounts, Page, UsageFilter, UsageStore};
use crate::usage::CallTally;
use crate::usage::CallTotals;
use crate::usage::recount::{LedgerBasis, LedgerPiece, LedgerScan, Pair, Recount, UsageCorrection};
use crate::usage::series::{Bucket, Series};
use crate::usage::{BudgetUse, Budgets, DayTotals, DayUse, Op, UsageCounter, UsageRow};

#[async_trait]
impl UsageStore for MemoryStore {
    async fn record_usage(&self, rows: &[UsageRow]) -> Result<()> {
        self.data().apply(&Op::Settle(rows.to_vec())).map(drop)
    }

    async fn day_totals(&self, day: Date) -> Result<DayTotals> {
        Ok(self.day_use(day).await?.settled)
    }

    async fn llm_totals(&self, scope: &ActivityScope) -> Result<CallTotals> {
        let data = self.data();
        let calls: CallTotals = match scope {
            ActivityScope::Run(run_id) => data.run_totals.get(run_id).copied().unwrap_or_default(),
            ActivityScope::Since(since) => {
                let late = data.ledger().filter(|(row, _)| row.created_at >= *since);
                late.map(|(row, _)| CallTotals::of(row)).sum()
            }
        };
        Ok(calls)
    }

    async fn llm_totals_by_run(&self, run_ids: &[String]) -> Result<Vec<(String, CallTotals)>> {
        let data = self.data();
        let of = |run_id: &String| Some((run_id.clone(), *data.run_totals.get(run_id)?));
        Ok(run_ids.iter().filter_map(of).collect())
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
            if wanted && window.contains(row.created_at) {
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

    async fn ledger_basis(&self) -> Result<LedgerBasis> {
        let data = self.data();
        let (rows, budgets) = (data.recount().rows, Arc::new(data.all_budgets()));
        Ok(LedgerBasis { rows, budgets, ..LedgerBasis::default() })
    }

    async fn count_calls(
        &self,
        after: i64,
        until: i64,
        limit: usize,
        budgets: &Arc<Budgets>,
    ) -> Result<LedgerPiece> {
        let data = self.data();
        let rows = data.ledger().filter(|(_, place)| (after + 1..=until).contains(place));
        let rows: Vec<_> = rows.map(|(row, place)| (place, row.clone())).take(limit).collect();
        Ok(LedgerPiece::of(after, &rows, budgets))
    }

    // The scan is not needed: a recount of everything is the definition.
    async fn finish_recount(&self, _: Arc<LedgerScan>) -> Result<Recount> {
        Ok(self.data().recount())
    }

    async fn correct_usage(
        &self,
        revision: i64,
        wrong: Arc<UsageCorrection>,
    ) -> Result<Option<i64>> {
        let mut data = self.data();
        if data.usage_revision != revision {
            return Ok(None);
        }
        data.usage_revision += 1;
        for (day, pair) in &wrong.days {
            let kept = data.day_uses.entry(*day).or_default();
            *kept = UsageCorrection::day(pair, *kept);
        }
        for (run_id, pair) in &wrong.runs {
            let kept = data.run_totals.entry(run_id.clone()).or_default();
            *kept = UsageCorrection::run(pair, *kept);
        }
        for (key, pair) in &wrong.uses {
            let kept = data.budget_uses.entry(key.clone()).or_default();
            *kept = UsageCorrection::budget_use(pair, *kept);
        }
        Ok(Some(data.usage_revision))
    }
}

impl Data {
    fn recount(&self) -> Recount {
        let (mut days, mut runs) = (BTreeMap::new(), BTreeMap::new());
        let budgets = self.all_budgets();
        let mut uses = BTreeMap::new();
        for (key, kept) in &self.budget_uses {
            let counted = BudgetUse { settled: 0, reserved: 0, ..*kept };
            uses.insert(key.clone(), Pair { kept: *kept, counted });
        }
        for (day, kept) in &self.day_uses {
            let counted = DayUse { version: kept.version, ..DayUse::default() };
            days.insert(*day, Pair { kept: *kept, counted });
        }
        for (run_id, kept) in &self.run_totals {
            runs.insert(run_id.clone(), Pair { kept: *kept, ..Pair::default() });
        }
        for row in &self.usage {
            let day: &mut Pair<DayUse> = days.entry(row.day).or_default();
            day.counted.settled = day.counted.settled + DayTotals::of(row);
            if let Some(run_id) = &row.run_id {
                let run: &mut Pair<CallTotals> = runs.entry(run_id.clone()).or_default();
                run.counted = run.counted + CallTotals::of(row);
            }
            for (key, amount) in budgets.amounts_of_row(row) {
                let used: &mut Pair<BudgetUse> = uses.entry(key).or_default();
                used.counted.settled = used.counted.settled.saturating_add(amount);
            }
        }
        for lease in self.leases.values() {
            let day = days.entry(lease.day).or_default();
            day.counted.reserved = day.counted.reserved + lease.totals();
            for (key, amount) in budgets.amounts_of_lease(lease) {
                let used = uses.entry(key).or_default();
                used.counted.reserved = used.counted.reserved.saturating_add(amount);
            }
        }
        let number = |len: usize| len.try_into().unwrap_or(i64::MAX);
        Recount {
            revision: self.usage_revision,
            rows: number(self.usage.len() - self.deleted.ledger.len()),
            pruned: number(self.deleted.ledger.len()),
            leases: number(self.leases.len()),
            days: days.into_iter().collect(),
            runs: runs.into_iter().collect(),
            uses: uses.into_iter().collect(),
        }
    }

    /// The rows that listings show, with their places from 1.
    fn ledger(&self) -> impl Iterator<Item = (&UsageRow, i64)> {
        let all = self.usage.iter().zip(1..);
        all.filter(|(_, place)| !self.deleted.ledger.contains(place))
    }
}
