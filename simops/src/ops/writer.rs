//! The write capabilities: [`Writer`] for people, [`SystemWriter`] for simops itself.

use serde_json::{Value, json};

use super::{Caller, Ops, actor_name};
use crate::control::{Command, Write, WriteRules};
use crate::execute::{Intent, WritePermit};
use crate::run::rules::check_reason;
use crate::{Error, ErrorKind, Result};

/// A size that no failure makes smaller.
const MIN_BATCH: usize = 20;

/// How many rows are deleted in one transaction.
pub(super) struct BatchSize(pub(super) usize);

impl BatchSize {
    /// Makes it smaller after a failure: a disk that is full may have no space for more.
    ///
    /// # Errors
    /// Returns the error when it does not depend on the size, or the size is the smallest.
    pub(super) fn shrink(&mut self, error: Error) -> Result<()> {
        if error.kind() != ErrorKind::Unavailable || self.0 <= MIN_BATCH {
            return Err(error);
        }
        self.0 = (self.0 / 4).max(MIN_BATCH);
        Ok(())
    }
}

/// Writes on behalf of a person.
///
/// [`Ops::writer`] gives it out after checking the write gate, the production mark and the
/// environment; every write that a person can ask for is a method of it. [`Write`] lists them.
///
/// ```
/// # use std::sync::Arc;
/// # use simops::control::Environment;
/// # use simops::ops::{Caller, Ops, OpsOptions, RunBody, StartRun};
/// # use simops::testing::MemoryStore;
/// # use simops::{ErrorKind, SystemClock};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> simops::Result<()> {
/// let options = OpsOptions::of(Environment::Development);
/// let ops = Ops::new(Arc::new(MemoryStore::new()), Arc::new(SystemClock), options);
///
/// let caller = Caller { actor: "ada".to_owned(), ..Caller::default() };
/// let writer = ops.writer(&caller).await?;
/// let start = StartRun { mode: Some("test".to_owned()), ..StartRun::default() };
/// let run = writer.start_run(&start).await?;
/// writer.pause(&RunBody::default()).await?;
/// assert_eq!(ops.status().await?.viewer_ops.run_id, run.run_id);
///
/// // In production the gate is closed unless the configuration opens it.
/// let options = OpsOptions::of(Environment::Production);
/// let ops = Ops::new(Arc::new(MemoryStore::new()), Arc::new(SystemClock), options);
/// let refused = ops.writer(&caller).await.map(drop).unwrap_err();
/// assert_eq!(refused.kind(), ErrorKind::Forbidden);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Writer<'a> {
    pub(super) ops: &'a Ops,
    caller: Caller,
    rules: WriteRules,
}

/// Writes of simops itself, which the write gate does not concern: guardrails, timers, reports, and
/// the events of visitors. It must not be used for what a person asks for.
#[derive(Clone, Copy)]
pub struct SystemWriter<'a> {
    pub(super) ops: &'a Ops,
}

impl Ops {
    /// The rules for writes that are in force now.
    pub async fn write_rules(&self) -> Result<WriteRules> {
        self.executor.rules().await
    }

    /// The right of `caller` to write. A gate that is `stop-only` gives a writer whose other methods
    /// return `Forbidden`.
    ///
    /// # Errors
    /// Returns `Forbidden` when the write gate is closed, and `Invalid` for a name that
    /// [`actor_name`] refuses.
    pub async fn writer(&self, caller: &Caller) -> Result<Writer<'_>> {
        let rules = self.write_rules().await?;
        // Passes every gate that is not closed.
        rules.check_gate(Some(Write::Pause))?;
        let actor = actor_name("actor", &caller.actor)?;
        Ok(Writer { ops: self, caller: Caller { actor, ..caller.clone() }, rules })
    }

    /// The right of simops to write on its own behalf.
    pub fn system(&self) -> SystemWriter<'_> {
        SystemWriter { ops: self }
    }
}

impl Writer<'_> {
    /// The right to one write.
    ///
    /// # Errors
    /// Returns `Forbidden` when the gate or the environment does not allow it.
    pub fn permit(&self, write: Write) -> Result<WritePermit> {
        WritePermit::person(&self.caller, write, self.rules)
    }

    /// The same with the reason of the request.
    pub(super) fn permit_for(&self, write: Write, reason: Option<&str>) -> Result<WritePermit> {
        Ok(self.permit(write)?.with_reason(check_reason(reason)?))
    }

    /// Writes an audit row about a change that is not part of the control state.
    pub(super) async fn audit(
        &self,
        permit: &WritePermit,
        key: String,
        value: Value,
    ) -> Result<()> {
        let intent = Intent::Audit(key, value);
        // The caller's key is for the response to the whole change.
        self.ops.executor.execute(&permit.without_key(), &intent, |_, _| ()).await
    }

    /// Writes an audit row about a deletion in pieces that has ended: under `name`, how many were deleted.
    ///
    /// # Errors
    /// The failure of the deletion, with that number.
    pub(super) async fn audit_deleted(
        &self,
        permit: &WritePermit,
        key: String,
        name: &str,
        deleted: u64,
        done: Result<()>,
    ) -> Result<()> {
        if deleted == 0 {
            return done;
        }
        let audited = self.audit(permit, key, json!({ name: deleted })).await;
        let before = format!("{deleted} were deleted before the deletion failed");
        done.map_err(|error| error.about(before)).and(audited)
    }

    /// Checks between two parts of a long write that the gate still allows it.
    pub(super) async fn still_permits(&self, write: Write) -> Result<()> {
        self.ops.write_rules().await?.check(write)
    }

    /// The rules that were checked.
    pub(super) fn rules(&self) -> WriteRules {
        self.rules
    }

    /// Removes the production mark of the database, so that each process follows its own environment
    /// again. The next start of a server or worker in production sets it again.
    ///
    /// # Errors
    /// Returns `Forbidden` when the gate does not allow it, and an error when the database cannot be
    /// written.
    pub async fn unmark_production(&self, reason: Option<&str>) -> Result<()> {
        let permit = self.permit_for(Write::UnmarkProduction, reason)?;
        let intent = Intent::Command(Command::UnmarkProduction);
        self.ops.executor.execute(&permit, &intent, |_, _| ()).await
    }
}

impl SystemWriter<'_> {
    /// Marks the database as production when this process runs in production. From then on the rules
    /// of production apply to every process on the database. A database in memory is not marked.
    ///
    /// Servers and workers call it when they have opened the database.
    pub async fn mark_production(self) -> Result<()> {
        self.ops.executor.mark_production(&WritePermit::system("server")).await
    }
}
