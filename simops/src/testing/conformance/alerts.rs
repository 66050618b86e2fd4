//! Alerts, messages and deliveries.

use std::sync::Arc;

use serde_json::json;
use uuid::Uuid;

use super::joined;
use super::samples::{at, commit, day};
use crate::Result;
use crate::alert::{
    Alert, AlertItem, AlertRecords, AlertState, Delivery, DeliveryState, Message, Outcome, Reason,
    Severity,
};
use crate::kpi::Interval;
use crate::kpi::rollup::Rate;
use crate::store::{FencingToken, LeaderLease, RunStore};

fn alert(metric: Rate, seconds: i64) -> Alert {
    let item = AlertItem {
        metric,
        label: "Landing -> Run CTR".to_owned(),
        severity: Severity::Critical,
        message: "it is low".to_owned(),
        day_key: day(),
        partial: true,
        latest_value: 0.1 + 0.2,
        interval: Some(Interval { low: 0.1, high: 0.7 }),
        seven_day_avg_value: None,
        drop_ratio: Some(1.0 / 3.0),
        sample_field: "landing_view_visitors".to_owned(),
        sample_size: 41,
        minimum_sample_size: 40,
        reasons: vec![Reason::BelowCriticalFloor, Reason::DropVs7dWarning],
    };
    Alert {
        id: Uuid::now_v7(),
        metric,
        state: AlertState::Firing,
        severity: Severity::Critical,
        item,
        fired_at: at(seconds),
        changed_at: at(seconds),
        acknowledged_by: None,
        acknowledged_at: None,
        silenced_until: Some(at(90)),
        silenced_by: Some("ada".to_owned()),
        resolved_at: None,
    }
}

fn message(fingerprint: &str, seconds: i64) -> Message {
    Message {
        id: Uuid::now_v7(),
        kind: "kpi.alert.critical".to_owned(),
        fingerprint: fingerprint.to_owned(),
        created_at: at(seconds),
        text: "it is \u{1f4c9}".to_owned(),
        data: json!({ "counts": { "critical": 1 }, "share": 0.1 }),
    }
}

async fn save(store: &dyn RunStore, alert_records: AlertRecords) -> Result<()> {
    commit(store, |change| change.alert_records = alert_records).await.map(drop)
}

async fn acquire_lease(store: &dyn RunStore, fence: u64) -> Result<FencingToken> {
    let seen = store.leader_lease("timers").await?;
    let holder = Some(Uuid::now_v7());
    let next = LeaderLease { name: "timers".to_owned(), holder, fence, renewals: 0 };
    assert!(store.replace_leader_lease(seen.as_ref(), &next).await?);
    Ok(next.fencing_token())
}

/// An alert is stored by its commit and keeps its position; the newest alert of each rate is found.
pub async fn alerts_are_stored_with_their_commit(store: Arc<dyn RunStore>) -> Result<()> {
    let first = alert(Rate::LandingToRunCtr, 0);
    let others = [alert(Rate::D1RetentionRate, 1), alert(Rate::LandingToRunCtr, 2)];
    save(&*store, AlertRecords { alerts: vec![first.clone()], ..AlertRecords::default() }).await?;
    save(&*store, AlertRecords { alerts: others.to_vec(), ..AlertRecords::default() }).await?;
    assert_eq!(store.newest_alerts().await?, others);
    let state = AlertState::Resolved;
    let resolved = Alert { state, resolved_at: Some(at(9)), ..first.clone() };
    save(&*store, AlertRecords { alerts: vec![resolved.clone()], ..AlertRecords::default() })
        .await?;
    assert_eq!(store.alert(first.id).await?, Some(resolved.clone()));
    assert_eq!(store.alert(Uuid::now_v7()).await?, None);
    let [second, third] = others;
    let page = store.alerts(None, 2).await?;
    assert_eq!(page.items, [third, second]);
    let rest = store.alerts(page.next, 2).await?;
    assert_eq!((rest.items, rest.next), (vec![resolved], None));
    Ok(())
}

/// Of several commits on one generation one succeeds, and only its alerts and messages are stored.
pub async fn a_conflicting_commit_stores_no_alerts(store: Arc<dyn RunStore>) -> Result<()> {
    let state = store.load().await?;
    let mut rivals = Vec::new();
    for number in 0..6 {
        let message = message("fingerprint", number);
        let delivery = Delivery::new(message.id, "log", "", false, at(0));
        let mut change = super::samples::change(&state);
        change.alert_records = AlertRecords {
            alerts: vec![alert(Rate::LandingToRunCtr, number)],
            messages: vec![message],
            deliveries: vec![delivery],
        };
        let store = Arc::clone(&store);
        rivals.push(tokio::spawn(async move { store.commit(&change, None).await }));
    }
    for rival in rivals {
        joined(rival).await??;
    }
    assert_eq!(store.alerts(None, 9).await?.items.len(), 1);
    assert_eq!(store.messages(None, 9).await?.items.len(), 1);
    assert_eq!(store.pending(9).await?.len(), 1);
    Ok(())
}

/// Messages are listed newest first with their deliveries, and found by fingerprint.
pub async fn messages_are_listed_with_their_deliveries(store: Arc<dyn RunStore>) -> Result<()> {
    let messages = [message("one", 0), message("two", 1), message("one", 2)];
    for message in &messages {
        let deliveries = ["webhook", "log"]
            .map(|sink| Delivery::new(message.id, sink, "target", false, at(0)))
            .to_vec();
        let messages = vec![message.clone()];
        save(&*store, AlertRecords { messages, deliveries, ..AlertRecords::default() }).await?;
    }
    let page = store.messages(None, 2).await?;
    let listed: Vec<_> = page.items.iter().map(|record| &record.message).collect();
    assert_eq!(listed, [&messages[2], &messages[1]]);
    let sinks: Vec<_> = page.items[0].deliveries.iter().map(|d| d.sink.as_str()).collect();
    assert_eq!(sinks, ["log", "webhook"]);
    assert_eq!(store.messages(page.next, 2).await?.items.len(), 1);
    let last = store.last_message("one").await?;
    assert_eq!(last.map(|record| record.message), Some(messages[2].clone()));
    assert_eq!(store.last_message("three").await?, None);
    Ok(())
}

/// Pending deliveries are listed in the order in which they are due. An attempt is recorded unless the
/// delivery changed or the leader lease has another holder.
pub async fn attempts_are_recorded_only_by_the_lease_holder(
    store: Arc<dyn RunStore>,
) -> Result<()> {
    let message = message("one", 0);
    let later = Delivery::new(message.id, "webhook", "w", false, at(5));
    let soon = Delivery::new(message.id, "log", "l", false, at(1));
    let gone = Delivery::new(message.id, "slack", "s", true, at(0));
    let deliveries = vec![later.clone(), soon.clone(), gone.clone()];
    let messages = vec![message.clone()];
    save(&*store, AlertRecords { messages, deliveries, ..AlertRecords::default() }).await?;
    let pending = store.pending(9).await?;
    assert_eq!(pending, [(soon.clone(), message.clone()), (later.clone(), message.clone())]);
    assert_eq!(store.pending(1).await?.len(), 1);
    assert_eq!(store.last_attempted("log", "l").await?, None);

    let former = acquire_lease(&*store, 1).await?;
    let token = acquire_lease(&*store, 2).await?;
    let (after, attempt) = soon.after(at(6), at(7), &Outcome::Accepted(Some(204)), 0.5);
    assert!(!store.record_attempt(&former, &soon, &after, &attempt).await?);
    assert!(store.record_attempt(&token, &soon, &after, &attempt).await?);
    assert!(!store.record_attempt(&token, &soon, &after, &attempt).await?);
    assert_eq!(store.delivery(soon.id).await?, Some(after.clone()));
    assert_eq!(after.state, DeliveryState::Delivered);
    let shown = store.delivery_with_attempts(soon.id).await?;
    assert_eq!(shown, Some((after.clone(), vec![attempt])));
    assert_eq!(store.last_attempted("log", "l").await?, Some(after));

    let refused = Outcome::Refused { status: 503, retry_after: None };
    let (after, attempt) = later.after(at(8), at(9), &refused, 0.5);
    assert!(store.record_attempt(&token, &later, &after, &attempt).await?);
    assert_eq!(store.pending(9).await?, [(after.clone(), message.clone())]);
    let (gone, attempt) =
        after.after(at(20), at(21), &Outcome::Refused { status: 410, retry_after: None }, 0.5);
    assert!(store.record_attempt(&token, &after, &gone, &attempt).await?);
    assert_eq!(store.pending(9).await?, []);
    let shown = store.delivery_with_attempts(later.id).await?;
    assert!(shown.is_some_and(|(delivery, attempts)| delivery == gone && attempts.len() == 2));
    assert_eq!(store.delivery_with_attempts(message.id).await?, None);
    // A replay is stored by a commit.
    let replayed = gone.replayed(at(30));
    save(&*store, AlertRecords { deliveries: vec![replayed.clone()], ..AlertRecords::default() })
        .await?;
    assert_eq!(store.pending(9).await?[0].0, replayed);
    Ok(())
}

/// A delivery is shown with all of its attempts while more are recorded.
pub async fn a_delivery_and_its_attempts_are_of_one_moment(store: Arc<dyn RunStore>) -> Result<()> {
    let message = message("one", 0);
    let mut delivery = Delivery::new(message.id, "webhook", "w", false, at(0));
    let id = delivery.id;
    let deliveries = vec![delivery.clone()];
    save(&*store, AlertRecords { messages: vec![message], deliveries, ..AlertRecords::default() })
        .await?;
    let token = acquire_lease(&*store, 1).await?;
    let writer = Arc::clone(&store);
    let writing = tokio::spawn(async move {
        for second in 1..100 {
            let refused = Outcome::Refused { status: 503, retry_after: None };
            let (after, attempt) = delivery.after(at(second), at(second), &refused, 0.5);
            assert!(writer.record_attempt(&token, &delivery, &after, &attempt).await?);
            delivery = after;
        }
        Ok::<_, crate::Error>(())
    });
    while !writing.is_finished() {
        let shown = store.delivery_with_attempts(id).await?;
        let numbers = shown.map(|(delivery, attempts)| (delivery.attempts, attempts.len()));
        assert!(numbers.is_some_and(|(number, all)| number as usize == all), "{numbers:?}");
        tokio::task::yield_now().await;
    }
    writing.await.map_err(|error| crate::Error::internal(error.to_string()))?
}

/// Recording an attempt moves the watch.
pub async fn an_attempt_moves_the_watch(store: Arc<dyn RunStore>) -> Result<()> {
    let message = message("one", 0);
    let delivery = Delivery::new(message.id, "log", "", false, at(0));
    let (messages, deliveries) = (vec![message], vec![delivery.clone()]);
    save(&*store, AlertRecords { messages, deliveries, ..AlertRecords::default() }).await?;
    let token = acquire_lease(&*store, 1).await?;
    let mut watch = store.watch();
    watch.mark_unchanged();
    let (after, attempt) = delivery.after(at(1), at(2), &Outcome::Accepted(None), 0.5);
    assert!(store.record_attempt(&token, &delivery, &after, &attempt).await?);
    let limit = std::time::Duration::from_secs(5);
    let moved = tokio::time::timeout(limit, watch.changed()).await;
    assert!(matches!(moved, Ok(Ok(()))));
    Ok(())
}
