//! Recounts visitors' events.
//!
//! The stored steps of visitors are compared with the events, in ranges of visitors that fit in memory;
//! then the sums of each day with the stored steps, and its numbers of events with the log.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::civil::Date;
use uuid::Uuid;

use super::{Limits, MAX_RESTARTS, OnProgress, RecountProgress, Stage, disturbed, unknown_outcome};
use crate::kpi::recount::{change_of_sums, neighbours};
use crate::kpi::summary::Days;
use crate::kpi::{CountedSteps, DaySums, KpiRecount, LoggedVisit, VisitorSteps, WrongSteps};
use crate::store::{KpiBasis, KpiSnapshot, KpiStore};
use crate::{Error, ErrorKind, Result};

/// Compares the stored sums and steps of visitors with their events and, if it `corrects`, corrects
/// those that are wrong. Returns what was found before the corrections.
///
/// # Errors
/// Returns `Unavailable` if the database is unavailable, or if others keep deleting or correcting what
/// is counted.
pub async fn recount_visits<S: KpiStore + ?Sized>(
    store: &S,
    corrects: bool,
    limits: Limits,
    progress: OnProgress<'_>,
) -> Result<KpiRecount> {
    for _ in 0..MAX_RESTARTS {
        let basis = store.kpi_basis().await?;
        let revision = basis.revision;
        let tally = Tally { position: 0, events: 0, days: Days::new(), basis };
        let mut walk = Walk { store, limits, progress, revision, tally };
        match walk.recount(corrects).await {
            Err(Stop::Stale) => {}
            Err(Stop::Failed(error)) => return Err(error),
            Ok(found) => return Ok(found),
        }
    }
    Err(disturbed())
}

/// Why a walk ended.
enum Stop {
    /// What it has counted is no longer in the store: it must begin again.
    Stale,
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// The numbers of events.
struct Tally {
    /// The position up to which they are counted.
    position: i64,
    events: u64,
    days: Days,
    /// As it was before they were counted.
    basis: KpiBasis,
}

impl Tally {
    fn count(&mut self, visit: &LoggedVisit) {
        self.events += 1;
        self.days.entry(visit.day).or_default().count(visit.kind);
    }
}

struct Walk<'s, S: ?Sized> {
    store: &'s S,
    limits: Limits,
    progress: OnProgress<'s>,
    revision: i64,
    tally: Tally,
}

impl<S: KpiStore + ?Sized> Walk<'_, S> {
    async fn recount(&mut self, corrects: bool) -> Result<KpiRecount, Stop> {
        let mut found = KpiRecount::default();
        let mut by_wrong_steps = Days::new();
        let mut next = Some(Uuid::nil());
        while let Some(first) = next {
            let counted = self.count_steps(first, first.is_nil()).await?;
            next = counted.next_visitor();
            if first.is_nil() && corrects {
                self.add_missing_days().await?;
            }
            let (wrong, position) = self.compare_steps(counted).await?;
            found.wrong_steps += wrong.len() as u64;
            if corrects {
                self.correct_steps(&wrong, position).await?;
            } else {
                add(&mut by_wrong_steps, &self.change_of_sums(wrong).await?);
            }
        }
        self.compare_days(&mut found, &by_wrong_steps, corrects).await?;
        if corrects {
            let progress = self.progress;
            let index = |done, of| progress(RecountProgress { stage: Stage::Indexing, done, of });
            self.store.rebuild_uids(&index).await.map_err(unknown_outcome)?;
        }
        Ok(found)
    }

    /// Counts the steps of as many visitors as fit in memory, the first of them `first`; the first
    /// time also the numbers of events of all visitors.
    async fn count_steps(&mut self, first: Uuid, counts_events: bool) -> Result<CountedSteps> {
        let (mut counted, limit) = (CountedSteps::starting_at(first), self.limits.visitor_days);
        let mut position = 0;
        loop {
            let until = self.store.kpi_position().await?;
            let began = position;
            while position < until {
                let piece = self.piece(&mut position, until).await?;
                for visit in &piece {
                    counted.count(visit, limit);
                    if counts_events {
                        self.tally.count(visit);
                    }
                }
                self.show(&counted, position, until);
            }
            if is_short(until - began, self.limits.piece) {
                break;
            }
        }
        if counts_events {
            self.tally.position = position;
        }
        counted.position = position;
        Ok(counted)
    }

    /// Reads the next events up to `until`, and moves `position` behind them.
    async fn piece(&self, position: &mut i64, until: i64) -> Result<Vec<LoggedVisit>> {
        let piece = self.store.kpi_log(*position, until, self.limits.piece).await?;
        let last = piece.last().filter(|_| piece.len() >= self.limits.piece);
        *position = last.map_or(until, |visit| visit.position);
        Ok(piece)
    }

    /// Shows how much of the log is read, for the visitors before this range and for those in it.
    fn show(&self, counted: &CountedSteps, position: i64, until: i64) {
        let share = |of: Uuid| {
            // The first 32 bits of 128 will do.
            u64::try_from(of.as_u128() >> 96).unwrap_or(u64::MAX)
        };
        let of = until.unsigned_abs();
        let (first, last) = (share(*counted.visitors.start()), share(*counted.visitors.end()));
        let before = (u128::from(of) * u128::from(first)) >> 32;
        let own = (u128::from(position.unsigned_abs()) * u128::from(last - first + 1)) >> 32;
        let done = u64::try_from(before + own).unwrap_or(of);
        (self.progress)(RecountProgress { stage: Stage::Counting, done: done.min(of), of });
    }

    /// Stores sums of zero for days without any: stores look no steps up on such days.
    async fn add_missing_days(&mut self) -> Result<(), Stop> {
        let (kept, mut missing) = (self.stored_days().await?, self.tally.days.clone());
        missing.retain(|day, _| !kept.contains_key(day));
        missing.values_mut().for_each(|sums| *sums = DaySums::default());
        if missing.is_empty() { Ok(()) } else { self.correct_sums(missing).await }
    }

    /// The stored sums; none if some cannot be read, which is no reason not to correct them.
    async fn stored_days(&self) -> Result<Days> {
        match self.store.kpi_days(Date::MIN, Date::MAX).await {
            Err(error) if error.kind() == ErrorKind::Unusable => Ok(Days::new()),
            days => days,
        }
    }

    /// The wrong steps, and the position up to which their events are counted.
    async fn compare_steps(&self, counted: CountedSteps) -> Result<(Vec<WrongSteps>, i64), Stop> {
        let position = counted.position;
        let (revision, wrong) = self.store.compare_steps(Arc::new(counted)).await?;
        if revision != self.revision {
            return Err(Stop::Stale);
        }
        Ok((wrong, position))
    }

    async fn correct_steps(&mut self, wrong: &[WrongSteps], position: i64) -> Result<(), Stop> {
        let key = |wrong: &WrongSteps| (wrong.visitor, wrong.day);
        let mut right: VisitorSteps =
            wrong.iter().map(|wrong| (key(wrong), wrong.counted)).collect();
        let mut position = position;
        for wrong in wrong.chunks(self.limits.corrections) {
            // The transaction reads what is recorded after `position`, so that is kept short.
            loop {
                let (until, began) = (self.store.kpi_position().await?, position);
                while position < until {
                    for visit in self.piece(&mut position, until).await? {
                        if let Some(steps) = right.get_mut(&(visit.visitor, visit.day)) {
                            *steps = *steps | visit.kind.step();
                        }
                    }
                }
                if is_short(until - began, self.limits.piece) {
                    break;
                }
            }
            let rows = wrong.iter().map(key);
            let rows = rows.filter_map(|key| right.get(&key).map(|steps| (key, *steps))).collect();
            let corrected = self.store.correct_steps(self.revision, Arc::new(rows), position);
            self.revision = corrected.await.map_err(unknown_outcome)?.ok_or(Stop::Stale)?;
        }
        Ok(())
    }

    async fn correct_sums(&mut self, changes: Days) -> Result<(), Stop> {
        let corrected = self.store.correct_sums(self.revision, Arc::new(changes));
        self.revision = corrected.await.map_err(unknown_outcome)?.ok_or(Stop::Stale)?;
        Ok(())
    }

    /// By how much the sums change when the wrong steps are corrected.
    async fn change_of_sums(&self, mut wrong: Vec<WrongSteps>) -> Result<Days> {
        wrong.sort_unstable_by_key(|wrong| (wrong.visitor, wrong.day));
        let mut changes = Days::new();
        let mut rest = wrong.as_slice();
        while !rest.is_empty() {
            // Returns depend on all days of a visitor.
            let cut = rest.get(self.limits.corrections).map(|wrong| wrong.visitor);
            let count = cut
                .map_or(rest.len(), |first| rest.partition_point(|wrong| wrong.visitor <= first));
            let (batch, more) = rest.split_at(count);
            let known = self.store.visitor_steps(neighbours(batch)).await?;
            add(&mut changes, &change_of_sums(batch, &known));
            rest = more;
        }
        Ok(changes)
    }

    async fn compare_days(
        &mut self,
        found: &mut KpiRecount,
        by_wrong_steps: &Days,
        corrects: bool,
    ) -> Result<(), Stop> {
        let kept = self.stored_days().await?;
        let sources = [&kept, &self.tally.days, &self.tally.basis.pruned, by_wrong_steps];
        let days: BTreeSet<_> = sources.into_iter().flat_map(|days| days.keys().copied()).collect();
        let days: Vec<_> = days.into_iter().collect();
        let (of, step) = (days.len() as u64, self.limits.days);
        for (done, days) in (0_u64..).step_by(step).zip(days.chunks(step)) {
            (self.progress)(RecountProgress { stage: Stage::Comparing, done, of });
            let [Some(first), Some(last)] = [days.first(), days.last()] else { continue };
            let (mut kept, mut counted) = self.sums(*first, *last, by_wrong_steps).await?;
            found.kept.append(&mut kept.clone());
            found.counted.append(&mut counted.clone());
            // What was recorded between snapshot and correction may depend on wrong sums.
            for _ in 0..MAX_RESTARTS {
                let wrong = differing(&kept, &counted);
                if wrong.is_empty() || !corrects {
                    break;
                }
                self.correct_sums(wrong).await?;
                (kept, counted) = self.sums(*first, *last, by_wrong_steps).await?;
            }
        }
        (self.progress)(RecountProgress { stage: Stage::Comparing, done: of, of });
        found.events = self.tally.events;
        let pruned = self.tally.basis.pruned.values();
        let pruned = pruned.flat_map(|sums| sums.events).sum::<i64>();
        found.pruned = pruned.unsigned_abs();
        Ok(())
    }

    /// The stored sums of a range of days, and what they should be.
    async fn sums(
        &mut self,
        first: Date,
        last: Date,
        by_wrong_steps: &Days,
    ) -> Result<(Days, Days), Stop> {
        for _ in 0..MAX_RESTARTS {
            let events = self.count_events().await?;
            let snapshot = self.store.kpi_snapshot(first, last, events).await?;
            if snapshot.basis.revision != self.revision {
                return Err(Stop::Stale);
            }
            let pruned = |basis: &KpiBasis| {
                basis
                    .pruned
                    .range(first..=last)
                    .map(|(day, sums)| (*day, *sums))
                    .collect::<Vec<_>>()
            };
            if pruned(&snapshot.basis) == pruned(&self.tally.basis) {
                return Ok(self.compared(snapshot, first, last, by_wrong_steps));
            }
            // Events that are pruned meanwhile may be among those that were counted.
            let basis = self.store.kpi_basis().await?;
            self.tally = Tally { position: 0, events: 0, days: Days::new(), basis };
        }
        Err(disturbed().into())
    }

    fn compared(
        &self,
        snapshot: KpiSnapshot,
        first: Date,
        last: Date,
        by_wrong_steps: &Days,
    ) -> (Days, Days) {
        let KpiSnapshot { basis, mut kept, by_steps: mut counted, recent } = snapshot;
        for part in [&self.tally.days, &basis.pruned, &recent, by_wrong_steps] {
            for (day, sums) in part.range(first..=last) {
                let sum = counted.entry(*day).or_default();
                *sum = sum.plus(sums);
            }
        }
        for days in [&mut kept, &mut counted] {
            days.retain(|_, sums| *sums != DaySums::default());
        }
        (kept, counted)
    }

    /// Counts the events that are not counted yet. Returns the position up to which they are.
    async fn count_events(&mut self) -> Result<i64> {
        let mut position = self.tally.position;
        loop {
            let (until, began) = (self.store.kpi_position().await?, position);
            while position < until {
                for visit in self.piece(&mut position, until).await? {
                    self.tally.count(&visit);
                }
            }
            self.tally.position = position;
            if is_short(until - began, self.limits.piece) {
                return Ok(position);
            }
        }
    }
}

/// Whether what is left to read is about one piece or less.
fn is_short(positions: i64, piece: usize) -> bool {
    usize::try_from(positions).unwrap_or_default() <= piece
}

fn add(sums: &mut Days, more: &Days) {
    for (day, more) in more {
        let sum = sums.entry(*day).or_default();
        *sum = sum.plus(more);
    }
}

/// What must be added to the stored sums of the days on which they differ.
fn differing(kept: &Days, counted: &Days) -> Days {
    let days: BTreeSet<_> = kept.keys().chain(counted.keys()).collect();
    let of = |sums: &Days, day| sums.get(day).copied().unwrap_or_default();
    let changes = days.into_iter().map(|day| (*day, of(counted, day).minus(&of(kept, day))));
    changes.filter(|(_, change)| *change != DaySums::default()).collect()
}
