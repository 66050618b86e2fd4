//! A decided change: the next state, and everything that is stored in the same transaction.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{AuditRow, ControlState, Environment};
use crate::alert::AlertRecords;
use crate::digest::{Digest, DigestStatus};
use crate::event::{NewEvent, kind};
use crate::run::{DEFAULT_WORLD, RunRecord};
use crate::settings::{Effective, Registry, key};
use crate::usage::BudgetChange;
use crate::{Error, Result};

/// The audit key of the production mark.
pub(super) const PRODUCTION_MARK: &str = "PRODUCTION_MARK";
/// The audit key of a change of the active epoch of [`DEFAULT_WORLD`]; of another world, its name
/// follows after a colon.
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
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Change {
    /// The generation it was decided on; on any other the commit is a conflict.
    pub expected_generation: u64,
    /// The state after it.
    pub next: ControlState,
    /// The registry rows to insert or replace.
    pub runs: Vec<RunRecord>,
    /// The digest to insert or replace by its name, if one changed.
    pub digest: Option<Digest>,
    /// The audit rows, chained.
    pub audit: Vec<AuditRow>,
    /// The events that record it.
    pub events: Vec<NewEvent>,
    /// Alerts and messages that are stored with it.
    pub alert_records: AlertRecords,
    /// The budgets that change.
    pub budgets: Vec<BudgetChange>,
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
        let values = values.into_iter().map(|(key, old, new)| ChangedValue::new(key, old, new));
        let audit = chain(&mut next, values, context);
        let (expected_generation, runs) = (before.generation, Vec::new());
        let change = Self { expected_generation, next, runs, audit, events, ..Self::default() };
        Self { alert_records, ..change }
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

/// A value that changes, for the audit trail.
struct ChangedValue {
    key: String,
    run_id: Option<String>,
    old: Value,
    new: Value,
}

impl ChangedValue {
    fn new(key: impl Into<String>, old: impl Into<Value>, new: impl Into<Value>) -> Self {
        Self { key: key.into(), run_id: None, old: old.into(), new: new.into() }
    }

    fn in_run(self, run_id: Option<String>) -> Self {
        Self { run_id, ..self }
    }
}

/// Builds a change while it is decided.
pub(super) struct ChangeBuilder<'a> {
    before: &'a ControlState,
    context: &'a Context<'a>,
    /// The state after the change.
    pub(super) next: ControlState,
    /// The runs that change, each as it was before, unless it is new, and as it is afterwards.
    runs: Vec<(Option<RunRecord>, RunRecord)>,
    /// Values of runs that change, other than those that the settings show.
    values: Vec<ChangedValue>,
    digest: Option<(Option<DigestStatus>, Digest)>,
    events: Vec<NewEvent>,
}

impl<'a> ChangeBuilder<'a> {
    pub(super) fn new(before: &'a ControlState, context: &'a Context<'a>) -> Self {
        Self {
            before,
            context,
            next: before.clone(),
            runs: Vec::new(),
            values: Vec::new(),
            digest: None,
            events: Vec::new(),
        }
    }

    /// Sets a setting; returns whether it changes. A value that is already in force stays as it is,
    /// default or override.
    pub(super) fn set(&mut self, key: &str, value: impl Into<Value>) -> bool {
        let value = value.into();
        let changes = *self.next.effective(self.context.registry).get(key) != value;
        if changes {
            self.next.overrides.insert(key.to_owned(), value);
        }
        changes
    }

    /// Sets a setting to its default.
    pub(super) fn set_default(&mut self, key: &str) {
        if let Some(spec) = self.context.registry.get(key) {
            self.set(key, spec.default.clone());
        }
    }

    /// Stores a new run, which becomes the current one unless the current run is open.
    pub(super) fn add_run(&mut self, run: RunRecord) {
        if self.next.open_run().is_none() {
            self.make_current(&run);
            self.set(key::ACTIVE, true);
            self.set(key::PAUSED, false);
        } else {
            self.next.other_runs.push(run.clone());
        }
        self.runs.push((None, run));
    }

    /// Stores the change of a run, and of the settings that show its state if it is the current one;
    /// returns whether it changes.
    pub(super) fn put_run(&mut self, before: &RunRecord, after: RunRecord) -> bool {
        let is_it = |run: &RunRecord| run.run_id == after.run_id;
        if self.next.run.as_ref().is_some_and(is_it) {
            self.set(key::ACTIVE, after.is_open());
            self.set(key::PAUSED, after.paused || !after.is_open());
            self.next.run = Some(after.clone());
        } else {
            match self.next.other_runs.iter_mut().find(|run| is_it(run)) {
                Some(run) => *run = after.clone(),
                None => self.next.other_runs.push(after.clone()),
            }
            self.next.other_runs.retain(RunRecord::is_open);
        }
        let changes = *before != after;
        if changes {
            self.runs.push((Some(before.clone()), after));
        }
        changes
    }

    /// Lets an open run go on, as `after`; it becomes the current one unless the current run is open.
    pub(super) fn unpause(&mut self, run: &RunRecord, after: &RunRecord) {
        if run.paused {
            if self.next.open_run().is_none() {
                self.make_current(run);
            }
            let text = format!("Run {} was resumed", run.run_id);
            self.record_in(run, kind::RUN_RESUMED, text);
        }
        self.put_run(run, after.with_paused(false));
    }

    /// Has the change of a value of a run audited.
    pub(super) fn add_value(&mut self, key: &str, run_id: &str, old: Value, new: Value) {
        self.values.push(ChangedValue::new(key, old, new).in_run(Some(run_id.to_owned())));
    }

    /// Stores the current run as it is when the settings of its state have changed already.
    pub(super) fn show(&mut self, run: RunRecord) {
        if let Some(before) = self.before.run.clone() {
            self.put_run(&before, run);
        }
    }

    /// Reopens a run that a guardrail ended, paused or not; the event records when and why it had ended.
    ///
    /// # Errors
    /// Returns `Conflict` while its world has another open run.
    pub(super) fn reopen(&mut self, run: &RunRecord, paused: bool) -> Result<()> {
        self.check_world(run.world.as_deref())?;
        let previous = json!({ "ended_at": run.ended_at, "end_reason": run.end_reason });
        if self.next.open_run().is_none() {
            self.make_current(run);
        }
        self.put_run(run, run.reopened().with_paused(paused));
        let text = format!("Run {} was resumed after a guardrail had stopped it", run.run_id);
        let event = self.event_in(Some(run), kind::RUN_RESUMED, text);
        self.add_event(event.with("previous_end", previous));
        Ok(())
    }

    /// Makes a run the current one: the settings of run state show it.
    pub(super) fn make_current(&mut self, run: &RunRecord) {
        self.next.other_runs.retain(|other| other.run_id != run.run_id);
        self.next.run = Some(run.clone());
        self.set(key::RUN_MODE, run.mode.as_str());
        self.set(key::RUN_ID, run.run_id.as_str());
        self.set(key::CONDITION_NAME, run.condition_name.as_deref().unwrap_or(""));
        self.set(key::SEASON_NUMBER, run.season_number.unwrap_or_default());
    }

    /// Checks that the world, if any, has no open run.
    ///
    /// # Errors
    /// Returns `Conflict` naming the run.
    pub(super) fn check_world(&self, world: Option<&str>) -> Result<()> {
        match world.and_then(|world| self.next.run_in_world(world)) {
            None => Ok(()),
            Some(open) => Err(Error::conflict(format!(
                "run {} of the same world has not ended; stop it first",
                open.run_id
            ))),
        }
    }

    /// Stores a digest whose status was `before`, or that is new.
    pub(super) fn put_digest(&mut self, before: Option<DigestStatus>, digest: Digest) {
        self.digest = Some((before, digest));
    }

    /// Whether an event was added.
    pub(super) fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// Clears the current run; the registry keeps the row.
    pub(super) fn detach_run(&mut self) {
        self.next.run = None;
        self.set(key::RUN_ID, "");
        self.set_default(key::CONDITION_NAME);
        self.set_default(key::SEASON_NUMBER);
    }

    /// Sets the active epoch of a world.
    pub(super) fn put_world(&mut self, world: &str, epoch: i64) {
        self.next.worlds.insert(world.to_owned(), epoch);
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

    /// Adds an event in `run`.
    pub(super) fn record_in(
        &mut self,
        run: &RunRecord,
        event_type: &str,
        description: impl Into<String>,
    ) {
        self.events.push(self.event_in(Some(run), event_type, description));
    }

    fn event(&self, event_type: &str, description: impl Into<String>) -> NewEvent {
        let run = self.next.run.as_ref().or(self.before.run.as_ref());
        self.event_in(run, event_type, description)
    }

    /// An event in `run`, with the actor and the reason.
    pub(super) fn event_in(
        &self,
        run: Option<&RunRecord>,
        event_type: &str,
        description: impl Into<String>,
    ) -> NewEvent {
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

    /// The finished change: audit rows chained, generation advanced, and the gates that moved marked
    /// with it. Without a difference it is empty and its events are dropped.
    pub(super) fn finish(mut self) -> Change {
        let mut values = self.changed_values();
        values.append(&mut self.values);
        let digest = self.digest.take().map(|(_, digest)| digest);
        if values.is_empty() && self.runs.is_empty() {
            return Change { digest, ..Change::none(self.before, self.context) };
        }
        self.next.generation += 1;
        let mut runs = Vec::with_capacity(self.runs.len());
        for (before, mut run) in std::mem::take(&mut self.runs) {
            if before.is_none_or(|before| before.gate() != run.gate()) {
                run = run.gate_moved(self.next.generation, self.context.now);
            }
            let shown = self.next.run.iter_mut().chain(&mut self.next.other_runs);
            shown.filter(|shown| shown.run_id == run.run_id).for_each(|shown| *shown = run.clone());
            runs.push(run);
        }
        let audit = chain(&mut self.next, values, self.context);
        Change {
            expected_generation: self.before.generation,
            next: self.next,
            runs,
            digest,
            audit,
            events: self.events,
            alert_records: AlertRecords::default(),
            budgets: Vec::new(),
        }
    }

    /// Every value that changes, in the order of the audit trail.
    fn changed_values(&self) -> Vec<ChangedValue> {
        let (before, next) = (self.before, &self.next);
        let current = next.run.as_ref().or(before.run.as_ref()).map(|run| run.run_id.clone());
        let mut values: Vec<_> = self
            .changed()
            .into_iter()
            .map(|(name, old, new)| {
                let run_id = current.clone().filter(|_| key::RUN_STATE.contains(&name.as_str()));
                ChangedValue::new(name, old, new).in_run(run_id)
            })
            .collect();
        // The settings show the current run; of the others, the same values are recorded.
        let is_current = |run: &RunRecord| Some(&run.run_id) == current.as_ref();
        for (before, run) in self.runs.iter().filter(|(_, run)| !is_current(run)) {
            let shown = |run: &RunRecord| [run.is_open(), run.paused || !run.is_open()];
            for (n, name) in [key::ACTIVE, key::PAUSED].into_iter().enumerate() {
                let old: Value = before.as_ref().map(|run| shown(run)[n]).into();
                let new: Value = shown(run)[n].into();
                if old != new {
                    values.push(ChangedValue::new(name, old, new).in_run(Some(run.run_id.clone())));
                }
            }
        }
        for (world, epoch) in &next.worlds {
            let old = before.worlds.get(world);
            if old != Some(epoch) {
                let key = match world.as_str() {
                    DEFAULT_WORLD => WORLD_EPOCH.to_owned(),
                    _ => format!("{WORLD_EPOCH}:{world}"),
                };
                values.push(ChangedValue::new(key, old.copied(), *epoch));
            }
        }
        if before.production_mark != next.production_mark {
            let (old, new) = (before.production_mark, next.production_mark);
            values.push(ChangedValue::new(PRODUCTION_MARK, old, new));
        }
        if let Some((before, digest)) = &self.digest
            && *before != Some(digest.status)
        {
            let word = |status: DigestStatus| Value::from(status.as_str());
            let key = format!("{DIGEST}{}", digest.slug);
            let old = before.map(word).unwrap_or_default();
            values.push(ChangedValue::new(key, old, word(digest.status)));
        }
        values
    }
}

/// The audit rows of `values`, appended to the chain of `next`.
fn chain(
    next: &mut ControlState,
    values: impl IntoIterator<Item = ChangedValue>,
    context: &Context<'_>,
) -> Vec<AuditRow> {
    let mut audit = Vec::new();
    for value in values {
        let row = AuditRow {
            id: 0,
            key: value.key,
            run_id: value.run_id,
            old_value: value.old,
            new_value: value.new,
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
