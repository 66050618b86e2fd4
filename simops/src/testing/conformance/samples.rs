//! Sample values.

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::clock::day_of;
use crate::control::{AuditRow, Change, ControlState, HostReport, HostState};
use crate::event::NewEvent;
use crate::run::RunRecord;
use crate::settings::key;
use crate::store::{Commit, IdempotencyKey, IdempotencyRecord, RunStore};
use crate::usage::{Lease, NanoUsd, UsageRow};
use crate::{Error, Result};

/// `seconds` after a fixed start that has microseconds.
pub(super) fn at(seconds: i64) -> Timestamp {
    let start = Timestamp::from_microsecond(1_767_225_600_000_001).unwrap_or_default();
    start + SignedDuration::from_secs(seconds)
}

pub(super) fn day() -> Date {
    day_of(at(0))
}

pub(super) fn run(run_id: &str) -> RunRecord {
    RunRecord {
        run_id: run_id.to_owned(),
        protocol_version: "protocol_v1".to_owned(),
        world: Some("main".to_owned()),
        started_at: at(0),
        started_by: "ada".to_owned(),
        ..RunRecord::default()
    }
}

pub(super) fn event(run_id: Option<&str>, event_type: &str) -> NewEvent {
    NewEvent::new(event_type, "something happened", at(0)).in_run(run_id)
}

pub(super) fn host(id: &str, seen: i64) -> HostReport {
    HostReport {
        id: id.to_owned(),
        version: "1.2.3".to_owned(),
        last_seen: at(seen),
        generation: 7,
        state: HostState::Running,
        in_flight_calls: 2,
        kind: "commons".to_owned(),
        world: Some("main".to_owned()),
        run_id: Some("run".to_owned()),
    }
}

pub(super) fn call(run_id: Option<&str>, provider: &str, model: &str, nanos: i64) -> UsageRow {
    UsageRow {
        id: Uuid::now_v7(),
        day: day(),
        run_id: run_id.map(str::to_owned),
        agent_id: Some(3.into()),
        checkpoint: Some(1),
        provider: provider.to_owned(),
        model_requested: model.to_owned(),
        model_resolved: None,
        input_tokens: 100,
        cached_input_tokens: 10,
        output_tokens: 20,
        reasoning_tokens: 5,
        cost: NanoUsd(nanos),
        priced: true,
        success: true,
        sent: true,
        over_reservation: false,
        fallback_used: false,
        latency_ms: 250,
        error_type: None,
        created_at: at(0),
    }
}

/// The usage row of a call that was made under `lease` and cost `nanos`.
pub(super) fn settled(lease: &Lease, nanos: i64) -> UsageRow {
    UsageRow {
        id: lease.id,
        day: lease.day,
        agent_id: lease.agent_id.clone(),
        checkpoint: lease.checkpoint,
        priced: lease.priced,
        ..call(lease.run_id.as_deref(), &lease.provider, &lease.model, nanos)
    }
}

pub(super) fn answer(key: &str, body: Value) -> (IdempotencyKey, IdempotencyRecord) {
    let fingerprint = format!("fingerprint of {key}");
    (
        IdempotencyKey { key: key.to_owned(), fingerprint: fingerprint.clone() },
        IdempotencyRecord { fingerprint, answer: body, created_at: at(0) },
    )
}

/// A change to `state`.
pub(super) fn change(state: &ControlState) -> Change {
    change_to(state, json!(state.generation + 1))
}

/// A change to `state` that sets one setting to `value`.
pub(super) fn change_to(state: &ControlState, value: Value) -> Change {
    let generation = state.generation + 1;
    let row = AuditRow {
        id: 0,
        key: key::AGENT_LOOP_DELAY_SECONDS.to_owned(),
        run_id: None,
        old_value: json!(state.generation),
        new_value: value,
        changed_by: "ada".to_owned(),
        environment: "development".to_owned(),
        reason: Some("because".to_owned()),
        created_at: at(0),
        hash: String::new(),
    }
    .chained(&state.audit_head);
    let mut next = ControlState { generation, audit_head: row.head(), ..state.clone() };
    next.overrides.insert(row.key.clone(), row.new_value.clone());
    Change { expected_generation: state.generation, next, audit: vec![row], ..Change::default() }
}

/// Commits a change to the stored state, after applying `edit` to it.
pub(super) async fn commit(
    store: &dyn RunStore,
    edit: impl FnOnce(&mut Change) + Send,
) -> Result<Change> {
    let mut change = change(&store.load().await?);
    edit(&mut change);
    match store.commit(&change, None).await? {
        Commit::Done => Ok(change),
        Commit::Conflict => Err(Error::internal("a conflict without another writer")),
    }
}

/// Commits `run` and makes it the current run.
pub(super) async fn commit_run(store: &dyn RunStore, run: &RunRecord) -> Result<Change> {
    commit(store, |change| {
        change.next.overrides.insert(key::RUN_ID.to_owned(), run.run_id.clone().into());
        change.next.run = Some(run.clone());
        change.runs = vec![run.clone()];
    })
    .await
}
