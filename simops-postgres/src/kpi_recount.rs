//! Visitors' events counted anew.

use std::collections::HashMap;

use futures_util::TryStreamExt;
use jiff::civil::Date;
use simops::clock::day_of;
use simops::kpi::event::hash_key;
use simops::kpi::recount::Recounter;
use simops::kpi::{Kind, KpiRecount, Steps};
use simops::{Error, ErrorKind};
use sqlx::{Executor, Row};
use uuid::Uuid;

use crate::codec::{Day, Micros};
use crate::error::Work;
use crate::kpi::{all_days, draw_token, lock, of_bits, put_steps, put_sums};
use crate::link::Link;
use crate::retention::count_pruned_visits;
use crate::transaction::Tx;

/// Visitors' days that are written at once.
const AT_ONCE: usize = 10_000;

/// What is kept, and what the events say.
pub(crate) async fn recount(connection: &mut Link) -> Work<KpiRecount> {
    count(connection).await.map(|(found, _)| found)
}

/// Puts right what is kept, while nobody else records.
pub(crate) async fn rebuild(mut tx: Tx) -> Work<(Tx, KpiRecount)> {
    lock(&mut tx).await?;
    let (found, counted) = count(&mut tx).await?;
    tx.execute("DELETE FROM kpi_days; DELETE FROM kpi_steps").await?;
    draw_token(&mut tx).await?;
    put_sums(&mut tx, &found.counted).await?;
    let steps: Vec<_> = counted.steps().iter().map(|(place, steps)| (*place, *steps)).collect();
    for part in steps.chunks(AT_ONCE) {
        put_steps(&mut tx, part).await?;
    }
    Ok((tx, found))
}

async fn count(connection: &mut Link) -> Work<(KpiRecount, Recounter)> {
    let kept_steps = kept_steps(connection).await?;
    let mut counted = Recounter::default();
    count_pruned_visits(&mut *connection, &mut counted).await?;
    let mut rows =
        sqlx::query("SELECT kind, visitor_id, occurred_at FROM kpi_events").fetch(&mut *connection);
    while let Some(row) = rows.try_next().await? {
        let kind = kind_of(row.try_get(0)?)?;
        let day = day_of(row.try_get::<Micros, _>(2)?.0);
        counted.count(kind, hash_key(row.try_get(1)?), day);
    }
    drop(rows);
    let found = KpiRecount {
        events: counted.events(),
        pruned: counted.pruned(),
        kept: all_days(connection).await?,
        counted: counted.days(),
        wrong_steps: differences(&kept_steps, counted.steps()),
    };
    Ok((found, counted))
}

/// The kind that is stored under a code.
pub(crate) fn kind_of(code: i16) -> Work<Kind> {
    let unknown = "the database holds an event of an unknown kind";
    let kind = usize::try_from(code).ok().and_then(Kind::of_code);
    Ok(kind.ok_or_else(|| Error::new(ErrorKind::Unusable, unknown))?)
}

type StepsOf = HashMap<(Uuid, Date), Steps>;

async fn kept_steps(connection: &mut Link) -> Work<StepsOf> {
    let mut kept = StepsOf::new();
    let mut rows = sqlx::query("SELECT visitor, day, steps FROM kpi_steps").fetch(connection);
    while let Some(row) = rows.try_next().await? {
        let place = (row.try_get(0)?, row.try_get::<Day, _>(1)?.0);
        kept.insert(place, of_bits(row.try_get(2)?));
    }
    Ok(kept)
}

/// How many visitors' days are kept otherwise than counted.
fn differences(kept: &StepsOf, counted: &StepsOf) -> u64 {
    let wrong = kept.iter().filter(|(place, steps)| counted.get(place) != Some(steps)).count();
    let absent = counted.keys().filter(|place| !kept.contains_key(place)).count();
    (wrong + absent) as u64
}
