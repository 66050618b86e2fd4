//! Executes writes: load the state, decide, commit; on a conflict, decide again.
//!
//! Control state is changed nowhere else. Each write needs a [`WritePermit`], and the rules for
//! writes are checked again on the state that the commit names. The first response under an
//! idempotency key, success or refusal, is stored with its change and repeated.

mod budgets;

use std::collections::HashMap;
use std::fmt::Display;
use std::sync::Arc;

use jiff::civil::Date;
use jiff::{Timestamp, ToSpan};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::alert::notify::{self, History};
use crate::alert::{AlertOptions, AlertRecords, DeliveryState};
use crate::clock::day_of;
use crate::control::alerts::{self, AlertUpdate};
use crate::control::decide::Start;
use crate::control::digests::{self, IfExists};
use crate::control::limits::LimitChange;
use crate::control::presence::{FORGOTTEN_AFTER, HostOfRun};
use crate::control::{
    Change, Command, Context, ControlState, Environment, Target, Write, WriteGate, WritePolicy,
    WriteRules, decide,
};
use crate::digest::{Digest, DigestStatus};
use crate::kpi::MAX_LATE_DAYS;
use crate::kpi::summary::{AVERAGE_DAYS, Days};
use crate::kpi::sums::RETENTION_DAYS;
use crate::run::rules::RunPlan;
use crate::run::{RunGate, RunMode, RunRecord, RunUse};
use crate::settings::Registry;
use crate::store::{Commit, IdempotencyKey, IdempotencyRecord, RunStore};
use crate::text::{composed, is_hidden, looks_like_prefix};
use crate::usage::Budget;
use crate::{Clock, Error, ErrorKind, FieldError, Result, control};

/// Attempts of one write before the caller is asked to try again later.
const MAX_ATTEMPTS: usize = 64;

/// The actor of a write, the reason, and the idempotency key.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Caller {
    /// The actor's name.
    pub actor: String,
    /// The reason, at most 500 characters.
    pub reason: Option<String>,
    /// The key under which the write can be repeated safely.
    pub idempotency: Option<IdempotencyKey>,
}

/// The right to one write: of a person, checked against the write gate, or of simops itself.
///
/// [`Writer`](crate::ops::Writer) and [`SystemWriter`](crate::ops::SystemWriter) hand them out.
#[derive(Debug, Clone)]
pub struct WritePermit {
    caller: Caller,
    /// What a person writes; `None` for a write of simops itself, which the gate does not concern.
    write: Option<Write>,
}

impl WritePermit {
    /// The right of a part of simops to write on its own behalf, as `system:NAME`. The write gate
    /// does not apply, so it must not be used for what a person asks for.
    pub fn system(name: &str) -> Self {
        let caller = Caller { actor: format!("{SYSTEM}{name}"), ..Caller::default() };
        Self { caller, write: None }
    }

    /// The right of `caller` to `write` under `rules`.
    ///
    /// # Errors
    /// Returns `Forbidden` when the rules do not allow it.
    pub(crate) fn person(caller: &Caller, write: Write, rules: WriteRules) -> Result<Self> {
        rules.check(write)?;
        Ok(Self { caller: caller.clone(), write: Some(write) })
    }

    /// The same permit with a reason.
    #[must_use]
    pub fn with_reason(self, reason: Option<String>) -> Self {
        Self { caller: Caller { reason, ..self.caller }, ..self }
    }

    /// The same permit without an idempotency key.
    pub(crate) fn without_key(&self) -> Self {
        let caller = Caller { idempotency: None, ..self.caller.clone() };
        Self { caller, write: self.write }
    }

    /// The write of a person that it allows; `None` for one of simops itself.
    pub fn write(&self) -> Option<Write> {
        self.write
    }
}

/// The longest actor name, in characters; what is longer is cut.
const MAX_ACTOR_CHARS: usize = 120;
/// Reserved for simops itself.
const SYSTEM: &str = "system:";

/// The actor named by a request: trimmed, in normalisation form C, cut to 120 characters, `admin` when
/// empty.
///
/// # Errors
/// Returns `Invalid` for `field` when the name has control or format characters, or begins with
/// `system:` or something that looks like it.
pub fn actor_name(field: &str, given: &str) -> Result<String> {
    let name = given.trim();
    if name.chars().any(is_hidden) {
        return Err(Error::invalid(field, "must not contain control or format characters"));
    }
    if looks_like_prefix(name, SYSTEM) {
        return Err(Error::invalid(
            field,
            "must not begin with system: or what looks like it, which is reserved for simops",
        ));
    }
    let name: String = composed(name).chars().take(MAX_ACTOR_CHARS).collect();
    let name = name.trim_end();
    Ok(if name.is_empty() { "admin" } else { name }.to_owned())
}

/// A requested write, before the facts that only the store knows are loaded.
#[derive(Debug, Clone)]
pub(crate) enum Intent {
    /// Start a run, in the world that was just built for it, if any.
    Start(Box<RunPlan>, Option<i64>),
    /// Store a new digest.
    CreateDigest(Box<Digest>, IfExists),
    /// Publish or discard the digest with that slug.
    SetDigestStatus(String, DigestStatus),
    /// A command that needs no facts.
    Command(Command),
    /// A control of the run of that name, or of the current one.
    Control(RunControl, Option<String>),
    /// Evaluate the alert rules.
    EvaluateAlerts(Arc<AlertOptions>),
    /// Acknowledge an alert.
    AcknowledgeAlert(Uuid),
    /// Silence an alert until a time, or end its silence.
    SilenceAlert(Uuid, Option<Timestamp>),
    /// Send a message again.
    ReplayDelivery(Uuid),
    /// Define a budget or change it, also if that ends a run at once.
    PutBudget(Box<Budget>, bool),
    /// Delete the budget of that id.
    DeleteBudget(String),
    /// Write an audit row with a key and a value, about a change that is not part of the control
    /// state.
    Audit(String, Value),
}

/// What a control does with a run.
#[derive(Debug, Clone)]
pub(crate) enum RunControl {
    /// Ends it, and clears the current run if it is the one and that is asked for.
    Stop { clear_run_id: bool },
    /// Pauses it.
    Pause,
    /// Resumes it.
    Resume,
    /// Changes its limits.
    SetLimits(LimitChange),
}

impl Intent {
    /// Whether it belongs to run control: the store answers all that its decision needs before other
    /// reads.
    fn is_control(&self) -> bool {
        matches!(self, Self::Start(..) | Self::Command(_) | Self::Control(..) | Self::Audit(..))
    }
}

/// Decides writes and commits them.
pub(crate) struct Executor {
    pub(crate) store: Arc<dyn RunStore>,
    pub(crate) registry: Arc<Registry>,
    policy: WritePolicy,
    pub(crate) clock: Arc<dyn Clock>,
    // The name of the host that this process runs, and its world.
    own_host: Option<(String, String)>,
    // Serialises the commits of this process, which would otherwise conflict with each other.
    turn: Mutex<()>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredResponse {
    Done(Value),
    Refused { kind: ErrorKind, detail: String, fields: Vec<FieldError> },
}

impl Executor {
    /// An executor on `store`; `policy` is what the configuration says about writes.
    pub(crate) fn new(
        store: Arc<dyn RunStore>,
        registry: Arc<Registry>,
        policy: impl Into<WritePolicy>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let (policy, turn) = (policy.into(), Mutex::new(()));
        Self { store, registry, policy, clock, own_host: None, turn }
    }

    /// Sets the host that this process runs, by name and world: starts take it for connected.
    pub(crate) fn with_own_host(self, own_host: Option<(String, String)>) -> Self {
        Self { own_host, ..self }
    }

    /// The rules for writes on a database in `state`.
    pub(crate) fn rules_on(&self, state: &ControlState) -> WriteRules {
        self.policy.on(state.production_mark)
    }

    /// The rules for writes that are in force now.
    pub(crate) async fn rules(&self) -> Result<WriteRules> {
        let unmarked = self.policy.on(false);
        // The mark makes no difference to a process of production, and opens no closed gate.
        if unmarked == self.policy.on(true) || self.policy.gate == Some(WriteGate::Closed) {
            return Ok(unmarked);
        }
        Ok(self.rules_on(&self.store.load().await?))
    }

    /// Marks the database as production, if this process runs in production and the database
    /// outlives it.
    pub(crate) async fn mark_production(&self, permit: &WritePermit) -> Result<()> {
        let is_production = self.policy.environment == Environment::Production;
        if !is_production || !self.store.is_persistent() {
            return Ok(());
        }
        self.execute(permit, &Intent::Command(Command::MarkProduction), |_, _| ()).await
    }

    /// Executes `intent`; the response is what `answer` makes of the state before and the change.
    ///
    /// # Errors
    /// Returns the rejection of [`decide()`]; `Forbidden` when the rules for writes have changed;
    /// `Invalid` for an idempotency key that was used with another request; `Unavailable` when the
    /// database is unavailable (the outcome may be unknown: repeat with the same key) or too many
    /// others write.
    pub(crate) async fn execute<A: Serialize + DeserializeOwned>(
        &self,
        permit: &WritePermit,
        intent: &Intent,
        answer: impl Fn(&ControlState, &Change) -> A,
    ) -> Result<A> {
        // Reads of other writes may take long, and run control must not wait for them: it has the turn
        // for all of its attempt, others for the commit alone, which finds what has changed meanwhile.
        for _ in 0..MAX_ATTEMPTS {
            let turn = match intent.is_control() {
                true => Some(self.turn.lock().await),
                false => None,
            };
            if let Some(first) = self.replay(permit).await? {
                return first;
            }
            let state = self.store.load().await?;
            let decided = self.decide(&state, permit, intent).await;
            let (change, result) = match decided {
                Ok(change) => {
                    let answer = answer(&state, &change);
                    (Some(change), Ok(answer))
                }
                Err(error) if is_verdict(&error) => (None, Err(error)),
                Err(error) => return Err(error),
            };
            let _turn = match turn {
                Some(turn) => turn,
                None => self.turn.lock().await,
            };
            if self.store_answer(permit, change.as_ref(), &result).await? == Commit::Done {
                return result;
            }
        }
        Err(Error::unavailable("too many others change the control state at once; try again"))
    }

    /// Checks whether `intent` would be granted now, without executing it.
    ///
    /// # Errors
    /// As [`Executor::execute`].
    pub(crate) async fn rehearse(&self, permit: &WritePermit, intent: &Intent) -> Result<Change> {
        let state = self.store.load().await?;
        self.decide(&state, permit, intent).await
    }

    /// Returns `result`, and stores it under the caller's key unless it is a failure to reach a
    /// decision. A response stored meanwhile takes precedence.
    pub(crate) async fn respond<A: Serialize + DeserializeOwned>(
        &self,
        permit: &WritePermit,
        result: Result<A>,
    ) -> Result<A> {
        if result.as_ref().err().is_none_or(is_verdict)
            && self.store_answer(permit, None, &result).await? == Commit::Conflict
            && let Some(first) = self.replay(permit).await?
        {
            return first;
        }
        result
    }

    /// Runs `work`, which does not change the control state, unless the caller's key has a response
    /// already; stores the response under the key.
    ///
    /// # Errors
    /// Returns the error of `work`, which is stored if it is a decision; `Invalid` for a key that was
    /// used with another request.
    pub(crate) async fn once<A: Serialize + DeserializeOwned>(
        &self,
        permit: &WritePermit,
        work: impl Future<Output = Result<A>>,
    ) -> Result<A> {
        match self.replay(permit).await? {
            Some(first) => first,
            None => self.respond(permit, work.await).await,
        }
    }

    /// The response stored under the caller's key.
    ///
    /// # Errors
    /// Returns `Invalid` when the key was used with another request.
    pub(crate) async fn replay<A: DeserializeOwned>(
        &self,
        permit: &WritePermit,
    ) -> Result<Option<Result<A>>> {
        let Some(key) = &permit.caller.idempotency else { return Ok(None) };
        let recorded = self.store.idempotency_record(&key.key).await?;
        let Some(recorded) = recorded.filter(|found| !found.is_expired(self.clock.now())) else {
            return Ok(None);
        };
        if recorded.fingerprint != key.fingerprint {
            return Err(Error::invalid("Idempotency-Key", "was used with another request"));
        }
        let unreadable =
            |error| Error::internal("a recorded answer is unreadable").with_source(error);
        match serde_json::from_value(recorded.answer).map_err(unreadable)? {
            StoredResponse::Done(body) => {
                Ok(Some(serde_json::from_value(body).map_err(unreadable)))
            }
            StoredResponse::Refused { fields, .. } if !fields.is_empty() => {
                Ok(Some(Err(Error::invalid_fields(fields))))
            }
            StoredResponse::Refused { kind, detail, .. } => Ok(Some(Err(Error::new(kind, detail)))),
        }
    }

    async fn decide(
        &self,
        state: &ControlState,
        permit: &WritePermit,
        intent: &Intent,
    ) -> Result<Change> {
        let now = self.clock.now();
        // The database may have been marked since the permit was given; the commit names this state.
        let rules = self.rules_on(state);
        if let Some(write) = permit.write {
            rules.check(write)?;
        }
        let context = Context {
            registry: &self.registry,
            environment: rules.environment(),
            actor: &permit.caller.actor,
            reason: permit.caller.reason.as_deref(),
            now,
        };
        match intent {
            Intent::Command(command) => decide(state, command, &context),
            Intent::CreateDigest(digest, if_exists) => {
                let existing = self.store.digests_of(digest.anchor_date).await?;
                Ok(digests::create(state, digest, &existing, *if_exists, &context))
            }
            Intent::SetDigestStatus(slug, to) => {
                let digest = found("digest", slug, self.store.digest(slug).await?)?;
                digests::set_status(state, &digest, *to, &context)
            }
            Intent::Start(plan, epoch) => {
                let start = self.start_facts(plan, *epoch, state, now).await?;
                let group = plan.run.group_id.as_deref();
                self.check_affordable(state, &start.run_id, group, now).await?;
                decide(state, &Command::Start(Box::new(start)), &context)
            }
            Intent::Control(control, run_id) => {
                let target = self.target(state, run_id.as_deref()).await?;
                let command = match control {
                    RunControl::Stop { clear_run_id } => {
                        Command::Stop { target, clear_run_id: *clear_run_id }
                    }
                    RunControl::Pause => Command::Pause(target),
                    RunControl::Resume => {
                        if let Some(run) =
                            target.run(state).filter(|run| run.gate() != RunGate::Open)
                        {
                            let (run_id, group) = (&run.run_id, run.group_id.as_deref());
                            self.check_affordable(state, run_id, group, now).await?;
                        }
                        let used = self.use_of(target.run(state), false, now).await?;
                        Command::Resume { target, used }
                    }
                    RunControl::SetLimits(change) => {
                        let used = self.use_of(target.run(state), true, now).await?;
                        Command::SetLimits { target, used, change: change.clone() }
                    }
                };
                decide(state, &command, &context)
            }
            Intent::EvaluateAlerts(options) => self.evaluate(state, options, &context).await,
            Intent::AcknowledgeAlert(id) => {
                let alert = found("alert", id, self.store.alert(*id).await?)?;
                let after = alert.acknowledged(context.actor, now)?;
                Ok(alerts::change_of_alert(state, &alert, after, &context))
            }
            Intent::SilenceAlert(id, until) => {
                let alert = found("alert", id, self.store.alert(*id).await?)?;
                let after = alert.silenced(context.actor, *until, now)?;
                Ok(alerts::change_of_alert(state, &alert, after, &context))
            }
            Intent::Audit(key, value) => {
                let values = vec![(key.clone(), Value::Null, value.clone())];
                let none = AlertRecords::default();
                Ok(Change::of_records(state, values, Vec::new(), none, &context))
            }
            Intent::PutBudget(budget, force) => {
                let known = self.store.budgets().await?;
                let would_end = match force {
                    true => None,
                    false => self.run_to_end(state, &known, budget, now).await?,
                };
                control::budgets::put(state, &known, budget, would_end.as_ref(), &context)
            }
            Intent::DeleteBudget(id) => {
                let known = self.store.budgets().await?;
                let budget = found("budget", id, known.get(id))?;
                Ok(control::budgets::delete(state, budget, &context))
            }
            Intent::ReplayDelivery(id) => {
                let delivery = found("delivery", id, self.store.delivery(*id).await?)?;
                alerts::replay(state, &delivery, &context)
            }
        }
    }

    // Alerts and messages are read after the state: if they have changed since, the commit is a
    // conflict.
    async fn evaluate(
        &self,
        state: &ControlState,
        options: &AlertOptions,
        context: &Context<'_>,
    ) -> Result<Change> {
        let days = compared_days(&*self.store, day_of(context.now), 0).await?;
        let newest = self.store.newest_alerts().await?;
        let found = AlertUpdate::of(options, &days, &newest, context.now);
        let last_sent = match found.fingerprint() {
            Some(fingerprint) => self.store.last_message(&fingerprint).await?,
            None => None,
        };
        let mut gone = Vec::new();
        for receiver in &options.receivers {
            let last = self.store.last_attempted(&receiver.sink, &receiver.target).await?;
            if last.is_some_and(|last| last.state == DeliveryState::Gone) {
                gone.push(receiver.clone());
            }
        }
        let recent = self.store.messages(None, notify::MAX_PER_HOUR).await?.items;
        let history = History {
            last_sent: last_sent.map(|sent| sent.message.created_at),
            recent: recent.into_iter().map(|sent| sent.message).collect(),
            alerts: self.store.alerts(None, notify::MAX_SUMMARISED).await?.items,
        };
        Ok(found.change(state, options, &history, |receiver| gone.contains(receiver), context))
    }

    async fn start_facts(
        &self,
        plan: &RunPlan,
        new_epoch: Option<i64>,
        state: &ControlState,
        now: Timestamp,
    ) -> Result<Start> {
        let (run_id, taken) = match &plan.run_id {
            Some(run_id) => (run_id.clone(), self.store.run(run_id).await?.is_some()),
            None => (self.free_run_id(plan.run.mode, now).await?, false),
        };
        let mut missing_runs = Vec::new();
        let named = [&plan.run.parent_run_id, &plan.run.mirror_control_run_id];
        for named in named.into_iter().flatten() {
            if self.store.run(named).await?.is_none() {
                missing_runs.push(named.clone());
            }
        }
        let hosts = self.store.hosts(now - FORGOTTEN_AFTER).await?;
        let requested = plan.run.host.as_deref();
        let own = self.own_host.as_ref();
        let host = HostOfRun::of_start(requested, &hosts, own, &state.worlds, now)?;
        Ok(Start { plan: plan.clone(), run_id, taken, host, missing_runs, new_epoch })
    }

    /// What a run has used; nothing if it has no limits, unless `always`.
    async fn use_of(
        &self,
        run: Option<&RunRecord>,
        always: bool,
        now: Timestamp,
    ) -> Result<RunUse> {
        let Some(run) = run.filter(|run| always || run.limits.is_some()) else {
            return Ok(RunUse::default());
        };
        let used = use_of_runs(&*self.store, std::slice::from_ref(run), now).await?;
        Ok(used.into_iter().next().unwrap_or_default())
    }

    /// The run of that name, or the current one.
    ///
    /// # Errors
    /// Returns `NotFound` when there is no such run.
    async fn target(&self, state: &ControlState, run_id: Option<&str>) -> Result<Target> {
        let Some(run_id) = run_id else { return Ok(Target::Current) };
        let run = match state.known_run(run_id) {
            Some(run) => run.clone(),
            None => found("run", run_id, self.store.run(run_id).await?)?,
        };
        Ok(Target::Named(Box::new(run)))
    }

    /// The default id, followed by `-2`, `-3`, … for further runs started in the same second.
    async fn free_run_id(&self, mode: RunMode, now: Timestamp) -> Result<String> {
        let base = format!("{}-{}", mode.as_str(), now.strftime("%Y%m%dT%H%M%SZ"));
        let mut candidate = base.clone();
        let mut next = 2_u32;
        while self.store.run(&candidate).await?.is_some() {
            candidate = format!("{base}-{next}");
            next += 1;
        }
        Ok(candidate)
    }

    async fn store_answer<A: Serialize>(
        &self,
        permit: &WritePermit,
        change: Option<&Change>,
        result: &Result<A>,
    ) -> Result<Commit> {
        let recorded = match &permit.caller.idempotency {
            None => None,
            Some(key) => Some((key, self.recorded(key, result)?)),
        };
        let answer = recorded.as_ref().map(|(key, recorded)| (*key, recorded));
        match (change.filter(|change| !change.is_empty()), answer) {
            (Some(change), answer) => self.store.commit(change, answer).await,
            (None, Some((key, recorded))) => self.store.save_idempotency(key, recorded).await,
            (None, None) => Ok(Commit::Done),
        }
    }

    fn recorded<A: Serialize>(
        &self,
        key: &IdempotencyKey,
        result: &Result<A>,
    ) -> Result<IdempotencyRecord> {
        let unwritable = |error| Error::internal("an answer cannot be stored").with_source(error);
        let answer = match result {
            Ok(body) => StoredResponse::Done(serde_json::to_value(body).map_err(unwritable)?),
            Err(error) => StoredResponse::Refused {
                kind: error.kind(),
                detail: error.detail().to_owned(),
                fields: error.fields().to_vec(),
            },
        };
        Ok(IdempotencyRecord {
            fingerprint: key.fingerprint.clone(),
            answer: serde_json::to_value(answer).map_err(unwritable)?,
            created_at: self.clock.now(),
        })
    }
}

/// What each of these runs has used at `now`, in their order.
pub(crate) async fn use_of_runs(
    store: &dyn RunStore,
    runs: &[RunRecord],
    now: Timestamp,
) -> Result<Vec<RunUse>> {
    let run_ids: Vec<_> = runs.iter().map(|run| run.run_id.clone()).collect();
    let calls: HashMap<_, _> = store.llm_totals_by_run(&run_ids).await?.into_iter().collect();
    let mut actions = HashMap::<_, i64>::new();
    for (run_id, count) in store.count_events_by_run(&run_ids).await? {
        // Events with a mode are actions.
        if count.mode.is_some() {
            *actions.entry(run_id).or_default() += count.count;
        }
    }
    let of = |run: &RunRecord| {
        let calls = calls.get(&run.run_id).copied().unwrap_or_default();
        RunUse {
            cost: calls.cost,
            calls: calls.calls,
            tokens: calls.total_tokens,
            actions: actions.get(&run.run_id).copied().unwrap_or_default(),
            active: run.active_time(now),
        }
    };
    Ok(runs.iter().map(of).collect())
}

/// The sums of the last `days` days and of the days that they are compared with.
pub(crate) async fn compared_days(store: &dyn RunStore, today: Date, days: i64) -> Result<Days> {
    // The latest cohort that is mature, wherever it lies, has a week before it.
    let back = days.max(MAX_LATE_DAYS) + AVERAGE_DAYS + RETENTION_DAYS[1] + 1;
    let failed = |error| Error::internal("there is no such day").with_source(error);
    store.kpi_days(today.checked_sub(back.days()).map_err(failed)?, today).await
}

/// The object, which must exist.
///
/// # Errors
/// Returns `NotFound` naming what there is none of.
pub(crate) fn found<T>(what: &str, name: impl Display, object: Option<T>) -> Result<T> {
    object.ok_or_else(|| Error::not_found(format!("there is no {what} {name}")))
}

/// Whether the error is a decision rather than a failure to reach one. `Forbidden` is none: the same
/// request may be granted under other rules.
fn is_verdict(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Invalid | ErrorKind::Rejected | ErrorKind::Conflict)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_actor_is_trimmed_cut_and_never_simops_itself() {
        let name = |given: &str| actor_name("X-Admin-User", given).ok();
        assert_eq!(name("  ada "), Some("ada".to_owned()));
        assert_eq!(name(" "), Some("admin".to_owned()));
        assert_eq!(name(&"é".repeat(200)), Some("é".repeat(120)));
        assert_eq!(name("a\tb"), None);
        for disguised in ["System:guardrail", "ѕуstem:guardrail", "system：x", "sys tem:x"] {
            assert_eq!(name(disguised), None, "{disguised}");
        }
        for hidden in ["a\u{200b}da", "ada\u{202e}", "a\u{ad}da", "a\u{2028}da"] {
            assert_eq!(name(hidden), None, "{hidden:?}");
        }
        assert_eq!(name("Ame\u{301}lie"), Some("Amélie".to_owned()));
        assert_eq!(name("systém:x"), Some("systém:x".to_owned()));
    }
}
