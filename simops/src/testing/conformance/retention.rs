//! Deletion of old rows, and the sums that remain.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::ToSpan;
use jiff::civil::Date;

use super::StoreBuilder;
use super::kpi::{SeededRng, event as visit, random_batches};
use super::samples::{at, call, day, event};
use crate::Result;
use crate::event::NewEvent;
use crate::kpi::Kind;
use crate::kpi::recount::Recounter;
use crate::recount::RecountExt;
use crate::store::{
    ActivityScope, EventFilter, KpiStore, LogTable, PruneCutoff, RetentionStore, RunStore,
    UsageFilter,
};
use crate::usage::{NanoUsd, UsageRow};

fn cutoff(seconds: i64, except_run: Option<&str>) -> PruneCutoff {
    PruneCutoff { before: at(seconds), except_run: except_run.map(str::to_owned) }
}

fn event_at(run_id: Option<&str>, seconds: i64) -> NewEvent {
    NewEvent { created_at: at(seconds), ..event(run_id, "work") }
}

/// A call of a run, `seconds` after the fixed start.
fn call_at(run_id: Option<&str>, seconds: i64, nanos: i64) -> UsageRow {
    let day = day().saturating_add((seconds / 86_400).days());
    let model = if seconds % 2 == 0 { "m:free" } else { "m" };
    UsageRow { created_at: at(seconds), day, ..call(run_id, "groq", model, nanos) }
}

/// The oldest events are deleted first, those of the excepted run stay, and all stay counted.
pub async fn old_events_are_deleted_in_batches_and_stay_counted(
    store: Arc<dyn RunStore>,
) -> Result<()> {
    let events = [(Some("past"), 3), (Some("past"), 1), (None, 2), (Some("open"), 0), (None, 10)]
        .map(|(run_id, seconds)| event_at(run_id, seconds));
    store.append(&events).await?;
    assert_eq!(store.count_prunable(LogTable::Events, &cutoff(10, Some("open"))).await?, 3);
    assert_eq!(store.count_prunable(LogTable::Events, &cutoff(10, None)).await?, 4);
    assert_eq!(store.prune(LogTable::Events, &cutoff(10, Some("open")), 2).await?, 2);
    let left = store.events(&EventFilter { limit: 10, ..EventFilter::default() }).await?.items;
    let left: Vec<_> = left.into_iter().map(|event| event.created_at).collect();
    assert_eq!(left, [at(10), at(3), at(0)]);
    assert_eq!(store.prune(LogTable::Events, &cutoff(10, Some("open")), 2).await?, 1);
    assert_eq!(store.prune(LogTable::Events, &cutoff(10, Some("open")), 2).await?, 0);
    let counted = store.count_events(&ActivityScope::Run("past".to_owned())).await?;
    assert_eq!(counted.iter().map(|count| count.count).sum::<i64>(), 2);
    let since = store.count_events(&ActivityScope::Since(at(0))).await?;
    assert_eq!(since.iter().map(|count| count.count).sum::<i64>(), 2);
    Ok(())
}

/// Deleted calls still count in budgets, runs and recounts.
pub async fn old_calls_are_deleted_in_batches_and_stay_summed(
    store: Arc<dyn RunStore>,
) -> Result<()> {
    let rows = [
        call_at(Some("past"), 3, 1),
        call_at(None, 90_000, 2),
        UsageRow { success: false, priced: false, ..call_at(Some("past"), 1, 4) },
        call_at(Some("open"), 0, 8),
        UsageRow { fallback_used: true, ..call_at(Some("past"), 90_002, 16) },
        call_at(None, 200_000, 32),
    ];
    store.record_usage(&rows).await?;
    let before = store.recount().await?;
    assert_eq!((before.rows, before.pruned), (6, 0));
    let cutoff = cutoff(200_000, Some("open"));
    assert_eq!(store.count_prunable(LogTable::Ledger, &cutoff).await?, 4);
    assert_eq!(store.prune(LogTable::Ledger, &cutoff, 3).await?, 3);
    assert_eq!(store.prune(LogTable::Ledger, &cutoff, 3).await?, 1);
    assert_eq!(store.prune(LogTable::Ledger, &cutoff, 3).await?, 0);
    let listed = store.usage_rows(&UsageFilter::default(), 10).await?.items;
    assert_eq!(listed.iter().map(|row| row.cost.0).collect::<Vec<_>>(), [8, 32]);
    let after = store.recount().await?;
    assert_eq!((after.rows, after.pruned), (2, 4));
    assert_eq!(after.differences(), []);
    assert_eq!((after.days, after.runs), (before.days, before.runs));
    let run = store.llm_totals(&ActivityScope::Run("past".to_owned())).await?;
    assert_eq!(run.calls, 3);
    assert_eq!(store.day_totals(day()).await?.cost, NanoUsd(13));
    Ok(())
}

/// Deleted events still count in their days, also when later events of the same days arrive.
pub async fn old_visits_are_deleted_in_batches_and_stay_summed(
    store: Arc<dyn RunStore>,
) -> Result<()> {
    let events = [
        visit(Kind::RunDetailView, "visitor-1", 0),
        visit(Kind::RunDetailView, "visitor-1", 1),
        visit(Kind::RunDetailView, "visitor-2", 0),
        visit(Kind::ShareCopied, "visitor-2", 0),
        visit(Kind::RunDetailView, "visitor-2", 7),
    ];
    store.record_kpi(&events).await?;
    let before = store.kpi_days(Date::MIN, Date::MAX).await?;
    let cutoff = cutoff(86_400, None);
    assert_eq!(store.count_prunable(LogTable::Visits, &cutoff).await?, 3);
    assert_eq!(store.prune(LogTable::Visits, &cutoff, 2).await?, 2);
    assert_eq!(store.prune(LogTable::Visits, &cutoff, 2).await?, 1);
    assert_eq!(store.prune(LogTable::Visits, &cutoff, 2).await?, 0);
    let found = store.recount_kpi().await?;
    assert_eq!((found.events, found.pruned, found.wrong_steps), (2, 3, 0));
    assert_eq!(found.differences(), []);
    assert_eq!(store.kpi_days(Date::MIN, Date::MAX).await?, before);
    // The first visitor returns on the seventh day, and a third one viewed on the first.
    let late = [visit(Kind::ReplayStart, "visitor-1", 7), visit(Kind::ReplayStart, "visitor-3", 0)];
    assert_eq!(store.record_kpi(&late).await?, 2);
    let days = store.kpi_days(day(), day()).await?;
    let sums = days.get(&day()).copied().unwrap_or_default();
    assert_eq!((sums.viewers, sums.returned, sums.sharers), (3, [1, 2], 1));
    let found = store.recount_kpi().await?;
    assert_eq!((found.differences(), found.wrong_steps), (Vec::new(), 0));
    Ok(())
}

/// Rows that are added after a log was emptied have greater ids than the deleted ones.
pub async fn an_emptied_log_continues_its_ids(store: Arc<dyn RunStore>) -> Result<()> {
    let cutoff = cutoff(90 * 86_400, None);
    let any = EventFilter { limit: 10, ..EventFilter::default() };
    store.append(&[event_at(None, 2), event_at(None, 1)]).await?;
    store.record_usage(&[call_at(None, 2, 1), call_at(None, 1, 2)]).await?;
    store.record_kpi(&[visit(Kind::LandingView, "visitor-1", 0)]).await?;
    let last = store.events(&any).await?.items.remove(0);
    let page = store.usage_rows(&UsageFilter::default(), 1).await?;
    for log in [LogTable::Events, LogTable::Ledger] {
        assert_eq!(store.count_prunable(log, &cutoff).await?, 1);
        assert_eq!(store.prune(log, &cutoff, 10).await?, 1);
    }
    assert_eq!(store.prune(LogTable::Visits, &cutoff, 10).await?, 0);
    store.append(&[event_at(None, 3)]).await?;
    store.record_usage(&[call_at(None, 3, 4)]).await?;
    let newest = store.events(&any).await?.items.remove(0);
    assert!(newest.id > last.id);
    let on = UsageFilter { after: page.next, ..UsageFilter::default() };
    let on = store.usage_rows(&on, 10).await?;
    assert_eq!(on.items.iter().map(|row| row.cost.0).collect::<Vec<_>>(), [2, 4]);
    Ok(())
}

/// Rebuilt sums include deleted rows as before.
pub async fn rebuilding_keeps_the_sums_of_deleted_rows(store: Arc<dyn RunStore>) -> Result<()> {
    store.record_usage(&[call_at(Some("past"), 1, 1), call_at(None, 90_000, 2)]).await?;
    let visits = ["visitor-1", "visitor-2", "visitor-1"];
    let visits = visits.map(|visitor| visit(Kind::RunDetailView, visitor, 0));
    store.record_kpi(&visits).await?;
    let cutoff = cutoff(80_000, None);
    for log in [LogTable::Ledger, LogTable::Visits] {
        store.prune(log, &cutoff, 2).await?;
    }
    let (use_before, days) =
        (store.day_totals(day()).await?, store.kpi_days(Date::MIN, Date::MAX).await?);
    assert_eq!(store.rebuild_usage().await?.differences(), []);
    let rebuilt = store.rebuild_kpi().await?;
    assert_eq!((rebuilt.events, rebuilt.pruned, rebuilt.differences()), (1, 2, Vec::new()));
    assert_eq!(store.day_totals(day()).await?, use_before);
    assert_eq!(store.kpi_days(Date::MIN, Date::MAX).await?, days);
    let found = store.recount_kpi().await?;
    assert_eq!((found.differences(), found.wrong_steps), (Vec::new(), 0));
    Ok(())
}

/// Two handles record and prune at random, and no count is lost.
pub async fn handles_prune_while_others_record<B: StoreBuilder>(builder: &B) -> Result<()> {
    let (one, guard) = builder.build().await?;
    let Some(other) = builder.open_again(&guard).await? else { return Ok(()) };
    let mut rng = SeededRng(0x9e37_79b9_7f4a_7c15);
    let (mut reference, mut uids) = (Recounter::default(), BTreeSet::new());
    for mut batch in random_batches(&mut rng, 40) {
        // A deleted event that is sent again may count again, so skip duplicates.
        batch.retain(|event| uids.insert(event.uid));
        batch.iter().for_each(|event| reference.count(event.kind, event.visitor, event.day()));
        let (recorder, pruner) = if rng.below(2) == 0 { (&one, &other) } else { (&other, &one) };
        let cutoff = cutoff(86_400 * (rng.below(24) as i64 - 14), None);
        let limit = rng.below(40) as usize;
        let (recorded, pruned) = tokio::join!(
            recorder.record_kpi(&batch),
            pruner.prune(LogTable::Visits, &cutoff, limit),
        );
        assert_eq!(recorded?, batch.len() as u64);
        pruned?;
    }
    assert_eq!(other.kpi_days(Date::MIN, Date::MAX).await?, reference.days());
    let found = one.recount_kpi().await?;
    assert_eq!((found.differences(), found.wrong_steps), (Vec::new(), 0));
    assert_eq!(found.events + found.pruned, reference.events);
    assert!(found.pruned > 0);
    Ok(())
}
