//! The reference store: naive, in memory, easy to check by reading.
//!
//! One lock over plain lists, so every call is a transaction by itself. Lists are searched from end
//! to end: what a faster store answers must equal what this one does.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use jiff::Timestamp;
use jiff::civil::Date;
use serde_json::Value;
use tokio::sync::watch;
use uuid::Uuid;

use crate::control::{AuditRow, Change, ControlState, HostReport};
use crate::event::{Event, NewEvent, RuntimeMode};
use crate::run::RunRecord;
use crate::settings::key;
use crate::store::{
    ActivityScope, AuditPage, Commit, ControlStore, Documents, EpochStatus, EventCount,
    EventFilter, EventStore, FailureWindow, HostStore, IdempotencyKey, Page, Recorded, TurnCommit,
    UsageStore, World, WorldEpoch, WorldStore,
};
use crate::usage::budget::{CallTotals, LlmTotals};
use crate::usage::{DayTotals, UsageRow};
use crate::{Error, Result};

/// A store in memory. Clones share their content, which lives as long as the last of them.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore {
    data: Arc<Mutex<Data>>,
    revision: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Data {
    // Its `run` is left empty: the registry has it.
    state: ControlState,
    runs: Vec<RunRecord>,
    audit: Vec<AuditRow>,
    answers: BTreeMap<String, Recorded>,
    events: Vec<(Uuid, Option<RuntimeMode>, Event)>,
    hosts: BTreeMap<String, HostReport>,
    usage: Vec<UsageRow>,
    epochs: BTreeMap<i64, Epoch>,
    last_epoch: i64,
}

#[derive(Debug)]
struct Epoch {
    row: WorldEpoch,
    world: World,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn data(&self) -> MutexGuard<'_, Data> {
        self.data.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell_watchers(&self) {
        self.revision.send_modify(|revision| *revision += 1);
    }
}

impl Data {
    fn run(&self, run_id: &str) -> Option<&RunRecord> {
        self.runs.iter().find(|run| run.run_id == run_id)
    }

    fn put_run(&mut self, run: &RunRecord) {
        match self.runs.iter_mut().find(|known| known.run_id == run.run_id) {
            Some(known) => *known = run.clone(),
            None => self.runs.push(run.clone()),
        }
    }

    fn append(&mut self, events: &[NewEvent]) {
        for new in events {
            if self.events.iter().any(|(uid, ..)| *uid == new.uid) {
                continue;
            }
            let event = Event {
                id: place_after(self.events.len()),
                run_id: new.run_id.clone(),
                agent_id: new.agent_id,
                event_type: new.event_type.clone(),
                description: new.description.clone(),
                metadata: new.metadata.clone(),
                created_at: new.created_at,
            };
            self.events.push((new.uid, new.runtime_mode(), event));
        }
    }

    /// Ends the building of an epoch; false when it has ended so before.
    fn end_building(&mut self, epoch: i64, ended: EpochStatus, world: World) -> Result<bool> {
        let not_built = || Error::conflict(format!("epoch {epoch} is not being built"));
        let known = self.epochs.get_mut(&epoch).ok_or_else(not_built)?;
        let same = std::mem::discriminant(&known.row.status) == std::mem::discriminant(&ended);
        match known.row.status {
            EpochStatus::Building { .. } => {
                known.row.status = ended;
                known.world = world;
                Ok(true)
            }
            _ if same => Ok(false),
            _ => Err(not_built()),
        }
    }
}

/// The place, from 1, that follows `count` others.
fn place_after(count: usize) -> i64 {
    i64::try_from(count).map_or(i64::MAX, |count| count + 1)
}

/// The page of what comes before the place `before`, newest first, out of `items`, oldest first.
fn page<T>(
    items: impl DoubleEndedIterator<Item = (i64, T)>,
    before: Option<i64>,
    limit: usize,
) -> Page<T> {
    let older = items.rev().filter(|(place, _)| before.is_none_or(|before| *place < before));
    let cut = Page::cut(older.take(limit.saturating_add(1)).collect(), limit, |(place, _)| *place);
    Page { items: cut.items.into_iter().map(|(_, item)| item).collect(), next: cut.next }
}

fn put_documents(world: &mut Documents, documents: &Documents) {
    for (name, body) in documents {
        if body.is_null() {
            world.remove(name);
        } else {
            world.insert(name.clone(), body.clone());
        }
    }
}

#[async_trait]
impl ControlStore for MemoryStore {
    async fn load(&self) -> Result<ControlState> {
        let data = self.data();
        let run_id = data.state.overrides.get(key::RUN_ID).and_then(Value::as_str);
        let run = run_id.and_then(|run_id| data.run(run_id)).cloned();
        Ok(ControlState { run, ..data.state.clone() })
    }

    async fn commit(
        &self,
        change: &Change,
        answer: Option<(&IdempotencyKey, &Recorded)>,
    ) -> Result<Commit> {
        let mut data = self.data();
        let answered = answer.is_some_and(|(key, _)| data.answers.contains_key(&key.key));
        if answered || data.state.generation != change.expected_generation {
            return Ok(Commit::Outdated);
        }
        if let Some(run) = &change.run {
            let open = data.runs.iter().any(|known| known.is_open() && known.run_id != run.run_id);
            if run.is_open() && open {
                return Err(Error::internal("a second run would be open"));
            }
            data.put_run(run);
        }
        data.state = ControlState { run: None, ..change.next.clone() };
        data.audit.extend_from_slice(&change.audit);
        data.append(&change.events);
        if let Some((key, recorded)) = answer {
            data.answers.insert(key.key.clone(), recorded.clone());
        }
        drop(data);
        self.tell_watchers();
        Ok(Commit::Done)
    }

    async fn recorded(&self, key: &str) -> Result<Option<Recorded>> {
        Ok(self.data().answers.get(key).cloned())
    }

    async fn record(&self, key: &IdempotencyKey, answer: &Recorded) -> Result<Commit> {
        let mut data = self.data();
        if data.answers.contains_key(&key.key) {
            return Ok(Commit::Outdated);
        }
        data.answers.insert(key.key.clone(), answer.clone());
        Ok(Commit::Done)
    }

    async fn forget_recorded(&self, before: Timestamp) -> Result<u64> {
        let answers = &mut self.data().answers;
        let known = answers.len();
        answers.retain(|_, answer| answer.created_at >= before);
        Ok((known - answers.len()) as u64)
    }

    fn watch(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }

    async fn run(&self, run_id: &str) -> Result<Option<RunRecord>> {
        Ok(self.data().run(run_id).cloned())
    }

    async fn runs(&self, before: Option<i64>, limit: usize) -> Result<Page<RunRecord>> {
        let data = self.data();
        let rows = data.runs.iter().enumerate();
        Ok(page(rows.map(|(index, run)| (place_after(index), run.clone())), before, limit))
    }

    async fn audit(&self, limit: usize, offset: usize) -> Result<AuditPage> {
        let rows = &self.data().audit;
        let items = rows.iter().rev().skip(offset).take(limit).cloned().collect();
        Ok(AuditPage { count: place_after(rows.len()) - 1, items })
    }

    async fn audit_after(&self, after: i64, limit: usize) -> Result<Vec<AuditRow>> {
        let data = self.data();
        let later = data.audit.iter().filter(|row| row.id > after);
        Ok(later.take(limit).cloned().collect())
    }

    async fn ping(&self) -> Result<()> {
        Ok(())
    }

    fn backend(&self) -> &'static str {
        "memory"
    }

    fn pool_utilization(&self) -> f64 {
        0.0
    }
}

#[async_trait]
impl EventStore for MemoryStore {
    async fn append(&self, events: &[NewEvent]) -> Result<()> {
        self.data().append(events);
        Ok(())
    }

    async fn events(&self, filter: &EventFilter) -> Result<Page<Event>> {
        let data = self.data();
        let wanted = |wanted: &Option<String>, value: Option<&String>| {
            wanted.is_none() || wanted.as_ref() == value
        };
        let found = data.events.iter().map(|(.., event)| event).filter(|event| {
            wanted(&filter.run_id, event.run_id.as_ref())
                && wanted(&filter.event_type, Some(&event.event_type))
        });
        Ok(page(found.map(|event| (event.id, event.clone())), filter.before, filter.limit))
    }

    async fn event(&self, id: i64) -> Result<Option<Event>> {
        let data = self.data();
        Ok(data.events.iter().map(|(.., event)| event).find(|event| event.id == id).cloned())
    }

    async fn count_events(&self, scope: &ActivityScope) -> Result<Vec<EventCount>> {
        let data = self.data();
        let mut counts = BTreeMap::<_, i64>::new();
        for (_, mode, event) in &data.events {
            let counted = match scope {
                ActivityScope::Run(run_id) => event.run_id.as_ref() == Some(run_id),
                ActivityScope::Since(since) => event.created_at >= *since,
            };
            if counted {
                *counts.entry((event.event_type.clone(), *mode)).or_default() += 1;
            }
        }
        let counts = counts.into_iter();
        Ok(counts
            .map(|((event_type, mode), count)| EventCount { event_type, mode, count })
            .collect())
    }
}

#[async_trait]
impl HostStore for MemoryStore {
    async fn report(&self, report: &HostReport) -> Result<()> {
        let before = self.data().hosts.insert(report.id.clone(), report.clone());
        let said = |report: &HostReport| (report.state, report.generation);
        if before.as_ref().map(said) != Some(said(report)) {
            self.tell_watchers();
        }
        Ok(())
    }

    async fn leave(&self, host_id: &str) -> Result<()> {
        let known = self.data().hosts.remove(host_id);
        if known.is_some() {
            self.tell_watchers();
        }
        Ok(())
    }

    async fn hosts(&self, since: Timestamp) -> Result<Vec<HostReport>> {
        let data = self.data();
        Ok(data.hosts.values().filter(|host| host.last_seen >= since).cloned().collect())
    }

    async fn forget_hosts(&self, before: Timestamp) -> Result<()> {
        self.data().hosts.retain(|_, host| host.last_seen >= before);
        Ok(())
    }
}

#[async_trait]
impl UsageStore for MemoryStore {
    async fn record_usage(&self, rows: &[UsageRow]) -> Result<()> {
        let usage = &mut self.data().usage;
        for row in rows {
            if !usage.iter().any(|known| known.id == row.id) {
                usage.push(row.clone());
            }
        }
        Ok(())
    }

    async fn day_totals(&self, day: Date) -> Result<DayTotals> {
        let data = self.data();
        let calls = data.usage.iter().filter(|row| row.day == day);
        Ok(calls.map(DayTotals::of).fold(DayTotals::default(), |sum, call| sum + call))
    }

    async fn llm_totals(&self, scope: &ActivityScope) -> Result<LlmTotals> {
        let data = self.data();
        let calls = data.usage.iter().filter(|row| match scope {
            ActivityScope::Run(run_id) => row.run_id.as_ref() == Some(run_id),
            ActivityScope::Since(since) => row.created_at >= *since,
        });
        Ok(calls.map(CallTotals::of).fold(CallTotals::default(), |sum, call| sum + call).shown())
    }

    async fn failure_window(&self, run_id: &str, since: Timestamp) -> Result<FailureWindow> {
        let data = self.data();
        let calls = data
            .usage
            .iter()
            .filter(|row| row.run_id.as_deref() == Some(run_id) && row.created_at > since);
        Ok(calls.fold(FailureWindow::default(), |window, row| FailureWindow {
            failed: window.failed + i64::from(!row.success),
            calls: window.calls + 1,
        }))
    }
}

#[async_trait]
impl WorldStore for MemoryStore {
    async fn request_epoch(&self, now: Timestamp) -> Result<i64> {
        let mut data = self.data();
        data.last_epoch += 1;
        let epoch = data.last_epoch;
        let row = WorldEpoch { epoch, status: EpochStatus::Requested, requested_at: now };
        data.epochs.insert(epoch, Epoch { row, world: World::default() });
        drop(data);
        self.tell_watchers();
        Ok(epoch)
    }

    async fn requested_epochs(&self, since: Timestamp) -> Result<Vec<WorldEpoch>> {
        let data = self.data();
        let rows = data.epochs.values().map(|epoch| &epoch.row);
        Ok(rows
            .filter(|row| row.status == EpochStatus::Requested && row.requested_at >= since)
            .cloned()
            .collect())
    }

    async fn claim_epoch(&self, epoch: i64, host_id: &str) -> Result<bool> {
        let mut data = self.data();
        let Some(known) = data.epochs.get_mut(&epoch) else { return Ok(false) };
        if known.row.status != EpochStatus::Requested {
            return Ok(false);
        }
        known.row.status = EpochStatus::Building { host_id: host_id.to_owned() };
        drop(data);
        self.tell_watchers();
        Ok(true)
    }

    async fn finish_epoch(&self, epoch: i64, documents: &Documents, result: &Value) -> Result<()> {
        let mut world = World::default();
        put_documents(&mut world.documents, documents);
        let ready = EpochStatus::Ready { result: result.clone() };
        if self.data().end_building(epoch, ready, world)? {
            self.tell_watchers();
        }
        Ok(())
    }

    async fn fail_epoch(&self, epoch: i64, reason: &str) -> Result<()> {
        let failed = EpochStatus::Failed { reason: reason.to_owned() };
        if self.data().end_building(epoch, failed, World::default())? {
            self.tell_watchers();
        }
        Ok(())
    }

    async fn epoch(&self, epoch: i64) -> Result<Option<WorldEpoch>> {
        Ok(self.data().epochs.get(&epoch).map(|epoch| epoch.row.clone()))
    }

    async fn forget_epochs(
        &self,
        before: Timestamp,
        keep: usize,
        shown: Option<i64>,
    ) -> Result<u64> {
        let data = &mut *self.data();
        let kept: Vec<i64> = data.epochs.keys().rev().take(keep).copied().collect();
        let known = data.epochs.len();
        data.epochs.retain(|number, epoch| {
            epoch.row.requested_at >= before
                || kept.contains(number)
                || [shown, data.state.world_epoch].contains(&Some(*number))
        });
        Ok((known - data.epochs.len()) as u64)
    }

    async fn world(&self, epoch: i64) -> Result<World> {
        Ok(self.data().epochs.get(&epoch).map(|epoch| epoch.world.clone()).unwrap_or_default())
    }

    async fn commit_turn(&self, turn: &TurnCommit) -> Result<i64> {
        let data = &mut *self.data();
        if turn.generation < data.state.gate_generation {
            return Err(Error::stale("the run was paused, stopped or reset since"));
        }
        if data.state.world_epoch != Some(turn.epoch) {
            return Err(Error::stale("another epoch of the world is shown"));
        }
        let world = data.epochs.get_mut(&turn.epoch).map(|epoch| &mut epoch.world);
        let Some(world) = world.filter(|world| world.version == turn.expected_version) else {
            return Err(Error::stale("the world has changed since"));
        };
        put_documents(&mut world.documents, &turn.documents);
        world.version += 1;
        let version = world.version;
        data.append(&turn.events);
        Ok(version)
    }
}
