//! The reference store: in memory, and simple enough to verify by reading.
//!
//! One lock protects plain lists, so every call is a transaction. Lists are searched linearly. Other
//! stores must return the same results.

mod agents;
mod alerts;
mod budgets;
mod control;
mod counter;
mod counter_epoch;
mod digests;
mod events;
mod hosts;
mod known_addresses;
mod kpi;
mod leader_leases;
mod retention;
mod tally;
mod usage;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use jiff::civil::Date;
use tokio::sync::watch;
use uuid::Uuid;

use crate::AgentId;
use crate::alert::{Alert, Attempt, Delivery, Message};
use crate::control::{AuditRow, ControlState, HostReport};
use crate::digest::Digest;
use crate::event::{Event, RuntimeMode};
use crate::kpi::KpiEvent;
use crate::run::RunRecord;
use crate::store::{
    IdempotencyRecord, KnownAddress, LeaderLease, Page, StoredReport, World, WorldEpoch,
};
use crate::usage::totals::CallTotals;
use crate::usage::{
    Budget, BudgetUse, CounterBackend, CounterClient, CounterEpoch, DayUse, Lease, UsageRow, UseKey,
};

/// A store in memory. Clones share their content.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore {
    data: Arc<Mutex<Data>>,
    revision: watch::Sender<u64>,
}

#[derive(Debug)]
struct Data {
    // Its runs are empty; `runs` contains them.
    state: ControlState,
    runs: Vec<RunRecord>,
    audit: Vec<AuditRow>,
    idempotency: BTreeMap<String, IdempotencyRecord>,
    events: Vec<(Uuid, Option<RuntimeMode>, Event)>,
    deleted: DeletedRows,
    hosts: BTreeMap<String, HostReport>,
    usage: Vec<UsageRow>,
    usage_revision: i64,
    leases: BTreeMap<Uuid, Lease>,
    day_uses: BTreeMap<Date, DayUse>,
    run_totals: BTreeMap<String, CallTotals>,
    budgets: Vec<Budget>,
    budget_uses: BTreeMap<UseKey, BudgetUse>,
    counter_epoch: CounterEpoch,
    counter_clients: BTreeMap<Uuid, CounterClient>,
    leader_leases: BTreeMap<String, LeaderLease>,
    known_addresses: Vec<KnownAddress>,
    run_agents: BTreeMap<String, BTreeSet<AgentId>>,
    kpi: Vec<KpiEvent>,
    kpi_revision: i64,
    alerts: Vec<Alert>,
    messages: Vec<Message>,
    deliveries: Vec<Delivery>,
    attempts: Vec<Attempt>,
    epochs: BTreeMap<i64, Epoch>,
    last_epoch: i64,
    digests: Vec<Digest>,
    reports: Vec<StoredReport>,
}

/// The positions of deleted rows, from 1. They are not listed, but still counted.
#[derive(Debug, Default)]
struct DeletedRows {
    events: BTreeSet<i64>,
    ledger: BTreeSet<i64>,
    visits: BTreeSet<i64>,
}

impl Default for Data {
    fn default() -> Self {
        Self {
            state: ControlState::default(),
            runs: Vec::new(),
            audit: Vec::new(),
            idempotency: BTreeMap::new(),
            events: Vec::new(),
            deleted: DeletedRows::default(),
            hosts: BTreeMap::new(),
            usage: Vec::new(),
            usage_revision: 0,
            leases: BTreeMap::new(),
            day_uses: BTreeMap::new(),
            run_totals: BTreeMap::new(),
            budgets: Vec::new(),
            budget_uses: BTreeMap::new(),
            counter_epoch: CounterEpoch {
                generation: 0,
                backend: CounterBackend::Database,
                namespace: Uuid::now_v7().simple().to_string(),
                redis: None,
                since: Timestamp::UNIX_EPOCH,
                reason: None,
                budgets: 0,
            },
            counter_clients: BTreeMap::new(),
            leader_leases: BTreeMap::new(),
            known_addresses: Vec::new(),
            run_agents: BTreeMap::new(),
            kpi: Vec::new(),
            kpi_revision: 0,
            alerts: Vec::new(),
            messages: Vec::new(),
            deliveries: Vec::new(),
            attempts: Vec::new(),
            epochs: BTreeMap::new(),
            last_epoch: 0,
            digests: Vec::new(),
            reports: Vec::new(),
        }
    }
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

    fn notify_watchers(&self) {
        self.revision.send_modify(|revision| *revision += 1);
    }
}

/// The position, from 1, of the item that follows `count` others.
fn next_position(count: usize) -> i64 {
    i64::try_from(count).map_or(i64::MAX, |count| count + 1)
}

/// A page of the items before position `before`, newest first; `items` are oldest first.
fn page<T>(
    items: impl DoubleEndedIterator<Item = (i64, T)>,
    before: Option<i64>,
    limit: usize,
) -> Page<T> {
    let older = items.rev().filter(|(position, _)| before.is_none_or(|before| *position < before));
    let older = older.take(limit.saturating_add(1)).collect();
    let cut = Page::cut(older, limit, |(position, _)| *position);
    Page { items: cut.items.into_iter().map(|(_, item)| item).collect(), next: cut.next }
}
