//! The counter's epoch and its clients. The tables are `fence` and `members`.

use async_trait::async_trait;
use rusqlite::{Connection, Row, named_params, params};
use simops::Result;
use simops::usage::{CounterClient, CounterEpoch, CounterEpochStore, Lease, Op};
use uuid::Uuid;

use crate::SqliteStore;
use crate::codec::{Micros, Word};
use crate::days::totals;
use crate::error::Work;
use crate::{counting, leases};

#[async_trait]
impl CounterEpochStore for SqliteStore {
    async fn counter_epoch(&self) -> Result<CounterEpoch> {
        self.read(epoch).await
    }

    async fn advance_counter_epoch(&self, from: u64, to: &CounterEpoch) -> Result<bool> {
        let to = to.clone();
        self.write(move |tx| {
            let mut statement = tx.prepare_cached(
                "UPDATE fence SET generation = ?1, counted_in = ?2, redis = ?3, since = ?4, \
                     reason = ?5 WHERE generation = ?6",
            )?;
            let moved = statement.execute(params![
                to.generation,
                Word(to.backend),
                to.redis,
                Micros(to.since),
                to.reason,
                from
            ])? == 1;
            if moved {
                tx.tell_watchers();
            }
            Ok(moved)
        })
        .await
    }

    async fn heartbeat(&self, client: &CounterClient, open: &[Lease]) -> Result<CounterEpoch> {
        let (client, transfer) = (client.clone(), Op::Transfer(open.to_vec()));
        self.write(move |tx| {
            counting::apply_one(tx, &transfer)?;
            put_client(tx, &client)?;
            epoch(tx)
        })
        .await
    }

    async fn remove_counter_client(&self, id: Uuid) -> Result<()> {
        self.write(move |tx| {
            tx.prepare_cached("DELETE FROM members WHERE id = ?1")?.execute([id.as_bytes()])?;
            Ok(())
        })
        .await
    }

    async fn counter_clients(&self) -> Result<Vec<CounterClient>> {
        self.read(clients).await
    }

    async fn open_leases(&self) -> Result<Vec<Lease>> {
        self.read(leases::all).await
    }

    async fn is_settled(&self, id: Uuid) -> Result<bool> {
        self.read(move |connection| {
            let mut statement = connection.prepare_cached("SELECT 1 FROM usage WHERE id = ?1")?;
            Ok(statement.exists([id.as_bytes()])?)
        })
        .await
    }
}

/// The current epoch.
pub(crate) fn epoch(connection: &Connection) -> Work<CounterEpoch> {
    let mut statement = connection.prepare_cached(
        "SELECT generation, counted_in, namespace, redis, since, reason FROM fence",
    )?;
    Ok(statement.query_row([], |row| {
        Ok(CounterEpoch {
            generation: row.get(0)?,
            backend: row.get::<_, Word<_>>(1)?.0,
            namespace: row.get(2)?,
            redis: row.get(3)?,
            since: row.get::<_, Micros>(4)?.0,
            reason: row.get(5)?,
        })
    })?)
}

/// All clients by id.
pub(crate) fn clients(connection: &Connection) -> Work<Vec<CounterClient>> {
    let mut statement = connection.prepare_cached(
        "SELECT id, generation, until, calls_total, calls_openrouter_free, calls_groq, \
             calls_gemini, calls_unpriced, cost FROM members ORDER BY id",
    )?;
    let clients = statement.query_map([], client)?;
    Ok(clients.collect::<rusqlite::Result<_>>()?)
}

fn client(row: &Row<'_>) -> rusqlite::Result<CounterClient> {
    Ok(CounterClient {
        id: Uuid::from_bytes(row.get(0)?),
        generation: row.get(1)?,
        until: row.get::<_, Micros>(2)?.0,
        allotment: totals(row, 3)?,
    })
}

fn put_client(connection: &Connection, client: &CounterClient) -> Work<()> {
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
