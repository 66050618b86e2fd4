//! The usage ledger.

use async_trait::async_trait;
use jiff::Timestamp;
use jiff::civil::Date;

use super::MemoryStore;
use crate::Result;
use crate::store::{ActivityScope, FailureWindow, UsageStore};
use crate::usage::budget::{CallTotals, LlmTotals};
use crate::usage::{DayTotals, UsageRow};

#[async_trait]
impl UsageStore for MemoryStore {
    async fn record_usage(&self, rows: &[UsageRow]) -> Result<()> {
        let usage = &mut self.data().usage;
        for row in rows {
            if !usage.iter().any(|known| known.id == row.id) {
                usage.push(row.clone());
            }
        }
        Ok(())
    }

    async fn day_totals(&self, day: Date) -> Result<DayTotals> {
        let data = self.data();
        let calls = data.usage.iter().filter(|row| row.day == day);
        Ok(calls.map(DayTotals::of).fold(DayTotals::default(), |sum, call| sum + call))
    }

    async fn llm_totals(&self, scope: &ActivityScope) -> Result<LlmTotals> {
        let data = self.data();
        let calls = data.usage.iter().filter(|row| match scope {
            ActivityScope::Run(run_id) => row.run_id.as_ref() == Some(run_id),
            ActivityScope::Since(since) => row.created_at >= *since,
        });
        Ok(calls.map(CallTotals::of).fold(CallTotals::default(), |sum, call| sum + call).shown())
    }

    async fn failure_window(&self, run_id: &str, since: Timestamp) -> Result<FailureWindow> {
        let data = self.data();
        let calls = data
            .usage
            .iter()
            .filter(|row| row.run_id.as_deref() == Some(run_id) && row.created_at > since);
        Ok(calls.fold(FailureWindow::default(), |window, row| FailureWindow {
            failed: window.failed + i64::from(!row.success),
            calls: window.calls + 1,
        }))
    }
}
