//! From facts to a change: what an evaluation, a person's word or a replay makes true.

use jiff::Timestamp;
use jiff::civil::Date;
use serde_json::{Value, json};

use super::{Change, Context, ControlState};
use crate::alert::evaluate::{Evaluation, evaluate};
use crate::alert::lifecycle::{Transition, transitions};
use crate::alert::notify::{self, Message};
use crate::alert::{Alert, AlertItem, AlertOptions, AlertRecords, Delivery, Receiver};
use crate::event::{NewEvent, kind};
use crate::kpi::summary::Days;
use crate::{Error, Result};

/// What an evaluation is decided on.
#[derive(Debug)]
pub struct EvaluationInput<'a> {
    /// The sums of the days that count.
    pub days: &'a Days,
    /// The newest alert of each rate.
    pub newest: &'a [Alert],
    /// The day it is.
    pub today: Date,
}

/// An evaluation on its way: what it found, and the payload it would tell.
#[derive(Debug)]
pub struct AlertUpdate {
    evaluation: Evaluation,
    transition: Vec<Transition>,
    told: Vec<AlertItem>,
}

impl AlertUpdate {
    /// What the rules find.
    pub fn of(options: &AlertOptions, facts: &EvaluationInput<'_>, now: Timestamp) -> Self {
        let verdicts = evaluate(&options.rules, facts.days, facts.today);
        let transition = transitions(facts.newest, &verdicts, now);
        let evaluation = Evaluation::of(&verdicts);
        let mut alerts: Vec<_> =
            transition.iter().map(|transition| transition.after.clone()).collect();
        let is_moved = |alert: &Alert| transition.iter().any(|m| m.after.metric == alert.metric);
        alerts.extend(facts.newest.iter().filter(|alert| !is_moved(alert)).cloned());
        let told = notify::items_to_notify(&evaluation, &alerts, now);
        Self { evaluation, transition, told }
    }

    /// The fingerprint of what would be told; `None` when nothing would.
    pub fn fingerprint(&self) -> Option<String> {
        (!self.told.is_empty()).then(|| notify::fingerprint(&self.told))
    }

    /// The change it makes. `last_told` is when its payload was last told, `gone` says which
    /// receivers are no more. Empty when there is nothing new.
    pub fn change(
        &self,
        state: &ControlState,
        options: &AlertOptions,
        last_told: Option<Timestamp>,
        gone: impl Fn(&Receiver) -> bool,
        context: &Context<'_>,
    ) -> Change {
        let (now, environment) = (context.now, context.environment.as_str());
        let mut alert_records = AlertRecords::default();
        let mut tell = |message: Message| {
            for receiver in &options.receivers {
                let Receiver { sink, target } = receiver;
                let delivery = Delivery::new(message.id, sink, target, gone(receiver), now);
                alert_records.deliveries.push(delivery);
            }
            alert_records.messages.push(message);
        };
        if !options.receivers.is_empty() {
            if !self.told.is_empty() && notify::cooldown_elapsed(last_told, now, options.cooldown) {
                tell(notify::critical(&self.told, environment, now));
            }
            if options.notify_resolved {
                let ended = notify::resolved(&self.transition, &self.evaluation, environment, now);
                ended.into_iter().for_each(tell);
            }
        }
        alert_records.alerts =
            self.transition.iter().map(|transition| transition.after.clone()).collect();
        let audit = self.transition.iter().map(audited).collect();
        let events =
            self.transition.iter().filter_map(|transition| told(transition, context)).collect();
        Change::of_records(state, audit, events, alert_records, context)
    }
}

/// The change that acknowledges an alert.
///
/// # Errors
/// `Conflict` when it is resolved.
pub fn acknowledge(state: &ControlState, alert: &Alert, context: &Context<'_>) -> Result<Change> {
    let after = alert.acknowledged(context.actor, context.now)?;
    Ok(of_one(state, alert, after, context))
}

/// The change that silences an alert, or ends its silence.
///
/// # Errors
/// `Conflict` when it is resolved.
pub fn silence(
    state: &ControlState,
    alert: &Alert,
    until: Option<Timestamp>,
    context: &Context<'_>,
) -> Result<Change> {
    let after = alert.silenced(context.actor, until, context.now)?;
    Ok(of_one(state, alert, after, context))
}

/// The change that has a delivery tried again, whatever became of it.
///
/// # Errors
/// `Conflict` when it is about to be tried anyway.
pub fn replay(state: &ControlState, delivery: &Delivery, context: &Context<'_>) -> Result<Change> {
    let after = delivery.replayed(context.now);
    if after == *delivery {
        return Err(Error::conflict(format!("delivery {} is about to be tried", delivery.id)));
    }
    let row = |delivery: &Delivery| json!({ "id": delivery.id, "state": delivery.state });
    let audit = vec![(format!("DELIVERY:{}", delivery.sink), row(delivery), row(&after))];
    let alert_records = AlertRecords { deliveries: vec![after], ..AlertRecords::default() };
    Ok(Change::of_records(state, audit, Vec::new(), alert_records, context))
}

fn of_one(state: &ControlState, before: &Alert, after: Alert, context: &Context<'_>) -> Change {
    if after == *before {
        return Change::of_records(state, Vec::new(), Vec::new(), AlertRecords::default(), context);
    }
    let transition = Transition { before: Some(before.clone()), after };
    let audit = vec![audited(&transition)];
    let alert_records = AlertRecords { alerts: vec![transition.after], ..AlertRecords::default() };
    Change::of_records(state, audit, Vec::new(), alert_records, context)
}

fn audited(transition: &Transition) -> (String, Value, Value) {
    let before = transition.before.as_ref().map_or(Value::Null, Alert::audited);
    (transition.after.audit_key(), before, transition.after.audited())
}

/// The event that tells a change; only beginnings and ends are worth one.
fn told(transition: &Transition, context: &Context<'_>) -> Option<NewEvent> {
    let alert = &transition.after;
    let (event_type, text) = match (&transition.before, alert.is_open()) {
        (None, _) => (kind::KPI_ALERT_FIRED, alert.item.message.clone()),
        (Some(_), false) => {
            (kind::KPI_ALERT_RESOLVED, format!("{} is well again", alert.item.label))
        }
        (Some(_), true) => return None,
    };
    let event = NewEvent::new(event_type, text, context.now)
        .with("alert_id", alert.id.to_string())
        .with("metric", alert.metric.as_str())
        .with("severity", alert.severity.as_str());
    Some(event)
}
