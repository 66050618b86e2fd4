//! Alerts and the outbox of messages.

use async_trait::async_trait;
use rusqlite::{Connection, params};
use serde::de::DeserializeOwned;
use simops::Result;
use simops::alert::{Alert, AlertRecords, Attempt, Delivery, DeliveryState, Message};
use simops::store::sql::{SqlRow, body, count, one_more, page, placed_body};
use simops::store::{AlertStore, FencingToken, MessageRecord, Page};
use uuid::Uuid;

use crate::SqliteStore;
use crate::codec::{Json, Micros, all, first};
use crate::error::Work;
use crate::leader_leases;

#[async_trait]
impl AlertStore for SqliteStore {
    async fn newest_alerts(&self) -> Result<Vec<Alert>> {
        let sql = "SELECT body FROM alerts \
                   WHERE place IN (SELECT max(place) FROM alerts GROUP BY metric) ORDER BY metric";
        self.read(move |connection| all(connection, sql, [], |row| body(row))).await
    }

    async fn alert(&self, id: Uuid) -> Result<Option<Alert>> {
        let sql = "SELECT body FROM alerts WHERE id = ?1";
        self.read(move |connection| first(connection, sql, [id.as_bytes()], |row| body(row))).await
    }

    async fn alerts(&self, before: Option<i64>, limit: usize) -> Result<Page<Alert>> {
        let sql = "SELECT body, place FROM alerts WHERE place < ?1 ORDER BY place DESC LIMIT ?2";
        self.read(move |connection| page_of(connection, sql, before, limit)).await
    }

    async fn last_message(&self, fingerprint: &str) -> Result<Option<MessageRecord>> {
        let fingerprint = fingerprint.to_owned();
        let sql = "SELECT body FROM messages WHERE fingerprint = ?1 ORDER BY place DESC LIMIT 1";
        self.read(move |connection| {
            let message = first(connection, sql, [&fingerprint], |row| body(row))?;
            message.map(|message| sent(connection, message)).transpose()
        })
        .await
    }

    async fn messages(&self, before: Option<i64>, limit: usize) -> Result<Page<MessageRecord>> {
        let sql = "SELECT body, place FROM messages WHERE place < ?1 ORDER BY place DESC LIMIT ?2";
        self.read(move |connection| {
            let Page { items, next } = page_of(connection, sql, before, limit)?;
            let items = items.into_iter().map(|message| sent(connection, message));
            Ok(Page { items: items.collect::<Work<_>>()?, next })
        })
        .await
    }

    async fn delivery(&self, id: Uuid) -> Result<Option<Delivery>> {
        self.read(move |connection| delivery(connection, id)).await
    }

    async fn last_attempted(&self, sink: &str, target: &str) -> Result<Option<Delivery>> {
        let (sink, target) = (sink.to_owned(), target.to_owned());
        let sql = "SELECT body FROM deliveries \
                   WHERE sink = ?1 AND target = ?2 AND last_attempt_at IS NOT NULL \
                   ORDER BY last_attempt_at DESC, id DESC LIMIT 1";
        self.read(move |connection| first(connection, sql, [&sink, &target], |row| body(row))).await
    }

    async fn pending(&self, limit: usize) -> Result<Vec<(Delivery, Message)>> {
        self.read(move |connection| {
            let sql = "SELECT deliveries.body, messages.body FROM deliveries \
                       JOIN messages ON messages.id = deliveries.message_id \
                       WHERE due IS NOT NULL ORDER BY due, deliveries.id LIMIT ?1";
            all(connection, sql, [count(limit)], |row| Ok((row.json(0)?, row.json(1)?)))
        })
        .await
    }

    async fn record_attempt(
        &self,
        token: &FencingToken,
        before: &Delivery,
        after: &Delivery,
        attempt: &Attempt,
    ) -> Result<bool> {
        let (token, before) = (token.clone(), before.clone());
        let (after, attempt) = (after.clone(), attempt.clone());
        self.write(move |tx| {
            let holds =
                leader_leases::get(tx, &token.lease)?.is_some_and(|held| held.fence == token.fence);
            if !holds || delivery(tx, before.id)?.as_ref() != Some(&before) {
                return Ok(false);
            }
            put_delivery(tx, &after)?;
            tx.prepare_cached("INSERT OR REPLACE INTO attempts VALUES (?1, ?2, ?3)")?
                .execute(params![attempt.delivery_id.as_bytes(), attempt.number, Json(&attempt)])?;
            tx.notify_watchers();
            Ok(true)
        })
        .await
    }

    async fn attempts(&self, delivery_id: Uuid) -> Result<Vec<Attempt>> {
        let sql = "SELECT body FROM attempts WHERE delivery_id = ?1 ORDER BY number";
        self.read(move |connection| all(connection, sql, [delivery_id.as_bytes()], |row| body(row)))
            .await
    }
}

/// Stores the alert records of a change.
pub(crate) fn put_alert_records(connection: &Connection, alert_records: &AlertRecords) -> Work<()> {
    for alert in &alert_records.alerts {
        connection
            .prepare_cached(
                "INSERT INTO alerts (id, metric, body) VALUES (?1, ?2, ?3) \
                 ON CONFLICT (id) DO UPDATE SET body = excluded.body",
            )?
            .execute(params![alert.id.as_bytes(), alert.metric.as_str(), Json(alert)])?;
    }
    for message in &alert_records.messages {
        connection
            .prepare_cached(
                "INSERT INTO messages (id, fingerprint, body) VALUES (?1, ?2, ?3) \
                 ON CONFLICT (id) DO UPDATE SET body = excluded.body",
            )?
            .execute(params![message.id.as_bytes(), message.fingerprint, Json(message)])?;
    }
    alert_records.deliveries.iter().try_for_each(|delivery| put_delivery(connection, delivery))
}

fn put_delivery(connection: &Connection, delivery: &Delivery) -> Work<()> {
    let is_pending = delivery.state == DeliveryState::Pending;
    let mut statement = connection.prepare_cached(
        "INSERT OR REPLACE INTO deliveries \
             (id, message_id, sink, target, last_attempt_at, due, body) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    statement.execute(params![
        delivery.id.as_bytes(),
        delivery.message_id.as_bytes(),
        delivery.sink,
        delivery.target,
        delivery.last_attempt_at.map(Micros),
        delivery.next_attempt_at.filter(|_| is_pending).map(Micros),
        Json(delivery),
    ])?;
    Ok(())
}

fn delivery(connection: &Connection, id: Uuid) -> Work<Option<Delivery>> {
    let sql = "SELECT body FROM deliveries WHERE id = ?1";
    first(connection, sql, [id.as_bytes()], |row| body(row))
}

fn sent(connection: &Connection, message: Message) -> Work<MessageRecord> {
    let sql = "SELECT body FROM deliveries WHERE message_id = ?1 ORDER BY sink";
    let deliveries = all(connection, sql, [message.id.as_bytes()], |row| body(row))?;
    Ok(MessageRecord { message, deliveries })
}

fn page_of<T: DeserializeOwned>(
    connection: &Connection,
    sql: &str,
    before: Option<i64>,
    limit: usize,
) -> Work<Page<T>> {
    let values = [before.unwrap_or(i64::MAX), one_more(limit)];
    Ok(page(all(connection, sql, values, |row| placed_body(row))?, limit))
}
