//! Counting steps in one transaction: read what they touch, decide, write what changed.
//!
//! Whoever changes leases, ledger or sums holds the lock on the fence's row. So steps of all
//! processes stand in one line, admission and counting are one step, and nobody waits in a circle.
//! A batch shares the line's one place, and one commit.

use std::collections::BTreeSet;

use jiff::ToSpan;
use simops::Result;
use simops::usage::{DayUse, Fence};
use uuid::Uuid;

use crate::books::{Books, Done, Step};
use crate::days::{day_uses, put_day_use};
use crate::error::Work;
use crate::link::Link;
use crate::transaction::Base;
use crate::{fence, leases, usage};

/// Takes the steps of several callers, in one transaction. All of them carry ids, so what was lost
/// with its connection is done again.
pub(crate) async fn take_steps(base: Base, steps: Vec<Step>) -> Result<Vec<Result<Done>>> {
    let (steps, by_time) = (&steps, base.ledger_by_time);
    base.write_known(|mut tx| async move {
        let fence = fence::lock(&mut tx).await?;
        let mut books = open(&mut tx, touched(steps), &fence, by_time).await?;
        let answers: Vec<_> = steps.iter().map(|step| books.take(step, &fence)).collect();
        close(&mut tx, &books).await?;
        Ok((tx, answers))
    })
    .await
}

/// What steps may touch.
#[derive(Default)]
pub(crate) struct Touched {
    pub(crate) ids: BTreeSet<Uuid>,
    pub(crate) days: BTreeSet<jiff::civil::Date>,
    pub(crate) runs: BTreeSet<String>,
}

fn touched(steps: &[Step]) -> Touched {
    let mut touched = Touched::default();
    for step in steps {
        match step {
            Step::Reserve(lease, _) => {
                touched.ids.insert(lease.id);
                touched.days.insert(lease.day);
            }
            Step::Settle(row) => touched.row(row),
            Step::Release(id) => drop(touched.ids.insert(*id)),
            Step::Record(rows) => rows.iter().for_each(|row| touched.row(row)),
        }
    }
    touched
}

impl Touched {
    pub(crate) fn row(&mut self, row: &simops::usage::UsageRow) {
        self.ids.insert(row.id);
        self.days.insert(row.day);
        self.runs.extend(row.run_id.clone());
    }
}

/// Reads what is there, under the fence's lock.
pub(crate) async fn open(
    connection: &mut Link,
    mut touched: Touched,
    fence: &Fence,
    ledger_by_time: bool,
) -> Work<Books> {
    let ids: Vec<_> = touched.ids.iter().copied().collect();
    let leases = leases::of_ids(&mut *connection, &ids).await?;
    let rows = match touched.days.first() {
        // A call is recorded on its day or later, whoever's clock is a little behind.
        Some(day) if ledger_by_time => {
            let since = day.saturating_sub(1.day());
            usage::of_ids_since(&mut *connection, &ids, since).await?
        }
        Some(_) => usage::of_ids(&mut *connection, &ids).await?,
        // Nothing is to be booked.
        None => Vec::new(),
    };
    touched.days.extend(leases.iter().map(|lease| lease.day));
    let runs: Vec<_> = touched.runs.into_iter().collect();
    Ok(Books {
        leases: leases.into_iter().map(|lease| (lease.id, lease)).collect(),
        rows: rows.into_iter().map(|row| (row.id, row)).collect(),
        days: day_uses(&mut *connection, touched.days).await?,
        runs: usage::run_totals(&mut *connection, &runs).await?,
        members: match fence.generation {
            0 => Vec::new(),
            _ => fence::members(connection).await?,
        },
        ..Books::default()
    })
}

/// Writes what has changed.
pub(crate) async fn close(connection: &mut Link, books: &Books) -> Work<()> {
    leases::end(&mut *connection, &books.ended).await?;
    let begun: Vec<_> = books.begun.iter().filter_map(|id| books.leases.get(id)).collect();
    leases::begin(&mut *connection, &begun).await?;
    let rows = |ids: &[Uuid]| ids.iter().filter_map(|id| books.rows.get(id)).collect::<Vec<_>>();
    usage::insert(&mut *connection, &rows(&books.written)).await?;
    usage::replace(&mut *connection, &rows(&books.replaced)).await?;
    for day in &books.changed_days {
        let day_use = books.days.get(day).copied().unwrap_or_else(DayUse::default);
        put_day_use(&mut *connection, *day, &day_use).await?;
    }
    let changed = books.runs.iter().filter(|(run_id, _)| books.changed_runs.contains(*run_id));
    usage::put_run_totals(connection, changed.map(|(run_id, sum)| (run_id.as_str(), *sum))).await
}
