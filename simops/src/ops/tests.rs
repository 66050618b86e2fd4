//! Every write, under every gate, on a database with and without the production mark.

use std::sync::Arc;

use crate::control::{Command, Environment, Write, WriteGate};
use crate::digest::DigestStatus;
use crate::execute::{Executor, Intent};
use crate::ops::{
    BaselineOptions, Caller, DeleteVisits, DigestOptions, Ops, OpsOptions, PatchConfig,
    PatchLimits, PutBudget, ReasonBody, RunBody, SetRunMode, SilenceAlert, StartRun, StopRun,
    WritePermit, Writer,
};
use crate::progress::NO_PROGRESS;
use crate::recount::UNWATCHED;
use crate::settings::Registry;
use crate::store::{Commit, ControlStore, LogTable, RunStore};
use crate::testing::{MemoryStore, mark_production};
use crate::{Clock, ErrorKind, Result, SystemClock};
use serde_json::json;

struct Scene {
    store: Arc<MemoryStore>,
    output: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        Self { store: Arc::new(MemoryStore::new()), output: tempfile::tempdir().unwrap() }
    }

    fn ops(&self, environment: Environment, write_gate: Option<WriteGate>) -> Ops {
        let output_folder = self.output.path().to_owned();
        let options = OpsOptions { write_gate, output_folder, ..OpsOptions::of(environment) };
        Ops::new(self.store.clone(), Arc::new(SystemClock), options)
    }

    fn executor(&self) -> Executor {
        let registry = Arc::new(Registry::builtin());
        let store: Arc<dyn RunStore> = self.store.clone();
        Executor::new(store, registry, Environment::Development, Arc::new(SystemClock))
    }

    /// Sets the mark, as a server in production does on a database that lasts.
    async fn mark(&self) {
        mark_production(self.store.clone()).await.unwrap();
    }

    /// Whether nothing was written, to the database or to the output folder.
    async fn is_untouched(&self, generation: u64) -> bool {
        let files = std::fs::read_dir(self.output.path()).unwrap().count();
        self.store.load().await.unwrap().generation == generation && files == 0
    }
}

fn test_run() -> StartRun {
    StartRun { mode: Some("test".to_owned()), ..StartRun::default() }
}

/// Does `write`. The match is exhaustive, so that a new write has to be added here.
async fn attempt(writer: &Writer<'_>, write: Write) -> Result<()> {
    let (none, run) = (ReasonBody::default(), RunBody::default());
    let id = "0198c1f2-0000-7000-8000-000000000000";
    match write {
        Write::StartRun => writer.start_run(&test_run()).await.map(drop),
        Write::StopAll => writer.stop_all(&none).await.map(drop),
        Write::PatchLimits => writer.patch_limits(&PatchLimits::default()).await.map(drop),
        Write::PauseAll => writer.pause_all(&none).await.map(drop),
        Write::StopRun => writer.stop_run(&StopRun::default()).await.map(drop),
        Write::Pause => writer.pause(&run).await.map(drop),
        Write::Resume => writer.resume(&run).await.map(drop),
        Write::Degrade => writer.degrade(&none, true).await.map(drop),
        Write::ClearDegrade => writer.degrade(&none, false).await.map(drop),
        Write::SetRunMode => {
            let mode = Some("real".to_owned());
            writer.set_run_mode(&SetRunMode { mode, reason: None }).await.map(drop)
        }
        Write::ResetWorld => writer.reset_world(&run).await.map(drop),
        Write::PatchConfig => {
            let updates = [("LLM_ACTION_MAX_TOKENS".to_owned(), json!(100))].into();
            writer.patch_config(PatchConfig { updates, reason: None }).await.map(drop)
        }
        Write::PutBudget => {
            let text = |text: &str| Some(text.to_owned());
            let put = PutBudget {
                scope: text("deployment"),
                window: text("day"),
                unit: text("calls"),
                hard: Some(5.0),
                ..PutBudget::default()
            };
            writer.put_budget("b", &put).await.map(drop)
        }
        Write::DeleteBudget => writer.delete_budget("b", None).await.map(drop),
        Write::AcknowledgeAlert => writer.acknowledge_alert(id, None).await.map(drop),
        Write::SilenceAlert => {
            let silence = SilenceAlert { minutes: Some(5), ..SilenceAlert::default() };
            writer.silence_alert(id, &silence).await.map(drop)
        }
        Write::ReplayDelivery => writer.replay_delivery(id, None).await.map(drop),
        Write::WriteBaseline => {
            writer.write_baseline(&BaselineOptions::default(), NO_PROGRESS).await.map(drop)
        }
        Write::CreateDigest => writer.create_digest(&DigestOptions::default()).await.map(drop),
        Write::PublishDigest => {
            writer.set_digest_status("weekly-brief", DigestStatus::Published, None).await.map(drop)
        }
        Write::DiscardDigest => {
            writer.set_digest_status("weekly-brief", DigestStatus::Discarded, None).await.map(drop)
        }
        Write::Prune => {
            let now = SystemClock.now();
            writer.prune(LogTable::Events, now, NO_PROGRESS).await.map(drop)
        }
        Write::RebuildKpi => writer.rebuild_kpi(UNWATCHED).await.map(drop),
        Write::ImportKpi => writer.begin_kpi_import("none").await.map(drop),
        Write::DeleteVisits => {
            let (day, visitors) = ("2026-01-01".to_owned(), vec!["none".to_owned()]);
            let request = DeleteVisits { day, visitors, ..DeleteVisits::default() };
            writer.delete_visits(&request).await.map(drop)
        }
        Write::RebuildUsage => writer.rebuild_usage(UNWATCHED).await.map(drop),
        Write::TakeTurn => writer.permit(Write::TakeTurn).map(drop),
        Write::UnmarkProduction => writer.unmark_production(None).await,
    }
}

fn is_refused(result: Result<()>) -> bool {
    result.is_err_and(|error| error.kind() == ErrorKind::Forbidden)
}

#[tokio::test]
async fn no_write_passes_a_closed_gate() {
    let scene = Scene::new();
    let caller = Caller::default();
    let explicit = scene.ops(Environment::Development, Some(WriteGate::Closed));
    let production = scene.ops(Environment::Production, None);
    for ops in [&explicit, &production] {
        assert!(is_refused(ops.writer(&caller).await.map(drop)));
        assert!(!ops.status().await.unwrap().admin_write_enabled);
    }
    assert!(scene.is_untouched(0).await);
}

#[tokio::test]
async fn stop_only_lets_nothing_else_pass() {
    let scene = Scene::new();
    let ops = scene.ops(Environment::Development, Some(WriteGate::StopOnly));
    let status = ops.status().await.unwrap();
    assert_eq!((status.admin_write_enabled, status.admin_write_gate), (false, WriteGate::StopOnly));
    let writer = ops.writer(&Caller::default()).await.unwrap();
    let others = Write::ALL.iter().filter(|write| !write.passes_stop_only());
    for write in others {
        assert!(is_refused(attempt(&writer, *write).await), "{}", write.as_str());
    }
    assert!(scene.is_untouched(0).await);
    for write in [Write::Pause, Write::PauseAll, Write::StopRun, Write::StopAll, Write::Degrade] {
        attempt(&writer, write).await.unwrap();
    }
}

#[tokio::test]
async fn a_marked_database_has_the_rules_of_production_for_every_process() {
    let scene = Scene::new();
    let (development, caller) = (scene.ops(Environment::Development, None), Caller::default());
    let before = development.writer(&caller).await.unwrap();
    scene.mark().await;
    let generation = scene.store.load().await.unwrap().generation;

    // One that asks now, one that was admitted before, and one whose gate is open.
    assert!(is_refused(development.writer(&caller).await.map(drop)));
    let refused = before.start_run(&test_run()).await.map(drop);
    assert!(is_refused(refused));
    let open = scene.ops(Environment::Development, Some(WriteGate::Open));
    let writer = open.writer(&caller).await.unwrap();
    let reset = StartRun { reset_world: Some(true), ..test_run() };
    for refused in [
        writer.reset_world(&RunBody::default()).await.map(drop),
        writer.start_run(&reset).await.map(drop),
    ] {
        let error = refused.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Forbidden);
        assert_eq!(error.detail(), "World reset is blocked in production");
    }
    assert!(scene.is_untouched(generation).await);
    let status = development.status().await.unwrap();
    assert!(status.production_mark && !status.admin_write_enabled);
    assert_eq!(status.environment, Environment::Production);

    attempt(&writer, Write::PatchConfig).await.unwrap();
    writer.unmark_production(Some("a copy")).await.unwrap();
    let trail = open.audit(10, 0).await.unwrap().items;
    let marks: Vec<_> = trail.iter().filter(|row| row.key == "PRODUCTION_MARK").collect();
    assert_eq!(marks.len(), 2);
    assert_eq!((&marks[0].old_value, &marks[0].new_value), (&json!(true), &json!(false)));
    assert_eq!(marks[0].reason.as_deref(), Some("a copy"));
    assert_eq!(marks[1].changed_by, "system:server");
    assert!(trail.iter().any(|row| row.environment == "production"));
    development.writer(&caller).await.unwrap();
}

#[tokio::test]
async fn no_host_resets_a_marked_world_and_a_race_with_the_mark_is_a_conflict() {
    let scene = Scene::new();
    let reset = Command::ResetWorld { world: "main".to_owned(), epoch: 1 };
    let unmarked = scene.store.load().await.unwrap();
    let registry = Registry::builtin();
    let context = crate::control::Context {
        registry: &registry,
        environment: Environment::Development,
        actor: "system:host",
        reason: None,
        now: SystemClock.now(),
    };
    let decided = crate::control::decide(&unmarked, &reset, &context).unwrap();
    scene.mark().await;
    assert_eq!(scene.store.commit(&decided, None).await.unwrap(), Commit::Conflict);
    let permit = WritePermit::system("host");
    let executed = scene.executor().execute(&permit, &Intent::Command(reset), |_, _| ()).await;
    assert!(is_refused(executed));
    assert_eq!(scene.store.load().await.unwrap().worlds.len(), 0);
}

#[tokio::test]
async fn simops_itself_writes_whatever_the_gate() {
    let scene = Scene::new();
    let ops = scene.ops(Environment::Production, Some(WriteGate::Closed));
    let system = ops.system();
    system.evaluate_alerts().await.unwrap();
    system.scheduled_digest().await.unwrap();
    system.write_missing_reports().await.unwrap();
    system.record_kpi(&[]).await.unwrap();
    // A database that ends with the process is not marked.
    system.mark_production().await.unwrap();
    assert!(!scene.store.load().await.unwrap().production_mark);
}
