//! Alerts and the outbox of messages.

use async_trait::async_trait;
use serde::de::DeserializeOwned;
use simops::Result;
use simops::alert::{Alert, AlertRecords, Attempt, Delivery, DeliveryState, Message};
use simops::store::sql::{SqlRow, body, count, one_more, page, placed_body};
use simops::store::{AlertStore, FencingToken, MessageRecord, Page};
use sqlx::postgres::PgRow;
use uuid::Uuid;

use crate::PostgresStore;
use crate::codec::{Cells, Json, Micros};
use crate::error::Work;
use crate::link::Link;

#[async_trait]
impl AlertStore for PostgresStore {
    async fn newest_alerts(&self) -> Result<Vec<Alert>> {
        let sql = "SELECT DISTINCT ON (metric) body FROM alerts ORDER BY metric, place DESC";
        self.base.fetch_all(|| sqlx::query(sql), |row| body(row)).await
    }

    async fn alert(&self, id: Uuid) -> Result<Option<Alert>> {
        let sql = "SELECT body FROM alerts WHERE id = $1";
        self.base.fetch_optional(|| sqlx::query(sql).bind(id), |row| body(row)).await
    }

    async fn alerts(&self, before: Option<i64>, limit: usize) -> Result<Page<Alert>> {
        let sql = "SELECT body, place FROM alerts WHERE place < $1 ORDER BY place DESC LIMIT $2";
        let statement = || sqlx::query(sql).bind(before.unwrap_or(i64::MAX)).bind(one_more(limit));
        Ok(page(self.base.fetch_all(statement, |row| placed_body(row)).await?, limit))
    }

    async fn last_message(&self, fingerprint: &str) -> Result<Option<MessageRecord>> {
        self.base
            .read(|mut connection| async move {
                let sql = "SELECT body FROM messages WHERE fingerprint = $1 \
                           ORDER BY place DESC LIMIT 1";
                let row = sqlx::query(sql).bind(fingerprint);
                let row = row.fetch_optional(&mut *connection).await?;
                let message = row.as_ref().map(Cells).map(body::<_, Message>).transpose()?;
                let sent = with_deliveries(&mut connection, message.into_iter().collect()).await?;
                Ok((connection, sent.into_iter().next()))
            })
            .await
    }

    async fn messages(&self, before: Option<i64>, limit: usize) -> Result<Page<MessageRecord>> {
        self.base
            .read(|mut connection| async move {
                let sql = "SELECT body, place FROM messages WHERE place < $1 \
                           ORDER BY place DESC LIMIT $2";
                let rows = sqlx::query(sql).bind(before.unwrap_or(i64::MAX)).bind(one_more(limit));
                let rows = rows.fetch_all(&mut *connection).await?;
                let Page { items, next } = page(
                    rows.iter().map(Cells).map(placed_body).collect::<sqlx::Result<_>>()?,
                    limit,
                );
                let items = with_deliveries(&mut connection, items).await?;
                Ok((connection, Page { items, next }))
            })
            .await
    }

    async fn delivery(&self, id: Uuid) -> Result<Option<Delivery>> {
        let sql = "SELECT body FROM deliveries WHERE id = $1";
        self.base.fetch_optional(|| sqlx::query(sql).bind(id), |row| body(row)).await
    }

    async fn last_attempted(&self, sink: &str, target: &str) -> Result<Option<Delivery>> {
        let sql = "SELECT body FROM deliveries \
                   WHERE sink = $1 AND target = $2 AND last_attempt_at IS NOT NULL \
                   ORDER BY last_attempt_at DESC, id DESC LIMIT 1";
        let statement = || sqlx::query(sql).bind(sink).bind(target);
        self.base.fetch_optional(statement, |row| body(row)).await
    }

    async fn pending(&self, limit: usize) -> Result<Vec<(Delivery, Message)>> {
        let sql = "SELECT deliveries.body, messages.body FROM deliveries \
                   JOIN messages ON messages.id = deliveries.message_id \
                   WHERE due IS NOT NULL ORDER BY due, deliveries.id LIMIT $1";
        let both = |row: Cells<'_>| Ok((row.json(0)?, row.json(1)?));
        self.base.fetch_all(|| sqlx::query(sql).bind(count(limit)), both).await
    }

    async fn record_attempt(
        &self,
        token: &FencingToken,
        before: &Delivery,
        after: &Delivery,
        attempt: &Attempt,
    ) -> Result<bool> {
        self.base
            .write(|mut tx| async move {
                // Locks both rows until this is durable.
                let held = sqlx::query("SELECT fence FROM duties WHERE duty = $1 FOR SHARE");
                let held = held.bind(&token.lease).fetch_optional(&mut *tx).await?;
                let fence = held.map(|row| Cells(&row).int(0)).transpose()?;
                let stored = sqlx::query("SELECT body FROM deliveries WHERE id = $1 FOR UPDATE");
                let stored = stored.bind(before.id).fetch_optional(&mut *tx).await?;
                let stored: Option<Delivery> = stored.as_ref().map(Cells).map(body).transpose()?;
                if fence.map(i64::cast_unsigned) != Some(token.fence)
                    || stored.as_ref() != Some(before)
                {
                    return Ok((tx.rolled_back(), false));
                }
                put_delivery(&mut tx, after).await?;
                sqlx::query(
                    "INSERT INTO attempts (delivery_id, number, body) VALUES ($1, $2, $3) \
                     ON CONFLICT (delivery_id, number) DO UPDATE SET body = excluded.body",
                )
                .bind(attempt.delivery_id)
                .bind(i64::from(attempt.number))
                .bind(Json(attempt))
                .execute(&mut *tx)
                .await?;
                tx.notify_watchers();
                Ok((tx, true))
            })
            .await
    }

    async fn attempts(&self, delivery_id: Uuid) -> Result<Vec<Attempt>> {
        let sql = "SELECT body FROM attempts WHERE delivery_id = $1 ORDER BY number";
        self.base.fetch_all(|| sqlx::query(sql).bind(delivery_id), |row| body(row)).await
    }
}

/// Stores the alert records of a change.
pub(crate) async fn put_alert_records(
    connection: &mut Link,
    alert_records: &AlertRecords,
) -> Work<()> {
    for alert in &alert_records.alerts {
        sqlx::query(
            "INSERT INTO alerts (id, metric, body) VALUES ($1, $2, $3) \
             ON CONFLICT (id) DO UPDATE SET body = excluded.body",
        )
        .bind(alert.id)
        .bind(alert.metric.as_str())
        .bind(Json(alert))
        .execute(&mut *connection)
        .await?;
    }
    for message in &alert_records.messages {
        sqlx::query(
            "INSERT INTO messages (id, fingerprint, body) VALUES ($1, $2, $3) \
             ON CONFLICT (id) DO UPDATE SET body = excluded.body",
        )
        .bind(message.id)
        .bind(&message.fingerprint)
        .bind(Json(message))
        .execute(&mut *connection)
        .await?;
    }
    for delivery in &alert_records.deliveries {
        put_delivery(connection, delivery).await?;
    }
    Ok(())
}

async fn put_delivery(connection: &mut Link, delivery: &Delivery) -> Work<()> {
    let is_pending = delivery.state == DeliveryState::Pending;
    sqlx::query(
        "INSERT INTO deliveries (id, message_id, sink, target, last_attempt_at, due, body) \
         VALUES ($1, $2, $3, $4, $5, $6, $7) \
         ON CONFLICT (id) DO UPDATE SET last_attempt_at = excluded.last_attempt_at, \
             due = excluded.due, body = excluded.body",
    )
    .bind(delivery.id)
    .bind(delivery.message_id)
    .bind(&delivery.sink)
    .bind(&delivery.target)
    .bind(delivery.last_attempt_at.map(Micros))
    .bind(delivery.next_attempt_at.filter(|_| is_pending).map(Micros))
    .bind(Json(delivery))
    .execute(connection)
    .await?;
    Ok(())
}

async fn with_deliveries(
    connection: &mut Link,
    messages: Vec<Message>,
) -> Work<Vec<MessageRecord>> {
    let ids: Vec<_> = messages.iter().map(|message| message.id).collect();
    let sql = "SELECT body FROM deliveries WHERE message_id = ANY($1) ORDER BY sink";
    let rows = sqlx::query(sql).bind(ids).fetch_all(connection).await?;
    let all: Vec<Delivery> = bodies(&rows)?;
    let of = |message: Message| {
        let deliveries = all.iter().filter(|delivery| delivery.message_id == message.id);
        MessageRecord { deliveries: deliveries.cloned().collect(), message }
    };
    Ok(messages.into_iter().map(of).collect())
}

fn bodies<T: DeserializeOwned>(rows: &[PgRow]) -> sqlx::Result<Vec<T>> {
    rows.iter().map(Cells).map(body).collect()
}
