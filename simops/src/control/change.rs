//! A decided change: the next state, and everything that is stored in the same transaction.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{AuditRow, ControlState, Environment};
use crate::alert::AlertRecords;
use crate::digest::{Digest, DigestStatus};
use crate::event::{NewEvent, kind};
use crate::run::RunRecord;
use crate::settings::{Effective, Registry, key};

/// The audit key of the production mark.
pub(super) const PRODUCTION_MARK: &str = "PRODUCTION_MARK";
/// The audit key of a change of world.
pub(super) const WORLD_EPOCH: &str = "WORLD_EPOCH";
/// The audit key of a change of a digest's status, before its name.
pub(super) const DIGEST: &str = "DIGEST:";

/// Actor, time, environment and reason of a command.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The settings known.
    pub registry: &'a Registry,
    /// The environment whose rules apply.
    pub environment: Environment,
    /// The actor.
    pub actor: &'a str,
    /// The reason, if one was given.
    pub reason: Option<&'a str>,
    /// The time of the decision.
    pub now: Timestamp,
}

/// What one commit stores.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The generation it was decided on; on any other the commit is a conflict.
    pub expected_generation: u64,
    /// The state after it.
    pub next: ControlState,
    /// The registry row to insert or replace, if it changed.
    pub run: Option<RunRecord>,
    /// The digest to insert or replace by its name, if one changed.
    pub digest: Option<Digest>,
    /// The audit rows, chained.
    pub audit: Vec<AuditRow>,
    /// The events that record it.
    pub events: Vec<NewEvent>,
    /// Alerts and messages that are stored with it.
    pub alert_records: AlertRecords,
}

impl Change {
    /// A change that leaves the state as it is and stores records with their audit rows, each a key
    /// with the value before and after. Empty when there is nothing to store.
    pub fn of_records(
        before: &ControlState,
        values: Vec<(String, Value, Value)>,
        events: Vec<NewEvent>,
        alert_records: AlertRecords,
        context: &Context<'_>,
    ) -> Self {
        let mut next = before.clone();
        if !values.is_empty() || !alert_records.is_empty() {
            next.generation += 1;
        }
        let audit = chain(&mut next, values, context);
        let expected_generation = before.generation;
        Self { expected_generation, next, run: None, digest: None, audit, events, alert_records }
    }

    /// A change that stores nothing.
    pub(super) fn none(before: &ControlState, context: &Context<'_>) -> Self {
        Self::of_records(before, Vec::new(), Vec::new(), AlertRecords::default(), context)
    }

    /// Whether the state already is as requested: then nothing is stored.
    pub fn is_empty(&self) -> bool {
        self.next.generation == self.expected_generation
    }
}

/// Builds a change while it is decided.
pub(super) struct ChangeBuilder<'a> {
    before: &'a ControlState,
    context: &'a Context<'a>,
    /// The state after the change.
    pub(super) next: ControlState,
    run: Option<RunRecord>,
    digest: Option<(Option<DigestStatus>, Digest)>,
    events: Vec<NewEvent>,
}

impl<'a> ChangeBuilder<'a> {
    pub(super) fn new(before: &'a ControlState, context: &'a Context<'a>) -> Self {
        Self { before, context, next: before.clone(), run: None, digest: None, events: Vec::new() }
    }

    /// Sets a setting. A value that is already in force stays as it is, default or override.
    pub(super) fn set(&mut self, key: &str, value: impl Into<Value>) {
        let value = value.into();
        if *self.next.effective(self.context.registry).get(key) != value {
            self.next.overrides.insert(key.to_owned(), value);
        }
    }

    /// Sets a setting to its default.
    pub(super) fn set_default(&mut self, key: &str) {
        if let Some(spec) = self.context.registry.get(key) {
            self.set(key, spec.default.clone());
        }
    }

    /// Makes `run` the current one and stores its row.
    pub(super) fn put_run(&mut self, run: RunRecord) {
        self.next.run = Some(run.clone());
        self.run = Some(run);
    }

    /// Reopens a run that a guardrail ended; the event records when and why it had ended.
    pub(super) fn reopen(&mut self, state: &ControlState) {
        let Some(run) = &state.run else { return };
        let previous = json!({ "ended_at": run.ended_at, "end_reason": run.end_reason });
        self.set(key::ACTIVE, true);
        self.put_run(run.reopened());
        let text = format!("Run {} was resumed after a guardrail had stopped it", run.run_id);
        self.record_with(kind::RUN_RESUMED, text, "previous_end", previous);
    }

    /// Stores a digest whose status was `before`, or that is new.
    pub(super) fn put_digest(&mut self, before: Option<DigestStatus>, digest: Digest) {
        self.digest = Some((before, digest));
    }

    /// Clears the current run; the registry keeps the row.
    pub(super) fn detach_run(&mut self) {
        self.next.run = None;
        self.set(key::RUN_ID, "");
        self.set_default(key::CONDITION_NAME);
        self.set_default(key::SEASON_NUMBER);
    }

    /// Adds an event of `event_type` in the current run, with the actor and the reason.
    pub(super) fn record(&mut self, event_type: &str, description: impl Into<String>) {
        self.events.push(self.event(event_type, description));
    }

    /// The same with a detail.
    pub(super) fn record_with(
        &mut self,
        event_type: &str,
        description: impl Into<String>,
        key: &str,
        detail: impl Into<Value>,
    ) {
        self.events.push(self.event(event_type, description).with(key, detail));
    }

    /// The event that [`ChangeBuilder::record`] adds.
    pub(super) fn event(&self, event_type: &str, description: impl Into<String>) -> NewEvent {
        let run = self.next.run.as_ref().or(self.before.run.as_ref());
        NewEvent::new(event_type, description, self.context.now)
            .in_run(run.map(|run| run.run_id.as_str()))
            .with("actor", self.context.actor)
            .with("reason", self.context.reason)
    }

    pub(super) fn add_event(&mut self, event: NewEvent) {
        self.events.push(event);
    }

    /// The settings that change: name, old value, new value.
    pub(super) fn changed(&self) -> Vec<(String, Value, Value)> {
        let old = self.before.effective(self.context.registry);
        let new = self.next.effective(self.context.registry);
        changed_values(&old, &new)
    }

    /// The finished change: audit rows chained, generation advanced. Without a difference it is empty
    /// and its events are dropped.
    pub(super) fn finish(mut self) -> Change {
        let (before, next) = (self.before, &self.next);
        let marks = [
            (WORLD_EPOCH, before.world_epoch.into(), next.world_epoch.into()),
            (PRODUCTION_MARK, before.production_mark.into(), next.production_mark.into()),
        ];
        let moved = marks.into_iter().filter(|(_, old, new): &(&str, Value, Value)| old != new);
        let mut values = self.changed();
        values.extend(moved.map(|(key, old, new)| (key.to_owned(), old, new)));
        if let Some((before, digest)) = &self.digest
            && *before != Some(digest.status)
        {
            let word = |status: DigestStatus| Value::from(status.as_str());
            let key = format!("{DIGEST}{}", digest.slug);
            values.push((key, before.map(word).unwrap_or_default(), word(digest.status)));
        }
        let digest = self.digest.map(|(_, digest)| digest);
        if values.is_empty() && self.run.is_none() {
            return Change { digest, ..Change::none(self.before, self.context) };
        }
        let moves_gate = values.iter().any(|(key, ..)| {
            [key::ACTIVE, key::PAUSED, key::RUN_ID, WORLD_EPOCH].contains(&key.as_str())
        });
        self.next.generation += 1;
        if moves_gate {
            self.next.gate_generation = self.next.generation;
        }
        let audit = chain(&mut self.next, values, self.context);
        Change {
            expected_generation: self.before.generation,
            next: self.next,
            run: self.run,
            digest,
            audit,
            events: self.events,
            alert_records: AlertRecords::default(),
        }
    }
}

/// The audit rows of `values`, appended to the chain of `next`.
fn chain(
    next: &mut ControlState,
    values: Vec<(String, Value, Value)>,
    context: &Context<'_>,
) -> Vec<AuditRow> {
    let mut audit = Vec::with_capacity(values.len());
    for (key, old_value, new_value) in values {
        let row = AuditRow {
            id: 0,
            key,
            old_value,
            new_value,
            changed_by: context.actor.to_owned(),
            environment: context.environment.as_str().to_owned(),
            reason: context.reason.map(str::to_owned),
            created_at: context.now,
            hash: String::new(),
        }
        .chained(&next.audit_head);
        next.audit_head = row.head();
        audit.push(row);
    }
    audit
}

fn changed_values(old: &Effective, new: &Effective) -> Vec<(String, Value, Value)> {
    let names = new.values().iter();
    names
        .filter(|(key, value)| old.get(key) != *value)
        .map(|(key, value)| (key.clone(), old.get(key).clone(), value.clone()))
        .collect()
}
