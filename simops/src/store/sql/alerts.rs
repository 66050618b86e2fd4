//! Alerts and the outbox of messages. What is found by other columns than its id is stored whole, as
//! JSON in the column `body`.

use async_trait::async_trait;
use uuid::Uuid;

use super::row::read_by;
use super::{SqlOperation, SqlStore, SqlTx, Statement, count, one_more, page, upsert};
use crate::Result;
use crate::alert::{Alert, AlertRecords, Attempt, Delivery, DeliveryState, Message};
use crate::store::{AlertStore, FencingToken, MessageRecord, Page};

read_by! { json: Alert, Attempt, Delivery, Message; }

#[async_trait]
impl<S: SqlStore> AlertStore for S {
    async fn newest_alerts(&self) -> Result<Vec<Alert>> {
        self.fetch_all(Statement::new(
            "SELECT body FROM alerts \
             WHERE place IN (SELECT max(place) FROM alerts GROUP BY metric) ORDER BY metric",
        ))
        .await
    }

    async fn alert(&self, id: Uuid) -> Result<Option<Alert>> {
        self.fetch_optional(Statement::new("SELECT body FROM alerts WHERE id = $1").bind(id)).await
    }

    async fn alerts(&self, before: Option<i64>, limit: usize) -> Result<Page<Alert>> {
        let sql = "SELECT place, body FROM alerts WHERE place < $1 ORDER BY place DESC LIMIT $2";
        let alerts = Statement::new(sql).bind(before.unwrap_or(i64::MAX)).bind(one_more(limit));
        Ok(page(self.fetch_all(alerts).await?, limit))
    }

    async fn last_message(&self, fingerprint: &str) -> Result<Option<MessageRecord>> {
        let sql = with_deliveries("fingerprint = $1 ORDER BY place DESC LIMIT 1");
        let rows = self.fetch_all(Statement::new(sql).bind(fingerprint)).await?;
        Ok(records(rows).pop().map(|(_, record)| record))
    }

    async fn messages(&self, before: Option<i64>, limit: usize) -> Result<Page<MessageRecord>> {
        let sql = with_deliveries("place < $1 ORDER BY place DESC LIMIT $2");
        let messages = Statement::new(sql).bind(before.unwrap_or(i64::MAX)).bind(one_more(limit));
        Ok(page(records(self.fetch_all(messages).await?), limit))
    }

    async fn delivery(&self, id: Uuid) -> Result<Option<Delivery>> {
        self.fetch_optional(delivery_of(id)).await
    }

    async fn last_attempted(&self, sink: &str, target: &str) -> Result<Option<Delivery>> {
        let sql = "SELECT body FROM deliveries \
                   WHERE sink = $1 AND target = $2 AND last_attempt_at IS NOT NULL \
                   ORDER BY last_attempt_at DESC, id DESC LIMIT 1";
        self.fetch_optional(Statement::new(sql).bind(sink).bind(target)).await
    }

    async fn pending(&self, limit: usize) -> Result<Vec<(Delivery, Message)>> {
        let sql = "SELECT deliveries.body, messages.body FROM deliveries \
                   JOIN messages ON messages.id = deliveries.message_id \
                   WHERE due IS NOT NULL ORDER BY due, deliveries.id LIMIT $1";
        self.fetch_all(Statement::new(sql).bind(count(limit))).await
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
        self.write(RecordAttempt { token, before, after, attempt }).await
    }

    async fn delivery_with_attempts(&self, id: Uuid) -> Result<Option<(Delivery, Vec<Attempt>)>> {
        self.read(DeliveryWithAttempts { id }).await
    }
}

struct DeliveryWithAttempts {
    id: Uuid,
}

impl SqlOperation for DeliveryWithAttempts {
    type Output = Option<(Delivery, Vec<Attempt>)>;

    async fn run<T: SqlTx>(&self, tx: &mut T) -> Result<Self::Output, T::Error> {
        let Some(delivery) = tx.fetch_optional(&delivery_of(self.id)).await? else {
            return Ok(None);
        };
        let attempts = "SELECT body FROM attempts WHERE delivery_id = $1 ORDER BY number";
        Ok(Some((delivery, tx.fetch_all(&Statement::new(attempts).bind(self.id)).await?)))
    }
}

fn delivery_of(id: Uuid) -> Statement {
    Statement::new("SELECT body FROM deliveries WHERE id = $1").bind(id)
}

struct RecordAttempt {
    token: FencingToken,
    before: Delivery,
    after: Delivery,
    attempt: Attempt,
}

impl SqlOperation for RecordAttempt {
    type Output = bool;

    async fn run<T: SqlTx>(&self, tx: &mut T) -> Result<bool, T::Error> {
        // Locks both rows until this is durable.
        let held = format!("SELECT fence FROM duties WHERE duty = $1{}", T::FOR_SHARE);
        let fence: Option<i64> =
            tx.fetch_optional(&Statement::new(held).bind(&self.token.lease)).await?;
        let stored = format!("SELECT body FROM deliveries WHERE id = $1{}", T::FOR_UPDATE);
        let stored = tx.fetch_optional(&Statement::new(stored).bind(self.before.id)).await?;
        if fence.map(i64::cast_unsigned) != Some(self.token.fence)
            || stored.as_ref() != Some(&self.before)
        {
            tx.roll_back();
            return Ok(false);
        }
        tx.execute(&put_delivery(&self.after)).await?;
        let attempt = upsert("attempts", "delivery_id, number", "delivery_id, number, body");
        let attempt = Statement::new(attempt)
            .bind(self.attempt.delivery_id)
            .bind(self.attempt.number)
            .bind_json(&self.attempt);
        tx.execute(&attempt).await?;
        tx.notify_watchers();
        Ok(true)
    }
}

/// The statements that store the alert records of a change.
pub(super) fn put_alert_records(records: &AlertRecords) -> Vec<Statement> {
    let alerts = records.alerts.iter().map(|alert| {
        Statement::new(upsert("alerts", "id", "id, metric, body"))
            .bind(alert.id)
            .bind(alert.metric.as_str())
            .bind_json(alert)
    });
    let messages = records.messages.iter().map(|message| {
        Statement::new(upsert("messages", "id", "id, fingerprint, body"))
            .bind(message.id)
            .bind(&message.fingerprint)
            .bind_json(message)
    });
    alerts.chain(messages).chain(records.deliveries.iter().map(put_delivery)).collect()
}

fn put_delivery(delivery: &Delivery) -> Statement {
    let is_pending = delivery.state == DeliveryState::Pending;
    let columns = "id, message_id, sink, target, last_attempt_at, due, body";
    Statement::new(upsert("deliveries", "id", columns))
        .bind(delivery.id)
        .bind(delivery.message_id)
        .bind(&delivery.sink)
        .bind(&delivery.target)
        .bind(delivery.last_attempt_at)
        .bind(delivery.next_attempt_at.filter(|_| is_pending))
        .bind_json(delivery)
}

/// The query of some messages, newest first, each in a row per delivery.
fn with_deliveries(which: &str) -> String {
    format!(
        "SELECT found.place, found.body, deliveries.body \
         FROM (SELECT place, id, body FROM messages WHERE {which}) AS found \
         LEFT JOIN deliveries ON deliveries.message_id = found.id \
         ORDER BY found.place DESC, deliveries.sink"
    )
}

/// The messages of [`with_deliveries`], with their places.
fn records(rows: Vec<(i64, Message, Option<Delivery>)>) -> Vec<(i64, MessageRecord)> {
    let mut records: Vec<(i64, MessageRecord)> = Vec::new();
    for (place, message, delivery) in rows {
        match records.last_mut() {
            Some((last, record)) if *last == place => record.deliveries.extend(delivery),
            _ => {
                let deliveries = delivery.into_iter().collect();
                records.push((place, MessageRecord { message, deliveries }));
            }
        }
    }
    records
}
