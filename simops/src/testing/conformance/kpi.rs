//! KPI events of visitors, and the sums per day.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::civil::Date;
use jiff::{SignedDuration, ToSpan};
use serde_json::json;

use super::samples::{at, day};
use super::{StoreBuilder, joined};
use crate::kpi::recount::Recounter;
use crate::kpi::summary::Days;
use crate::kpi::{DaySums, Kind, KpiEvent};
use crate::recount::RecountExt;
use crate::store::{KpiStore, RunStore, VisitFilter};
use crate::{Error, Result};

/// An event of a visitor, `days` days after the fixed start.
pub(super) fn event(kind: Kind, visitor: &str, days: i64) -> KpiEvent {
    let occurred_at = at(0) + SignedDuration::from_hours(24 * days);
    KpiEvent {
        session_id: Some("session".to_owned()),
        event_id: Some("7".to_owned()),
        surface: Some("landing".to_owned()),
        target: Some("\u{1f680} \"go\"".to_owned()),
        path: Some("/runs/r?a=b".to_owned()),
        metadata: json!({ "a": [1, { "b": null }] }).as_object().cloned(),
        received_at: at(0),
        ..KpiEvent::new(kind, visitor, occurred_at)
    }
}

fn on(days: i64) -> Result<Date> {
    let failed = |error| Error::internal("no such day").with_source(error);
    day().checked_add(days.days()).map_err(failed)
}

async fn sums(store: &dyn KpiStore, days: i64) -> Result<DaySums> {
    let day = on(days)?;
    Ok(store.kpi_days(day, day).await?.remove(&day).unwrap_or_default())
}

/// Checks that the stored sums equal those of the reference definition and the store's own recount.
async fn check(store: &dyn RunStore, recorded: &[KpiEvent]) -> Result<()> {
    let mut reference = Recounter::default();
    let mut uids = BTreeSet::new();
    for event in recorded.iter().filter(|event| uids.insert(event.uid)) {
        reference.count(event.kind, event.visitor, event.day());
    }
    let kept = store.kpi_days(Date::MIN, Date::MAX).await?;
    assert_eq!(kept, reference.days());
    let recount = store.recount_kpi().await?;
    assert_eq!((recount.events, recount.wrong_steps), (uids.len() as u64, 0));
    assert_eq!(recount.counted, kept);
    assert_eq!(recount.differences(), []);
    Ok(())
}

/// The events of `all` that `filter` does not select.
fn others(all: &[KpiEvent], filter: &VisitFilter) -> Vec<KpiEvent> {
    let left = all.iter().filter(|event| !filter.selects(&event.visitor_id, event.day()));
    left.cloned().collect()
}

/// Deletes in pieces what `filter` selects; the number.
pub(super) async fn delete_all(
    store: &dyn KpiStore,
    filter: &VisitFilter,
    size: usize,
) -> Result<u64> {
    let mut selected = store.select_visits(filter).await?;
    let mut deleted = 0;
    while !selected.visits.is_empty() {
        let piece = selected.take_piece(size);
        deleted += store.delete_visits(filter, &piece).await?;
    }
    Ok(deleted)
}

/// Deleting the events of some visitors leaves the sums of the others, and their uids are new again.
pub async fn visits_of_some_visitors_are_deleted(store: Arc<dyn RunStore>) -> Result<()> {
    let names = ["made-up-1", "made-up-2", "visitor-1", "made-u-3"];
    let all: Vec<_> = names
        .iter()
        .flat_map(|name| [0, 1].map(|days| event(Kind::RunDetailView, name, days)))
        .collect();
    store.record_kpi(&all).await?;
    let made_up = VisitFilter { prefixes: vec!["made-up-".to_owned()], ..VisitFilter::default() };
    assert_eq!(store.select_visits(&made_up).await?.visits.len(), 4);
    assert_eq!(delete_all(&*store, &made_up, 3).await?, 4);
    assert_eq!(store.select_visits(&made_up).await?.visits, []);
    check(&*store, &all[4..]).await?;
    assert_eq!(store.record_kpi(&all).await?, 4);
    check(&*store, &all).await?;
    let visitors = ["made-up-1".to_owned(), "visitor-1".to_owned(), "visitor".to_owned()].into();
    let some = VisitFilter { day: Some(on(1)?), visitors, prefixes: Vec::new() };
    assert_eq!(delete_all(&*store, &some, 100).await?, 2);
    check(&*store, &others(&all, &some)).await
}

/// After each of many deletions in pieces, between events that arrive, also again and late, the sums
/// equal the recount.
pub async fn sums_are_exact_whatever_is_deleted(store: Arc<dyn RunStore>) -> Result<()> {
    let mut rng = SeededRng(0x00de_1e7e_5eed_1234);
    let mut stored: Vec<KpiEvent> = Vec::new();
    let mut sent: Vec<KpiEvent> = Vec::new();
    for batch in random_batches(&mut rng, 40) {
        let again = sent.get(rng.below(sent.len() as u64 + 1) as usize).cloned();
        for event in batch.iter().chain(&again) {
            if stored.iter().all(|known| known.uid != event.uid) {
                stored.push(event.clone());
            }
        }
        let batch: Vec<_> = batch.into_iter().chain(again).collect();
        store.record_kpi(&batch).await?;
        sent.extend(batch);
        let visitor = |rng: &mut SeededRng| format!("visitor-{}", rng.below(25));
        let day = on(rng.below(20) as i64 - 10)?;
        let filter = VisitFilter {
            day: Some(day).filter(|_| rng.below(4) > 0),
            visitors: (0..rng.below(8)).map(|_| visitor(&mut rng)).collect(),
            prefixes: (0..rng.below(2)).map(|_| visitor(&mut rng)).collect(),
        };
        let found = store.select_visits(&filter).await?.visits.len() as u64;
        assert_eq!(delete_all(&*store, &filter, 1 + rng.below(6) as usize).await?, found);
        stored = others(&stored, &filter);
        check(&*store, &stored).await?;
    }
    Ok(())
}

/// Two handles record and delete by turns.
pub async fn handles_delete_visits_by_turns<B: StoreBuilder>(builder: &B) -> Result<()> {
    let (one, guard) = builder.build().await?;
    let Some(other) = builder.open_again(&guard).await? else { return Ok(()) };
    let mut rng = SeededRng(0x7ea5_0000_de1e_7e01);
    let mut stored: Vec<KpiEvent> = Vec::new();
    for (round, batch) in random_batches(&mut rng, 24).into_iter().enumerate() {
        let recorder = if round % 2 == 0 { &one } else { &other };
        recorder.record_kpi(&batch).await?;
        for event in batch {
            if stored.iter().all(|known| known.uid != event.uid) {
                stored.push(event);
            }
        }
        if round % 3 > 0 {
            let visitors = (0..3).map(|_| format!("visitor-{}", rng.below(25))).collect();
            let filter = VisitFilter { visitors, ..VisitFilter::default() };
            let deleter = if round % 3 == 1 { &one } else { &other };
            delete_all(deleter, &filter, 1_000).await?;
            stored = others(&stored, &filter);
        }
    }
    check(&one, &stored).await?;
    check(&other, &stored).await
}

/// Counts events and distinct visitors by kind, visitors who shared in any way, and viewers.
pub async fn a_day_is_summed_by_kind_and_visitor(store: Arc<dyn RunStore>) -> Result<()> {
    let events = [
        event(Kind::LandingView, "visitor-1", 0),
        event(Kind::LandingView, "visitor-1", 0),
        event(Kind::LandingView, "visitor-2", 0),
        event(Kind::ShareCopied, "visitor-1", 0),
        event(Kind::ShareClicked, "visitor-1", 0),
        event(Kind::ReplayStart, "visitor-1", 0),
        event(Kind::RunDetailView, "visitor-1", 0),
        event(Kind::RunDetailView, "visitor-3", 0),
    ];
    assert_eq!(store.record_kpi(&events).await?, 8);
    let day = sums(&*store, 0).await?;
    let of = |kind| (day.events(kind), day.visitors(kind));
    assert_eq!(of(Kind::LandingView), (3, 2));
    assert_eq!(of(Kind::ShareCopied), (1, 1));
    assert_eq!(of(Kind::RunDetailView), (2, 2));
    assert_eq!(of(Kind::OnboardingShown), (0, 0));
    assert_eq!((day.sharers, day.viewers, day.returned), (1, 2, [0, 0]));
    check(&*store, &events).await
}

/// An event counts once, however often it is sent.
pub async fn an_event_of_a_visitor_counts_once(store: Arc<dyn RunStore>) -> Result<()> {
    let (one, two) = (event(Kind::LandingView, "visitor-1", 0), event(Kind::LandingView, "v-2", 0));
    assert_eq!(store.record_kpi(&[one.clone(), one.clone()]).await?, 1);
    assert_eq!(store.record_kpi(&[one.clone(), two.clone(), one.clone()]).await?, 1);
    assert_eq!(store.record_kpi(&[]).await?, 0);
    // The first event with a uid determines the day.
    let other = KpiEvent { uid: one.uid, ..event(Kind::ReplayStart, "visitor-9", 3) };
    assert_eq!(store.record_kpi(&[other]).await?, 0);
    check(&*store, &[one, two]).await
}

/// A viewer who views again 1 or 7 days later has returned, whichever day is recorded first.
pub async fn late_events_count_returns_in_both_directions(store: Arc<dyn RunStore>) -> Result<()> {
    let mut all = Vec::new();
    for (days, kind) in [(8, Kind::ReplayStart), (0, Kind::RunDetailView), (7, Kind::ReplayStart)] {
        all.push(event(kind, "visitor-1", days));
        store.record_kpi(&all[all.len() - 1..]).await?;
    }
    assert_eq!(sums(&*store, 0).await?.returned, [0, 1]);
    assert_eq!(sums(&*store, 7).await?.returned, [1, 0]);
    // An event that is not a view is not a return.
    all.push(event(Kind::LandingView, "visitor-1", 1));
    store.record_kpi(&all[3..]).await?;
    assert_eq!(sums(&*store, 0).await?.returned, [0, 1]);
    all.push(event(Kind::RunDetailView, "visitor-1", 1));
    store.record_kpi(&all[4..]).await?;
    assert_eq!(sums(&*store, 0).await?.returned, [1, 1]);
    assert_eq!(sums(&*store, 1).await?.returned, [0, 1]);
    check(&*store, &all).await
}

/// Both ends of a range are included; days without events are not listed.
pub async fn days_are_listed_within_a_range(store: Arc<dyn RunStore>) -> Result<()> {
    let events: Vec<_> =
        [-2, -1, 1, 2].map(|days| event(Kind::LandingView, "visitor-1", days)).into();
    store.record_kpi(&events).await?;
    let listed: Days = store.kpi_days(on(-1)?, on(1)?).await?;
    assert_eq!(listed.into_keys().collect::<Vec<_>>(), [on(-1)?, on(1)?]);
    Ok(())
}

/// Events of one visitor on related days, recorded concurrently, count as returns.
pub async fn concurrent_days_of_a_visitor_see_each_other(store: Arc<dyn RunStore>) -> Result<()> {
    let mut all = Vec::new();
    let mut writers = Vec::new();
    for round in 0..12 {
        let visitor = |number: i64| format!("visitor-{round}-{number}");
        for days in [0, 1, 7, 8] {
            // Opposite orders must not cause a deadlock.
            let mut batch: Vec<_> =
                (0..4).map(|number| event(Kind::RunDetailView, &visitor(number), days)).collect();
            if days % 2 == 1 {
                batch.reverse();
            }
            all.extend(batch.clone());
            let store = Arc::clone(&store);
            writers.push(tokio::spawn(async move { store.record_kpi(&batch).await }));
        }
    }
    for writer in writers {
        assert_eq!(joined(writer).await??, 4);
    }
    assert_eq!(sums(&*store, 0).await?.returned, [48, 48]);
    check(&*store, &all).await
}

/// A small random number generator with a fixed seed.
pub(super) struct SeededRng(pub(super) u64);

impl SeededRng {
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

pub(super) fn random_batches(rng: &mut SeededRng, batches: u64) -> Vec<Vec<KpiEvent>> {
    let mut sent: Vec<KpiEvent> = Vec::new();
    (0..batches)
        .map(|_| {
            let mut batch = Vec::new();
            for _ in 0..rng.below(30) {
                // Some events are sent again.
                let again = rng.below(sent.len() as u64 + 4) as usize;
                let kind = Kind::ALL[rng.below(13) as usize];
                let visitor = format!("visitor-{}", rng.below(25));
                let days = rng.below(20) as i64 - 10;
                let new = event(kind, &visitor, days);
                let event = sent.get(again).filter(|_| rng.0.is_multiple_of(5)).cloned();
                batch.push(event.unwrap_or(new));
                sent.extend(batch.last().cloned());
            }
            batch
        })
        .collect()
}

/// The sums equal the reference definition for any order, duplicates, late and concurrent events.
pub async fn a_random_history_sums_as_the_plain_recount_does(
    store: Arc<dyn RunStore>,
) -> Result<()> {
    let mut rng = SeededRng(0x5eed_0f51_3095_1234);
    let mut all = Vec::new();
    for _ in 0..6 {
        let batches = random_batches(&mut rng, 12);
        let mut writers = Vec::new();
        for batch in batches {
            all.extend(batch.clone());
            let store = Arc::clone(&store);
            writers.push(tokio::spawn(async move { store.record_kpi(&batch).await }));
        }
        for writer in writers {
            joined(writer).await??;
        }
        check(&*store, &all).await?;
    }
    let found = store.rebuild_kpi().await?;
    assert_eq!(found.differences(), []);
    check(&*store, &all).await
}

/// Two handles record events alternately and concurrently, including the same events.
pub async fn handles_count_a_visitors_events_together<B: StoreBuilder>(builder: &B) -> Result<()> {
    let (one, guard) = builder.build().await?;
    let Some(other) = builder.open_again(&guard).await? else { return Ok(()) };
    let mut rng = SeededRng(0x0123_4567_89ab_cdef);
    let mut all = Vec::new();
    for batch in random_batches(&mut rng, 40) {
        match rng.below(4) {
            0 => drop(one.record_kpi(&batch).await?),
            1 => drop(other.record_kpi(&batch).await?),
            2 => {
                let (first, second) =
                    tokio::join!(one.record_kpi(&batch), other.record_kpi(&batch));
                first?;
                second?;
            }
            _ => {
                let (head, rest) = batch.split_at(batch.len() / 2);
                let (first, second) = tokio::join!(one.record_kpi(head), other.record_kpi(rest));
                first?;
                second?;
            }
        }
        all.extend(batch);
    }
    check(&one, &all).await?;
    check(&other, &all).await
}
