//! Rows of the counter's epoch and its clients. The tables are `fence` and `members`.

use rusqlite::{Connection, named_params};
use simops::store::sql::{
    COUNTER_CLIENT_COLUMNS, COUNTER_EPOCH_COLUMNS, counter_client, counter_epoch,
};
use simops::usage::{CounterClient, CounterEpoch};

use crate::codec::{Cells, Micros, all};
use crate::error::Work;

/// The current epoch.
pub(crate) fn epoch(connection: &Connection) -> Work<CounterEpoch> {
    let sql = format!("SELECT {COUNTER_EPOCH_COLUMNS} FROM fence");
    let mut statement = connection.prepare_cached(&sql)?;
    Ok(statement.query_row([], |row| counter_epoch(Cells(row)))?)
}

/// All clients by id.
pub(crate) fn clients(connection: &Connection) -> Work<Vec<CounterClient>> {
    let sql = format!("SELECT {COUNTER_CLIENT_COLUMNS} FROM members ORDER BY id");
    all(connection, &sql, [], |row| counter_client(row))
}

pub(crate) fn put_client(connection: &Connection, client: &CounterClient) -> Work<()> {
    let CounterClient { id, generation, allotment, until } = client;
    let mut statement = connection.prepare_cached(
        "INSERT OR REPLACE INTO members (id, generation, until, calls_total, \
             calls_openrouter_free, calls_groq, calls_gemini, calls_unpriced, cost) \
         VALUES (:id, :generation, :until, :calls_total, :calls_openrouter_free, :calls_groq, \
             :calls_gemini, :calls_unpriced, :cost)",
    )?;
    statement.execute(named_params! {
        ":id": id.as_bytes(),
        ":generation": generation,
        ":until": Micros(*until),
        ":calls_total": allotment.calls_total,
        ":calls_openrouter_free": allotment.calls_openrouter_free,
        ":calls_groq": allotment.calls_groq,
        ":calls_gemini": allotment.calls_gemini,
        ":calls_unpriced": allotment.calls_unpriced,
        ":cost": allotment.cost.0,
    })?;
    Ok(())
}
