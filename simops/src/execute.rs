//! From an intent to a commit: load, decide, commit, and once more when somebody was faster.
//!
//! The one place where control state is changed. An idempotency key's first answer, success or
//! refusal, is stored with the change it belongs to and repeated from then on.

use std::sync::Arc;

use jiff::civil::Date;
use jiff::{Timestamp, ToSpan};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::alert::{Alert, AlertOptions, DeliveryState};
use crate::clock::day_of;
use crate::control::alerts::{self, AlertUpdate, EvaluationInput};
use crate::control::decide::Start;
use crate::control::digests::{IfExists, NewDraft};
use crate::control::{Change, Command, Context, ControlState, Environment, decide};
use crate::digest::{Digest, DigestStatus};
use crate::kpi::MAX_LATE_DAYS;
use crate::kpi::summary::{AVERAGE_DAYS, Days};
use crate::kpi::sums::RETENTION_DAYS;
use crate::run::rules::RunPlan;
use crate::settings::Registry;
use crate::store::{Commit, IdempotencyKey, IdempotencyRecord, RunStore};
use crate::{Clock, Error, ErrorKind, FieldError, Result};

/// How often a decision is made anew before the caller is told to come back.
const MAX_ATTEMPTS: usize = 64;

/// Who asks and why.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Caller {
    /// The actor's name.
    pub actor: String,
    /// Why, checked by [`crate::run::rules::check_reason`].
    pub reason: Option<String>,
    /// The caller's name for this write, if it may be repeated.
    pub idempotency: Option<IdempotencyKey>,
}

impl Caller {
    /// A part of simops itself: `system:NAME`.
    pub fn system(name: &str) -> Self {
        Self { actor: format!("{SYSTEM}{name}"), ..Self::default() }
    }
}

/// The longest actor name, in characters; what is longer is cut.
const MAX_ACTOR_CHARS: usize = 120;
/// Names that begin so are simops's own.
const SYSTEM: &str = "system:";

/// The actor that somebody outside gives as a name: trimmed, cut to 120 characters, `admin` when
/// nothing is left.
///
/// # Errors
/// `Invalid` for `field` when the name has control characters, or would pass for simops itself.
pub fn actor_name(field: &str, given: &str) -> Result<String> {
    let name = given.trim();
    if name.chars().any(char::is_control) {
        return Err(Error::invalid(field, "must not contain control characters"));
    }
    if name.get(..SYSTEM.len()).is_some_and(|start| start.eq_ignore_ascii_case(SYSTEM)) {
        return Err(Error::invalid(field, "must not begin with system:, which is simops itself"));
    }
    let name: String = name.chars().take(MAX_ACTOR_CHARS).collect();
    let name = name.trim_end();
    Ok(if name.is_empty() { "admin" } else { name }.to_owned())
}

/// What is asked for, before the store's facts are known.
#[derive(Debug, Clone)]
pub enum Intent {
    /// Start a run, in a world just built if there is one.
    Start(Box<RunPlan>, Option<i64>),
    /// Keep a digest, unless its date has one.
    Draft(Box<Digest>, IfExists),
    /// Publish or discard the digest of that name.
    MoveDraft(String, DigestStatus),
    /// A command that needs no facts.
    Command(Command),
    /// Hold the rules against the days.
    EvaluateAlerts(Arc<AlertOptions>),
    /// Say that somebody knows of an alert.
    AcknowledgeAlert(Uuid),
    /// Tell nobody of an alert before a time, or again.
    SilenceAlert(Uuid, Option<Timestamp>),
    /// Try a delivery again.
    ReplayDelivery(Uuid),
}

/// Decides and commits.
pub struct Executor {
    store: Arc<dyn RunStore>,
    registry: Arc<Registry>,
    environment: Environment,
    clock: Arc<dyn Clock>,
    // Writers of this process take turns, so that they do not outdate each other's decisions.
    turn: Mutex<()>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Done(Value),
    Refused { kind: ErrorKind, detail: String, fields: Vec<FieldError> },
}

impl Executor {
    /// An executor on `store`.
    pub fn new(
        store: Arc<dyn RunStore>,
        registry: Arc<Registry>,
        environment: Environment,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { store, registry, environment, clock, turn: Mutex::new(()) }
    }

    /// Makes `intent` true and answers with what `answer` says of the state before and after it.
    ///
    /// # Errors
    /// What [`decide()`] refuses; `Invalid` for a key used with another request; `Unavailable` when
    /// the store is away (the outcome may be unknown: repeat with the same key) or too many others
    /// write.
    pub async fn execute<A: Serialize + DeserializeOwned>(
        &self,
        caller: &Caller,
        intent: &Intent,
        answer: impl Fn(&ControlState, &ControlState) -> A,
    ) -> Result<A> {
        self.execute_change(caller, intent, |before, change| answer(before, &change.next)).await
    }

    /// The same with an answer that may look at the whole change.
    ///
    /// # Errors
    /// As [`Executor::execute`].
    pub async fn execute_change<A: Serialize + DeserializeOwned>(
        &self,
        caller: &Caller,
        intent: &Intent,
        answer: impl Fn(&ControlState, &Change) -> A,
    ) -> Result<A> {
        let _turn = self.turn.lock().await;
        for _ in 0..MAX_ATTEMPTS {
            if let Some(first) = self.replay(caller).await? {
                return first;
            }
            let state = self.store.load().await?;
            let decided = self.decide(&state, caller, intent).await;
            let result = match &decided {
                Ok(change) => Ok(answer(&state, change)),
                Err(error) if is_verdict(error) => Err(error),
                Err(_) => return decided.and_then(|_| Err(Error::internal("no verdict"))),
            };
            let commit = self.store_answer(caller, decided.as_ref().ok(), &result).await?;
            if commit == Commit::Done {
                return match result {
                    Ok(answer) => Ok(answer),
                    Err(_) => decided.and_then(|_| Err(Error::internal("no verdict"))),
                };
            }
        }
        Err(Error::unavailable("too many others change the control state at once; try again"))
    }

    /// Whether `intent` would be granted now, without doing it.
    ///
    /// # Errors
    /// As [`Executor::execute`].
    pub async fn rehearse(&self, caller: &Caller, intent: &Intent) -> Result<()> {
        let state = self.store.load().await?;
        self.decide(&state, caller, intent).await.map(drop)
    }

    /// Answers with `refusal`, and remembers it as the answer to the caller's key if it is a verdict
    /// rather than a failure to reach one. An answer given meanwhile stands.
    ///
    /// # Errors
    /// Always, unless the key was answered with a success meanwhile.
    pub async fn refuse<A: DeserializeOwned>(&self, caller: &Caller, refusal: Error) -> Result<A> {
        if is_verdict(&refusal) {
            let refused = Err::<(), _>(&refusal);
            if self.store_answer(caller, None, &refused).await? == Commit::Conflict
                && let Some(first) = self.replay(caller).await?
            {
                return first;
            }
        }
        Err(refusal)
    }

    /// The answer to work that changes nothing of the control state: the first one again when the
    /// caller's key has it, else that of `work`, which is then kept under the key.
    ///
    /// # Errors
    /// Those of `work`, of which only verdicts are kept; `Invalid` for a key used with another
    /// request.
    pub async fn once<A: Serialize + DeserializeOwned>(
        &self,
        caller: &Caller,
        work: impl Future<Output = Result<A>>,
    ) -> Result<A> {
        if let Some(first) = self.replay(caller).await? {
            return first;
        }
        let answer = match work.await {
            Err(error) => return self.refuse(caller, error).await,
            Ok(answer) => answer,
        };
        let commit = self.store_answer(caller, None, &Ok(&answer)).await?;
        match self.replay(caller).await? {
            Some(first) if commit == Commit::Conflict => first,
            _ => Ok(answer),
        }
    }

    /// The answer given earlier under the caller's key.
    ///
    /// # Errors
    /// `Invalid` when the key was used with another request.
    pub async fn replay<A: DeserializeOwned>(&self, caller: &Caller) -> Result<Option<Result<A>>> {
        let Some(key) = &caller.idempotency else { return Ok(None) };
        let Some(recorded) = self.store.idempotency_record(&key.key).await? else {
            return Ok(None);
        };
        if recorded.fingerprint != key.fingerprint {
            return Err(Error::invalid("Idempotency-Key", "was used with another request"));
        }
        let unreadable =
            |error| Error::internal("a recorded answer is unreadable").with_source(error);
        match serde_json::from_value(recorded.answer).map_err(unreadable)? {
            Answer::Done(body) => Ok(Some(serde_json::from_value(body).map_err(unreadable))),
            Answer::Refused { fields, .. } if !fields.is_empty() => {
                Ok(Some(Err(Error::invalid_fields(fields))))
            }
            Answer::Refused { kind, detail, .. } => Ok(Some(Err(Error::new(kind, detail)))),
        }
    }

    async fn decide(
        &self,
        state: &ControlState,
        caller: &Caller,
        intent: &Intent,
    ) -> Result<Change> {
        let now = self.clock.now();
        let context = Context {
            registry: &self.registry,
            environment: self.environment,
            actor: &caller.actor,
            reason: caller.reason.as_deref(),
            now,
        };
        match intent {
            Intent::Command(command) => decide(state, command, &context),
            Intent::Draft(draft, if_exists) => {
                let existing = self.store.digests_of(draft.anchor_date).await?;
                let new = NewDraft { draft: (**draft).clone(), existing, if_exists: *if_exists };
                decide(state, &Command::Draft(Box::new(new)), &context)
            }
            Intent::MoveDraft(slug, to) => {
                let draft = self.store.digest(slug).await?;
                let draft =
                    draft.ok_or_else(|| Error::not_found(format!("there is no digest {slug}")))?;
                decide(state, &Command::MoveDraft { draft: Box::new(draft), to: *to }, &context)
            }
            Intent::Start(plan, epoch) => {
                let start = self.start_facts(plan, *epoch, now).await?;
                decide(state, &Command::Start(Box::new(start)), &context)
            }
            Intent::EvaluateAlerts(options) => self.evaluate(state, options, &context).await,
            Intent::AcknowledgeAlert(id) => {
                alerts::acknowledge(state, &self.alert(*id).await?, &context)
            }
            Intent::SilenceAlert(id, until) => {
                alerts::silence(state, &self.alert(*id).await?, *until, &context)
            }
            Intent::ReplayDelivery(id) => {
                let delivery = self.store.delivery(*id).await?;
                let unknown = || Error::not_found(format!("there is no delivery {id}"));
                alerts::replay(state, &delivery.ok_or_else(unknown)?, &context)
            }
        }
    }

    // Whatever an alert or a message is read after the state was loaded belongs to that state, or the
    // commit finds that the generation has moved.
    async fn evaluate(
        &self,
        state: &ControlState,
        options: &AlertOptions,
        context: &Context<'_>,
    ) -> Result<Change> {
        let today = day_of(context.now);
        let days = compared_days(&*self.store, today, 0).await?;
        let newest = self.store.newest_alerts().await?;
        let facts = EvaluationInput { days: &days, newest: &newest, today };
        let found = AlertUpdate::of(options, &facts, context.now);
        let last_told = match found.fingerprint() {
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
        let last_told = last_told.map(|sent| sent.message.created_at);
        Ok(found.change(state, options, last_told, |receiver| gone.contains(receiver), context))
    }

    async fn alert(&self, id: Uuid) -> Result<Alert> {
        let alert = self.store.alert(id).await?;
        alert.ok_or_else(|| Error::not_found(format!("there is no alert {id}")))
    }

    async fn start_facts(
        &self,
        plan: &RunPlan,
        new_epoch: Option<i64>,
        now: jiff::Timestamp,
    ) -> Result<Start> {
        let (run_id, taken) = match &plan.run_id {
            Some(run_id) => (run_id.clone(), self.store.run(run_id).await?.is_some()),
            None => (self.free_run_id(&plan.default_run_id(now)).await?, false),
        };
        let parent_exists = match &plan.parent_run_id {
            Some(parent) => self.store.run(parent).await?.is_some(),
            None => true,
        };
        Ok(Start { plan: plan.clone(), run_id, taken, parent_exists, new_epoch })
    }

    /// `base`, or `base-2`, `base-3`, … when runs were started in the same second.
    async fn free_run_id(&self, base: &str) -> Result<String> {
        let mut candidate = base.to_owned();
        let mut next = 2_u32;
        while self.store.run(&candidate).await?.is_some() {
            candidate = format!("{base}-{next}");
            next += 1;
        }
        Ok(candidate)
    }

    async fn store_answer<A: Serialize>(
        &self,
        caller: &Caller,
        change: Option<&Change>,
        result: &Result<A, &Error>,
    ) -> Result<Commit> {
        let recorded = match &caller.idempotency {
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
        result: &Result<A, &Error>,
    ) -> Result<IdempotencyRecord> {
        let unwritable = |error| Error::internal("an answer cannot be stored").with_source(error);
        let answer = match result {
            Ok(body) => Answer::Done(serde_json::to_value(body).map_err(unwritable)?),
            Err(error) => Answer::Refused {
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

/// The sums of the last `days` days, and of as many as these may be compared with.
///
/// # Errors
/// Of the store.
pub async fn compared_days(store: &dyn RunStore, today: Date, days: i64) -> Result<Days> {
    // The latest cohort that is mature, wherever it lies, has a week before it.
    let back = days.max(MAX_LATE_DAYS) + AVERAGE_DAYS + RETENTION_DAYS[1] + 1;
    let failed = |error| Error::internal("there is no such day").with_source(error);
    store.kpi_days(today.checked_sub(back.days()).map_err(failed)?, today).await
}

/// Whether the error is the decision itself, rather than a failure to reach one.
fn is_verdict(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Invalid | ErrorKind::Rejected | ErrorKind::Conflict | ErrorKind::Forbidden
    )
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
        assert_eq!(name("System:guardrail"), None);
        assert_eq!(name("systém:x"), Some("systém:x".to_owned()));
    }
}
