//! Rows of the counter's epoch and its clients. The tables are `fence` and `members`.

use simops::store::sql::{
    COUNTER_CLIENT_COLUMNS, COUNTER_EPOCH_COLUMNS, counter_client, counter_epoch,
};
use simops::usage::{CounterClient, CounterEpoch};
use sqlx::AssertSqlSafe;

use crate::codec::{Cells, Micros};
use crate::error::Work;
use crate::link::Link;

/// The current epoch.
pub(crate) async fn epoch(connection: &mut Link) -> Work<CounterEpoch> {
    let sql = format!("SELECT {COUNTER_EPOCH_COLUMNS} FROM fence");
    let row = sqlx::query(AssertSqlSafe(sql)).fetch_one(connection).await?;
    Ok(counter_epoch(Cells(&row))?)
}

/// The epoch. Its row stays locked until the transaction ends.
pub(crate) async fn lock(connection: &mut Link) -> Work<CounterEpoch> {
    let sql = format!("SELECT {COUNTER_EPOCH_COLUMNS} FROM fence FOR NO KEY UPDATE");
    let row = sqlx::query(AssertSqlSafe(sql)).fetch_one(connection).await?;
    Ok(counter_epoch(Cells(&row))?)
}

/// All clients by id.
pub(crate) async fn clients(connection: &mut Link) -> Work<Vec<CounterClient>> {
    let sql = format!("SELECT {COUNTER_CLIENT_COLUMNS} FROM members ORDER BY id");
    let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(connection).await?;
    Ok(rows.iter().map(Cells).map(counter_client).collect::<sqlx::Result<_>>()?)
}

pub(crate) async fn put_client(connection: &mut Link, client: &CounterClient) -> Work<()> {
    let mut query = sqlx::query(
        "INSERT INTO members (id, generation, until, calls_total, calls_openrouter_free, \
             calls_groq, calls_gemini, calls_unpriced, cost) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) \
         ON CONFLICT (id) DO UPDATE SET generation = $2, until = $3, calls_total = $4, \
             calls_openrouter_free = $5, calls_groq = $6, calls_gemini = $7, calls_unpriced = $8, \
             cost = $9",
    )
    .bind(client.id)
    .bind(client.generation.cast_signed())
    .bind(Micros(client.until));
    for sum in client.allotment.to_array() {
        query = query.bind(sum);
    }
    query.execute(connection).await?;
    Ok(())
}
