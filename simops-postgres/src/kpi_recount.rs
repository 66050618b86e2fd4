//! Recounts visitors' events and repairs what is stored.

use futures_util::TryStreamExt;
use simops::clock::day_of;
use simops::kpi::KpiRecount;
use simops::store::rules::Recounter;
use simops::store::rules::hash_key;
use simops::store::sql::{count_wrong_steps, kpi_kind};
use sqlx::{Executor, Row};

use crate::codec::Micros;
use crate::error::Work;
use crate::kpi_rows::{add_pruned, all_days, all_steps, lock, put_steps, put_sums, replace_token};
use crate::link::Link;
use crate::transaction::Tx;

/// Visitors' days per statement.
const BATCH: usize = 10_000;

/// Compares what is stored with a recount of the events.
pub(crate) async fn recount(connection: &mut Link) -> Work<KpiRecount> {
    count(connection).await.map(|(found, _)| found)
}

/// As [`recount`], and replaces what is stored with the recount. Others cannot record meanwhile.
pub(crate) async fn rebuild(mut tx: Tx) -> Work<(Tx, KpiRecount)> {
    lock(&mut tx).await?;
    let (found, counted) = count(&mut tx).await?;
    tx.execute("DELETE FROM kpi_days; DELETE FROM kpi_steps").await?;
    replace_token(&mut tx).await?;
    put_sums(&mut tx, &found.counted).await?;
    let steps: Vec<_> = counted.steps.iter().map(|(key, steps)| (*key, *steps)).collect();
    for batch in steps.chunks(BATCH) {
        put_steps(&mut tx, batch).await?;
    }
    Ok((tx, found))
}

async fn count(connection: &mut Link) -> Work<(KpiRecount, Recounter)> {
    let stored = all_steps(connection).await?;
    let mut counted = Recounter::default();
    add_pruned(&mut *connection, &mut counted).await?;
    let sql = "SELECT kind::bigint, visitor_id, occurred_at FROM kpi_events";
    let mut rows = sqlx::query(sql).fetch(&mut *connection);
    while let Some(row) = rows.try_next().await? {
        let (kind, Micros(at)) = (row.try_get(0)?, row.try_get(2)?);
        counted.count(kpi_kind(kind)?, hash_key(row.try_get(1)?), day_of(at));
    }
    drop(rows);
    let found = KpiRecount {
        events: counted.events,
        pruned: counted.pruned,
        kept: all_days(connection).await?,
        counted: counted.days(),
        wrong_steps: count_wrong_steps(&stored, &counted.steps),
    };
    Ok((found, counted))
}
