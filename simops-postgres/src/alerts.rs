//! Alerts and the outbox.

use async_trait::async_trait;
use serde::de::DeserializeOwned;
use simops::Result;
use simops::alert::{Alert, AlertRecords, Attempt, Delivery, DeliveryState, Message};
use simops::store::{AlertStore, FencingToken, MessageRecord, Page};
use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use crate::PostgresStore;
use crate::codec::{Json, Micros, count, one_more};
use crate::error::Work;
use crate::link::Link;

#[async_trait]
impl AlertStore for PostgresStore {
    async fn newest_alerts(&self) -> Result<Vec<Alert>> {
        self.base
            .look(|mut connection| async move {
                let sql = "SELECT DISTINCT ON (metric) body FROM alerts \
                           ORDER BY metric, place DESC";
                let rows = sqlx::query(sql).fetch_all(&mut *connection).await?;
                Ok((connection, bodies(&rows)?))
            })
            .await
    }

    async fn alert(&self, id: Uuid) -> Result<Option<Alert>> {
        self.base
            .look(|mut connection| async move {
                let row = sqlx::query("SELECT body FROM alerts WHERE id = $1").bind(id);
                let row = row.fetch_optional(&mut *connection).await?;
                Ok((connection, row.as_ref().map(body).transpose()?))
            })
            .await
    }

    async fn alerts(&self, before: Option<i64>, limit: usize) -> Result<Page<Alert>> {
        self.base
            .look(|mut connection| async move {
                let sql =
                    "SELECT body, place FROM alerts WHERE place < $1 ORDER BY place DESC LIMIT $2";
                let rows = sqlx::query(sql).bind(before.unwrap_or(i64::MAX)).bind(one_more(limit));
                let rows = rows.fetch_all(&mut *connection).await?;
                Ok((connection, page(&rows, limit)?))
            })
            .await
    }

    async fn last_message(&self, fingerprint: &str) -> Result<Option<MessageRecord>> {
        self.base
            .read(|mut connection| async move {
                let sql = "SELECT body FROM messages WHERE fingerprint = $1 \
                           ORDER BY place DESC LIMIT 1";
                let row = sqlx::query(sql).bind(fingerprint);
                let row = row.fetch_optional(&mut *connection).await?;
                let message = row.as_ref().map(body::<Message>).transpose()?;
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
                let Page { items, next } = page(&rows, limit)?;
                let items = with_deliveries(&mut connection, items).await?;
                Ok((connection, Page { items, next }))
            })
            .await
    }

    async fn delivery(&self, id: Uuid) -> Result<Option<Delivery>> {
        self.base
            .look(|mut connection| async move {
                let row = sqlx::query("SELECT body FROM deliveries WHERE id = $1").bind(id);
                let row = row.fetch_optional(&mut *connection).await?;
                Ok((connection, row.as_ref().map(body).transpose()?))
            })
            .await
    }

    async fn last_attempted(&self, sink: &str, target: &str) -> Result<Option<Delivery>> {
        self.base
            .look(|mut connection| async move {
                let sql = "SELECT body FROM deliveries \
                           WHERE sink = $1 AND target = $2 AND last_attempt_at IS NOT NULL \
                           ORDER BY last_attempt_at DESC, id DESC LIMIT 1";
                let row = sqlx::query(sql).bind(sink).bind(target);
                let row = row.fetch_optional(&mut *connection).await?;
                Ok((connection, row.as_ref().map(body).transpose()?))
            })
            .await
    }

    async fn pending(&self, limit: usize) -> Result<Vec<(Delivery, Message)>> {
        self.base
            .look(|mut connection| async move {
                let sql = "SELECT deliveries.body, messages.body FROM deliveries \
                           JOIN messages ON messages.id = deliveries.message_id \
                           WHERE due IS NOT NULL ORDER BY due, deliveries.id LIMIT $1";
                let rows = sqlx::query(sql).bind(count(limit)).fetch_all(&mut *connection).await?;
                let both = |row: &PgRow| {
                    Ok((row.try_get::<Json<_>, _>(0)?.0, row.try_get::<Json<_>, _>(1)?.0))
                };
                let pending = rows.iter().map(both).collect::<sqlx::Result<_>>()?;
                Ok((connection, pending))
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
        self.base
            .write(|mut tx| async move {
                // Both rows stay as they are until this is durable.
                let held = sqlx::query("SELECT fence FROM duties WHERE duty = $1 FOR SHARE");
                let held = held.bind(&token.lease).fetch_optional(&mut *tx).await?;
                let fence = held.map(|row| row.try_get::<i64, _>(0)).transpose()?;
                let stored = sqlx::query("SELECT body FROM deliveries WHERE id = $1 FOR UPDATE");
                let stored = stored.bind(before.id).fetch_optional(&mut *tx).await?;
                let stored: Option<Delivery> = stored.as_ref().map(body).transpose()?;
                if fence.map(i64::cast_unsigned) != Some(token.fence)
                    || stored.as_ref() != Some(before)
                {
                    return Ok((tx.undone(), false));
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
                tx.tell_watchers();
                Ok((tx, true))
            })
            .await
    }

    async fn attempts(&self, delivery_id: Uuid) -> Result<Vec<Attempt>> {
        self.base
            .look(|mut connection| async move {
                let sql = "SELECT body FROM attempts WHERE delivery_id = $1 ORDER BY number";
                let rows = sqlx::query(sql).bind(delivery_id).fetch_all(&mut *connection).await?;
                Ok((connection, bodies(&rows)?))
            })
            .await
    }
}

/// Keeps what a change brings along.
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

fn body<T: DeserializeOwned>(row: &PgRow) -> sqlx::Result<T> {
    Ok(row.try_get::<Json<T>, _>(0)?.0)
}

fn bodies<T: DeserializeOwned>(rows: &[PgRow]) -> sqlx::Result<Vec<T>> {
    rows.iter().map(body).collect()
}

fn page<T: DeserializeOwned>(rows: &[PgRow], limit: usize) -> sqlx::Result<Page<T>> {
    let placed = |row| Ok((body(row)?, PgRow::try_get::<i64, _>(row, 1)?));
    let found = rows.iter().map(placed).collect::<sqlx::Result<_>>()?;
    let cut = Page::cut(found, limit, |(_, place)| *place);
    Ok(Page { items: cut.items.into_iter().map(|(item, _)| item).collect(), next: cut.next })
}
