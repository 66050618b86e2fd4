//! `worker`: the reference world under run control, as a process of its own.

use std::sync::Arc;

use clap::Args;
use simops::host::{Worker, WorkerOptions};
use simops::jobs::Timers;
use simops::llm::LlmArgs;
use simops::ops::{DeleteExpiredResponses, Ops, OpsOptions, ReportWriter};
use simops::settings::is_name;
use simops::{Clock, SystemClock};
use simops_examples::commons::{Commons, CommonsOptions, MAX_AGENTS};

use crate::exit::Failure;
use crate::globals::Globals;
use crate::{database, print, signal};

#[derive(Args)]
#[command(after_help = "\
Examples:
  simops-cli worker
  simops-cli worker --database-url sqlite:///var/lib/simops/simops.db --speed 1
  simops-cli worker --agents 200 --seed 7 --concurrency 8

It creates the database if there is none, builds the first world, and takes turns while a run is active
and not paused. It waits for an unavailable database, and ends within 10 seconds of SIGTERM or SIGINT.
Several workers share the agents of a database. Agents ask the model provider; without one, or while it
is unavailable, they follow a rule.")]
pub(crate) struct WorkerArgs {
    /// How many times faster than AGENT_LOOP_DELAY_SECONDS the world runs
    #[arg(long = "simops-world-speed", visible_alias = "speed", env = "SIMOPS_WORLD_SPEED",
          default_value_t = 10.0, value_parser = speed)]
    speed: f64,
    /// The number of agents of a new world
    #[arg(long = "simops-world-agents", visible_alias = "agents", env = "SIMOPS_WORLD_AGENTS",
          value_name = "N", default_value_t = 50,
          value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_AGENTS)))]
    agents: u32,
    /// The random seed of a new world
    #[arg(long = "simops-world-seed", visible_alias = "seed", env = "SIMOPS_WORLD_SEED")]
    #[arg(value_name = "N", default_value_t = 42)]
    seed: u64,
    /// Its name in `run status` [default: one that is unique]
    #[arg(long, value_name = "ID", value_parser = host_id)]
    host_id: Option<String>,
    /// Turns in flight at once
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    concurrency: u16,
    #[command(flatten)]
    models: LlmArgs,
}

/// Runs until the process is asked to end.
pub(crate) async fn run(globals: &Globals, args: WorkerArgs) -> Result<(), Failure> {
    let on = globals.database_only("a worker takes turns in this process, on the database")?;
    // Both catch signals that arrive from now on.
    let (given_up, shutdown) = (signal::shutdown()?, signal::shutdown()?);
    let (registry, models) = (database::registry()?, globals.models(&args.models)?);
    let database = on.database()?;
    let Some(store) = database::open_when_available(&database, given_up).await? else {
        return Ok(());
    };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let counter = database::counter(&store, on).await?;
    let router = models.router(Arc::clone(&counter), store.clone(), Arc::clone(&clock))?;
    let world = CommonsOptions { agents: args.agents, seed: args.seed };
    let commons = Commons::new(world).with_router(router.clone());
    let defaults = WorkerOptions::named("worker");
    let options = WorkerOptions {
        host_id: args.host_id.unwrap_or(defaults.host_id),
        concurrency: usize::from(args.concurrency),
        speed: args.speed,
        environment: globals.environment,
        ..defaults
    };
    print::note(&format!("worker {} follows run control; Ctrl-C ends it", options.host_id));
    // Reports of runs are written here, too, where no server is.
    let ops = OpsOptions { registry: Arc::clone(&registry), ..OpsOptions::of(globals.environment) };
    let ops = Arc::new(Ops::new(Arc::clone(&store), Arc::clone(&clock), ops));
    let timers = Timers::new(Arc::clone(&store))
        .with(Arc::new(DeleteExpiredResponses(Arc::clone(&ops))))
        .with(Arc::new(ReportWriter::new(Arc::clone(&ops))));
    let (leave, left) = tokio::sync::oneshot::channel::<()>();
    let worker = async {
        Worker::with(store, Arc::new(commons), registry, clock, options)
            .with_counter(Arc::clone(&counter))
            .with_router(router.clone())
            .run(shutdown)
            .await;
        drop(leave);
    };
    let work = async { tokio::join!(worker, timers.run(async { drop(left.await) })) };
    tokio::select! {
        ((), ()) = work => {}
        () = ops.system().keep_counting_budgets() => {}
    }
    database::flush(router.as_ref()).await;
    counter.close().await;
    Ok(())
}

fn speed(text: &str) -> Result<f64, String> {
    let speed = text.trim().parse::<f64>().ok();
    speed
        .filter(|speed| (0.01..=10_000.0).contains(speed))
        .ok_or_else(|| "must be a number between 0.01 and 10000".to_owned())
}

fn host_id(text: &str) -> Result<String, String> {
    if text.is_empty() || !is_name(text, 64) {
        return Err("must be 1 to 64 characters of letters, digits, '_', ':', '-'".to_owned());
    }
    Ok(text.to_owned())
}
