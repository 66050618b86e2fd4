//! Computes the change that an evaluation, an operator's action on an alert or a replay makes.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Change, Context, ControlState};
use crate::alert::evaluate::{Evaluation, evaluate};
use crate::alert::lifecycle::{Transition, transitions};
use crate::alert::notify::{self, History, Message};
use crate::alert::{Alert, AlertItem, AlertOptions, AlertRecords, Delivery, Receiver, fingerprint};
use crate::clock::day_of;
use crate::event::{NewEvent, kind};
use crate::kpi::summary::Days;
use crate::{Error, Result};

/// An evaluation, the alert transitions it causes and the items to notify receivers of.
#[derive(Debug)]
pub(crate) struct AlertUpdate {
    evaluation: Evaluation,
    transitions: Vec<Transition>,
    /// The latest alert of each rate after them.
    alerts: Vec<Alert>,
    items: Vec<AlertItem>,
}

impl AlertUpdate {
    /// Evaluates the rules: `days` are the sums of the days to evaluate, `newest` is the latest alert
    /// of each rate.
    pub(crate) fn of(
        options: &AlertOptions,
        days: &Days,
        newest: &[Alert],
        now: Timestamp,
    ) -> Self {
        let verdicts = evaluate(&options.rules, days, day_of(now));
        let transitions = transitions(newest, &verdicts, now);
        let evaluation = Evaluation::of(&verdicts);
        let mut alerts: Vec<_> = transitions.iter().map(|change| change.after.clone()).collect();
        let has_changed =
            |alert: &Alert| transitions.iter().any(|change| change.after.metric == alert.metric);
        alerts.extend(newest.iter().filter(|alert| !has_changed(alert)).cloned());
        let items = notify::items_to_notify(&evaluation, &alerts, now);
        Self { evaluation, transitions, alerts, items }
    }

    /// The fingerprint of the message to send; `None` if there is nothing to send.
    pub(crate) fn fingerprint(&self) -> Option<String> {
        (!self.items.is_empty()).then(|| fingerprint(&self.items))
    }

    /// The resulting change: alerts, messages with their deliveries, audit rows and events. Empty
    /// if nothing changed. `is_gone` returns whether a receiver has answered 410 Gone.
    pub(crate) fn change(
        &self,
        state: &ControlState,
        options: &AlertOptions,
        history: &History,
        is_gone: impl Fn(&Receiver) -> bool,
        context: &Context<'_>,
    ) -> Change {
        let (now, environment) = (context.now, context.environment.as_str());
        let mut alert_records = AlertRecords::default();
        let mut send = |message: Message| {
            for receiver in &options.receivers {
                let Receiver { sink, target } = receiver;
                let delivery = Delivery::new(message.id, sink, target, is_gone(receiver), now);
                alert_records.deliveries.push(delivery);
            }
            alert_records.messages.push(message);
        };
        if !options.receivers.is_empty() && history.allows_message(now) {
            let elapsed = notify::cooldown_elapsed(history.last_sent, now, options.cooldown);
            if !self.items.is_empty() && elapsed {
                send(notify::critical(&self.items, history, environment, now));
            } else if options.notify_resolved {
                let (alerts, evaluation) = (&self.alerts, &self.evaluation);
                let resolved = notify::resolved(alerts, history, evaluation, environment, now);
                resolved.into_iter().for_each(send);
            }
        }
        alert_records.alerts = self.transitions.iter().map(|change| change.after.clone()).collect();
        let audit = self.transitions.iter().map(audit_row).collect();
        let events =
            self.transitions.iter().filter_map(|change| event_of(change, context)).collect();
        Change::of_records(state, audit, events, alert_records, context)
    }
}

/// The change that schedules a delivery again, in any state.
///
/// # Errors
/// Returns `Conflict` if the delivery is already due.
pub(crate) fn replay(
    state: &ControlState,
    delivery: &Delivery,
    context: &Context<'_>,
) -> Result<Change> {
    let after = delivery.replayed(context.now);
    if after == *delivery {
        return Err(Error::conflict(format!("delivery {} is already due", delivery.id)));
    }
    let row = |delivery: &Delivery| json!({ "id": delivery.id, "state": delivery.state });
    let audit = vec![(format!("DELIVERY:{}", delivery.sink), row(delivery), row(&after))];
    let alert_records = AlertRecords { deliveries: vec![after], ..AlertRecords::default() };
    Ok(Change::of_records(state, audit, Vec::new(), alert_records, context))
}

/// The change of an alert from `before` to `after`.
pub(crate) fn change_of_alert(
    state: &ControlState,
    before: &Alert,
    after: Alert,
    context: &Context<'_>,
) -> Change {
    if after == *before {
        return Change::none(state, context);
    }
    let transition = Transition { before: Some(before.clone()), after };
    let audit = vec![audit_row(&transition)];
    let alert_records = AlertRecords { alerts: vec![transition.after], ..AlertRecords::default() };
    Change::of_records(state, audit, Vec::new(), alert_records, context)
}

fn audit_row(transition: &Transition) -> (String, Value, Value) {
    let before = transition.before.as_ref().map_or(Value::Null, Alert::audited);
    (transition.after.audit_key(), before, transition.after.audited())
}

/// The event for a transition; only a new or a resolved alert has one.
fn event_of(transition: &Transition, context: &Context<'_>) -> Option<NewEvent> {
    let alert = &transition.after;
    let (event_type, text) = match (&transition.before, alert.is_open()) {
        (None, _) => (kind::KPI_ALERT_FIRED, alert.item.message.clone()),
        (Some(_), false) => (
            kind::KPI_ALERT_RESOLVED,
            format!("{} is within its thresholds again", alert.item.label),
        ),
        (Some(_), true) => return None,
    };
    let event = NewEvent::new(event_type, text, context.now)
        .with("alert_id", alert.id.to_string())
        .with("metric", alert.metric.as_str())
        .with("severity", alert.severity.as_str());
    Some(event)
}
