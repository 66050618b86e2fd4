//! Alerts and the outbox.

use async_trait::async_trait;
use uuid::Uuid;

use super::{Data, MemoryStore, next_position, page};
use crate::Result;
use crate::alert::{Alert, AlertRecords, Attempt, Delivery, DeliveryState, Message};
use crate::store::{AlertStore, FencingToken, MessageRecord, Page};

#[async_trait]
impl AlertStore for MemoryStore {
    async fn newest_alerts(&self) -> Result<Vec<Alert>> {
        let mut newest: Vec<Alert> = Vec::new();
        for alert in &self.data().alerts {
            newest.retain(|other| other.metric != alert.metric);
            newest.push(alert.clone());
        }
        newest.sort_by_key(|alert| alert.metric.as_str());
        Ok(newest)
    }

    async fn alert(&self, id: Uuid) -> Result<Option<Alert>> {
        Ok(self.data().alerts.iter().find(|alert| alert.id == id).cloned())
    }

    async fn alerts(&self, before: Option<i64>, limit: usize) -> Result<Page<Alert>> {
        let data = self.data();
        Ok(page(with_positions(data.alerts.clone()), before, limit))
    }

    async fn last_message(&self, fingerprint: &str) -> Result<Option<MessageRecord>> {
        let data = self.data();
        let found = data.messages.iter().rev().find(|found| found.fingerprint == fingerprint);
        Ok(found.map(|message| data.message_record(message)))
    }

    async fn messages(&self, before: Option<i64>, limit: usize) -> Result<Page<MessageRecord>> {
        let data = self.data();
        let records = data.messages.iter().map(|message| data.message_record(message));
        Ok(page(with_positions(records.collect()), before, limit))
    }

    async fn delivery(&self, id: Uuid) -> Result<Option<Delivery>> {
        Ok(self.data().deliveries.iter().find(|delivery| delivery.id == id).cloned())
    }

    async fn last_attempted(&self, sink: &str, target: &str) -> Result<Option<Delivery>> {
        let data = self.data();
        let to = data.deliveries.iter().filter(|d| d.sink == sink && d.target == target);
        let attempted = to.filter(|delivery| delivery.last_attempt_at.is_some());
        Ok(attempted.max_by_key(|delivery| (delivery.last_attempt_at, delivery.id)).cloned())
    }

    async fn pending(&self, limit: usize) -> Result<Vec<(Delivery, Message)>> {
        let data = self.data();
        let is_pending = |delivery: &&Delivery| delivery.state == DeliveryState::Pending;
        let mut pending: Vec<_> = data.deliveries.iter().filter(is_pending).collect();
        pending.sort_by_key(|delivery| (delivery.next_attempt_at, delivery.id));
        let with_message = |delivery: &Delivery| {
            let message = data.messages.iter().find(|m| m.id == delivery.message_id)?;
            Some((delivery.clone(), message.clone()))
        };
        Ok(pending.into_iter().filter_map(with_message).take(limit).collect())
    }

    async fn record_attempt(
        &self,
        token: &FencingToken,
        before: &Delivery,
        after: &Delivery,
        attempt: &Attempt,
    ) -> Result<bool> {
        let mut data = self.data();
        if data.leader_leases.get(&token.lease).is_none_or(|lease| lease.fence != token.fence) {
            return Ok(false);
        }
        let Some(index) = data.deliveries.iter().position(|stored| stored == before) else {
            return Ok(false);
        };
        data.deliveries[index] = after.clone();
        data.attempts.push(attempt.clone());
        drop(data);
        self.notify_watchers();
        Ok(true)
    }

    async fn delivery_with_attempts(&self, id: Uuid) -> Result<Option<(Delivery, Vec<Attempt>)>> {
        let data = self.data();
        let Some(delivery) = data.deliveries.iter().find(|delivery| delivery.id == id) else {
            return Ok(None);
        };
        let mut of: Vec<_> =
            data.attempts.iter().filter(|attempt| attempt.delivery_id == id).cloned().collect();
        of.sort_by_key(|attempt| attempt.number);
        Ok(Some((delivery.clone(), of)))
    }
}

impl Data {
    /// Stores the alert records of a commit.
    pub(super) fn put_alert_records(&mut self, alert_records: &AlertRecords) {
        put(&mut self.alerts, &alert_records.alerts, |alert| alert.id);
        put(&mut self.messages, &alert_records.messages, |message| message.id);
        put(&mut self.deliveries, &alert_records.deliveries, |delivery| delivery.id);
    }

    fn message_record(&self, message: &Message) -> MessageRecord {
        let of = |delivery: &&Delivery| delivery.message_id == message.id;
        let mut deliveries: Vec<_> = self.deliveries.iter().filter(of).cloned().collect();
        deliveries.sort_by(|one, other| one.sink.cmp(&other.sink));
        MessageRecord { message: message.clone(), deliveries }
    }
}

/// Items with their positions, from 1.
fn with_positions<T>(items: Vec<T>) -> impl DoubleEndedIterator<Item = (i64, T)> {
    items.into_iter().enumerate().map(|(before, item)| (next_position(before), item))
}

fn put<T: Clone>(kept: &mut Vec<T>, new: &[T], id: impl Fn(&T) -> Uuid) {
    for item in new {
        match kept.iter_mut().find(|kept| id(kept) == id(item)) {
            Some(kept) => *kept = item.clone(),
            None => kept.push(item.clone()),
        }
    }
}
