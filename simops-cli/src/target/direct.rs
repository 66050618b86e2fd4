//! A database as the target: the library's use cases, in this process.

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value, json};
use simops::alert::AlertOptions;
use simops::control::AuditHead;
use simops::digest::{DigestStatus, Requirements, Schedule};
use simops::ops::{Caller, Ops, OpsOptions, Writer};
use simops::progress::NO_PROGRESS;
use simops::store::RunStore;
use simops::{ErrorKind, SystemClock};

use crate::database;
use crate::exit::Failure;
use crate::globals::{Globals, OnDatabase};
use crate::print;
use crate::request::Request;

/// The use cases on a database.
pub(crate) struct Direct {
    ops: Ops,
    caller: Caller,
}

impl Direct {
    /// The database, under the rules of its environment.
    pub(crate) async fn open(on: OnDatabase<'_>) -> Result<Self, Failure> {
        Self::with_gate(on, Requirements::default()).await
    }

    /// The same, where a digest needs at least `gate`.
    pub(crate) async fn with_gate(on: OnDatabase<'_>, gate: Requirements) -> Result<Self, Failure> {
        Self::on(database::open(&on.database()?).await?, on.0, gate)
    }

    /// The same for commands that change nothing: a database that may only be read will do.
    pub(crate) async fn open_to_read(on: OnDatabase<'_>) -> Result<Self, Failure> {
        let store = database::open_to_read(&on.database()?).await?;
        Self::on(store, on.0, Requirements::default())
    }

    fn on(
        store: Arc<dyn RunStore>,
        globals: &Globals,
        digest_gate: Requirements,
    ) -> Result<Self, Failure> {
        let caller = Caller { actor: globals.actor()?, ..Caller::default() };
        let options = OpsOptions {
            environment: globals.environment,
            write_gate: globals.admin_write_enabled,
            registry: database::registry()?,
            output_folder: globals.simops_output_dir.clone(),
            alerts: AlertOptions::default(),
            digest_gate,
            // Scheduled work is the server's.
            digest_schedule: Schedule::default(),
        };
        Ok(Self { ops: Ops::new(store, Arc::new(SystemClock), options), caller })
    }

    /// The use cases.
    pub(crate) fn ops(&self) -> &Ops {
        &self.ops
    }

    /// The right to write, as the actor of this command.
    pub(crate) async fn writer(&self) -> Result<Writer<'_>, Failure> {
        match self.ops.writer(&self.caller).await {
            Err(error) if error.kind() == ErrorKind::Forbidden => {
                if self.ops.store().load().await?.production_mark {
                    print::note(
                        "the database is marked as production: writes need ADMIN_WRITE_ENABLED=true",
                    );
                }
                Err(error.into())
            }
            writer => Ok(writer?),
        }
    }

    /// The answer to `request`.
    pub(crate) async fn ask(&self, request: &Request) -> Result<Value, Failure> {
        let ops = &self.ops;
        match request {
            Request::Status => self.status().await,
            Request::Start(start) => value(self.writer().await?.start_run(start).await?),
            Request::Stop(stop) => {
                let stopped = self.writer().await?.stop_run(stop).await?;
                self.write_report().await;
                value(stopped)
            }
            Request::Pause(body) => value(self.writer().await?.pause(body).await?),
            Request::Resume(body) => value(self.writer().await?.resume(body).await?),
            Request::Reset(body) => {
                let reset = self.writer().await?.reset_world(body).await?;
                self.write_report().await;
                value(reset)
            }
            Request::Degrade(body) => value(self.writer().await?.degrade(body, true).await?),
            Request::ClearDegrade(body) => value(self.writer().await?.degrade(body, false).await?),
            Request::Runs { limit, cursor } => value(ops.runs(*limit, cursor.as_deref()).await?),
            Request::Run { run_id } => value(ops.run(run_id).await?),
            Request::Metrics { run_id, hours_fallback } => {
                value(ops.run_metrics(run_id.as_deref(), *hours_fallback).await?)
            }
            Request::Config => value(ops.config().await?),
            Request::PatchConfig(patch) => {
                value(self.writer().await?.patch_config(patch.clone()).await?)
            }
            Request::Audit { limit, offset } => value(ops.audit(*limit, *offset).await?),
            Request::VerifyAudit(head) => self.verify_audit(head.clone()).await,
            Request::KpiRollups { days } => value(ops.kpi_rollups(*days).await?),
            Request::Alerts { limit, cursor } => {
                value(ops.alerts(cursor.as_deref(), *limit).await?)
            }
            Request::AcknowledgeAlert { id, reason } => {
                value(self.writer().await?.acknowledge_alert(id, reason.as_deref()).await?)
            }
            Request::SilenceAlert { id, silence } => {
                value(self.writer().await?.silence_alert(id, silence).await?)
            }
            Request::Messages { limit, cursor } => {
                value(ops.messages(cursor.as_deref(), *limit).await?)
            }
            Request::Delivery { id } => value(ops.delivery(id).await?),
            Request::ReplayDelivery { id, reason } => {
                value(self.writer().await?.replay_delivery(id, reason.as_deref()).await?)
            }
            Request::Events(query) => value(ops.events(query).await?),
            Request::Report { run_id, ended_at } => value(ops.report(run_id, *ended_at).await?),
            Request::CompareRuns { a, b } => value(ops.compare_runs(a, b).await?),
            Request::Digest(options) => value(self.writer().await?.create_digest(options).await?),
            Request::Digests { status, limit, cursor } => {
                value(ops.digests(status.as_deref(), *limit, cursor.as_deref()).await?)
            }
            Request::DigestNamed { slug } => value(ops.digest_named(slug).await?),
            Request::PublishDigest { slug, body } => {
                let (to, why) = (DigestStatus::Published, body.reason.as_deref());
                value(self.writer().await?.set_digest_status(slug, to, why).await?)
            }
            Request::DiscardDigest { slug, body } => {
                let (to, why) = (DigestStatus::Discarded, body.reason.as_deref());
                value(self.writer().await?.set_digest_status(slug, to, why).await?)
            }
            Request::Baseline(options) => {
                value(self.writer().await?.write_baseline(options, NO_PROGRESS).await?)
            }
        }
    }

    /// Writes the report of a run that this command ended; otherwise a server or worker writes it.
    async fn write_report(&self) {
        if let Err(error) = self.ops.system().write_missing_reports().await {
            print::note(&format!("the report of the run is not written yet: {error}"));
        }
    }

    /// As a server's: with the time and the actor.
    async fn status(&self) -> Result<Value, Failure> {
        let mut status = value(self.ops.status().await?)?;
        status["server_time_utc"] = json!(self.ops.clock().now());
        status["actor"] = json!({ "id": self.caller.actor, "ip": null });
        Ok(status)
    }

    /// A trail that does not hold is an answer, not a failure to give one.
    async fn verify_audit(&self, head: Option<AuditHead>) -> Result<Value, Failure> {
        match self.ops.verify_audit(head).await {
            Ok(verified) => value(verified),
            Err(error) if error.kind() == ErrorKind::Unusable => {
                Ok(json!({ "ok": false, "detail": error.detail() }))
            }
            Err(error) => Err(error.into()),
        }
    }
}

fn value(answer: impl Serialize) -> Result<Value, Failure> {
    serde_json::to_value(answer)
        .map_err(|error| Failure::new(format!("the answer cannot be written: {error}")))
}
