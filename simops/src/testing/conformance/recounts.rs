//! Recounts in pieces, between which others write.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::ToSpan;
use jiff::civil::Date;

use super::kpi::{SeededRng, delete_all, event as visit, random_batches};
use super::samples::{at, call, day};
use crate::Result;
use crate::kpi::recount::Recounter;
use crate::kpi::{Kind, KpiEvent};
use crate::recount::{Limits, RecountExt, UNWATCHED, recount_usage, recount_visits};
use crate::store::{LogTable, PruneCutoff, RunStore, VisitFilter};
use crate::testing::{Disturbance, DisturbedStore};
use crate::usage::{NanoUsd, UsageRow};

/// Several pieces per log, and several ranges of visitors.
const SMALL: Limits = Limits { piece: 7, visitor_days: 9, days: 4, corrections: 2 };
/// The same for a log of some hundred events.
const MEDIUM: Limits = Limits { piece: 40, visitor_days: 50, days: 4, corrections: 5 };

fn recording(batch: Vec<KpiEvent>) -> Disturbance {
    Box::new(move |store| Box::pin(async move { store.record_kpi(&batch).await.map(drop) }))
}

fn pruning(log: LogTable, days: i64, limit: usize) -> Disturbance {
    let cutoff = PruneCutoff { before: at(86_400 * days), except_run: None };
    Box::new(move |store| Box::pin(async move { store.prune(log, &cutoff, limit).await.map(drop) }))
}

fn deleting(prefix: &'static str) -> Disturbance {
    let filter = VisitFilter { prefixes: vec![prefix.to_owned()], ..VisitFilter::default() };
    Box::new(move |store| Box::pin(async move { delete_all(&*store, &filter, 3).await.map(drop) }))
}

fn calling(rows: Vec<UsageRow>) -> Disturbance {
    Box::new(move |store| Box::pin(async move { store.record_usage(&rows).await }))
}

/// What is recorded, late or again, and pruned between its pieces disturbs no recount, and no rebuild
/// of what is right changes anything.
pub async fn a_recount_is_exact_while_others_record_and_prune(
    store: Arc<dyn RunStore>,
) -> Result<()> {
    let mut rng = SeededRng(0x0dd0_5eed_1357_9bdf);
    let (mut reference, mut uids) = (Recounter::default(), BTreeSet::new());
    for round in 0..6 {
        let mut writes: Vec<Disturbance> = Vec::new();
        for mut batch in random_batches(&mut rng, 12) {
            // A pruned event that is sent again may count again, so prune from the third round on only.
            if round >= 2 {
                batch.retain(|event| uids.insert(event.uid));
            }
            for event in &batch {
                if round >= 2 || uids.insert(event.uid) {
                    reference.count(event.kind, event.visitor, event.day());
                }
            }
            writes.push(recording(batch));
            if round >= 2 && rng.below(3) == 0 {
                let days = rng.below(24) as i64 - 14;
                writes.push(pruning(LogTable::Visits, days, rng.below(30) as usize));
            }
        }
        if round == 0 {
            for write in writes.drain(..6) {
                write(Arc::clone(&store)).await?;
            }
        }
        let corrects = round % 2 == 1;
        let disturbed = DisturbedStore::new(Arc::clone(&store), writes);
        while disturbed.left() > 0 {
            let found = recount_visits(&disturbed, corrects, MEDIUM, UNWATCHED).await?;
            assert_eq!((found.differences(), found.wrong_steps), (Vec::new(), 0));
        }
        let found = recount_visits(&*store, corrects, MEDIUM, UNWATCHED).await?;
        assert_eq!((found.differences(), found.wrong_steps), (Vec::new(), 0));
        assert_eq!(found.events + found.pruned, reference.events);
        assert_eq!(found.counted, reference.days());
        assert_eq!(store.kpi_days(Date::MIN, Date::MAX).await?, reference.days());
        assert_eq!(store.recount_kpi().await?, found);
    }
    Ok(())
}

/// A recount begins again when visitors are deleted meanwhile, and their events are new afterwards.
pub async fn a_recount_is_exact_while_visitors_are_deleted(store: Arc<dyn RunStore>) -> Result<()> {
    let names = ["made-up-1", "made-up-2", "visitor-1", "visitor-2"];
    let events: Vec<_> =
        (0..9).flat_map(|days| names.map(|name| visit(Kind::RunDetailView, name, days))).collect();
    store.record_kpi(&events).await?;
    for before in 0..9 {
        let idle = (0..before).map(|_| recording(Vec::new()));
        let writes = idle.chain([deleting("made-up-"), recording(events.clone())]);
        let disturbed = DisturbedStore::new(Arc::clone(&store), writes);
        for corrects in [true, false] {
            let found = recount_visits(&disturbed, corrects, SMALL, UNWATCHED).await?;
            assert_eq!((found.differences(), found.wrong_steps), (Vec::new(), 0));
        }
        assert_eq!(disturbed.left(), 0);
        let found = store.recount_kpi().await?;
        assert_eq!((found.events, found.differences()), (events.len() as u64, Vec::new()));
        assert_eq!(store.record_kpi(&events).await?, 0);
    }
    Ok(())
}

/// Calls that are recorded, replaced by late ones and pruned between its pieces disturb no recount.
pub async fn a_recount_of_calls_is_exact_while_others_record_and_prune(
    store: Arc<dyn RunStore>,
) -> Result<()> {
    let mut rng = SeededRng(0x00c0_ffee_1357_9bdf);
    let mut rows = |count: u64| -> Vec<UsageRow> {
        (0..count)
            .map(|_| {
                let days = rng.below(5) as i64;
                let run = ["one", "two", "three"][rng.below(3) as usize];
                let run = Some(run).filter(|_| rng.below(4) > 0);
                let provider = ["groq", "gemini", "other"][rng.below(3) as usize];
                let cost = rng.below(1_000) as i64;
                UsageRow {
                    day: day().saturating_add(days.days()),
                    created_at: at(86_400 * days + rng.below(86_400) as i64),
                    success: rng.below(3) > 0,
                    cost: NanoUsd(cost),
                    ..call(run, provider, "m", cost)
                }
            })
            .collect()
    };
    store.record_usage(&rows(60)).await?;
    let mut recorded = 60;
    for round in 0..6 {
        let mut writes: Vec<Disturbance> = Vec::new();
        for number in 0..8 {
            writes.push(calling(rows(9)));
            recorded += 9;
            if number % 3 == 0 {
                writes.push(pruning(LogTable::Ledger, round % 5, 4));
            }
        }
        let disturbed = DisturbedStore::new(Arc::clone(&store), writes);
        while disturbed.left() > 0 {
            let found = recount_usage(&disturbed, round % 2 == 1, SMALL, UNWATCHED).await?;
            assert_eq!(found.differences(), []);
        }
        let found = recount_usage(&*store, round % 2 == 0, SMALL, UNWATCHED).await?;
        assert_eq!((found.differences(), found.rows + found.pruned), (Vec::new(), recorded));
        let whole = store.recount().await?;
        assert_eq!((whole.days, whole.runs), (found.days, found.runs));
    }
    Ok(())
}
