//! The simulation that runs in the server's process.

use std::sync::Arc;
use std::time::Duration;

use simops::Clock;
use simops::host::{SimulationHost, Worker, WorkerOptions};
use simops::llm::Router;
use simops::store::RunStore;
use simops::usage::UsageCounter;
use simops_examples::commons::Commons;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::error;

use crate::config::Config;

/// Delay before a worker restarts after a panic.
const RESTART_DELAY: Duration = Duration::from_secs(1);

/// Returns a factory of workers of the reference world.
pub(crate) fn commons(
    config: &Config,
    store: Arc<dyn RunStore>,
    counter: &Arc<dyn UsageCounter>,
    clock: &Arc<dyn Clock>,
    router: Option<Router>,
) -> impl Fn() -> Worker + Send + 'static {
    let host: Arc<dyn SimulationHost> =
        Arc::new(Commons::new(config.world).with_router(router.clone()));
    let options = WorkerOptions {
        speed: config.speed,
        environment: config.ops.environment,
        ..WorkerOptions::named(host.name())
    };
    let (registry, counter) = (Arc::clone(&config.ops.registry), Arc::clone(counter));
    let clock = Arc::clone(clock);
    move || {
        let (store, host, options) = (Arc::clone(&store), Arc::clone(&host), options.clone());
        Worker::with(store, host, Arc::clone(&registry), Arc::clone(&clock), options)
            .with_counter(Arc::clone(&counter))
            .with_router(router.clone())
    }
}

/// Runs a worker until `shutdown` is true. After a panic it is replaced by a new one.
pub(crate) fn spawn(
    worker: impl Fn() -> Worker + Send + 'static,
    shutdown: watch::Receiver<bool>,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        loop {
            let mut shutdown = shutdown.clone();
            let until = async move {
                // An error means that the sender is dropped, which is also a shutdown.
                let _ = shutdown.wait_for(|shutdown| *shutdown).await;
            };
            match tokio::spawn(worker().run(until)).await {
                Ok(()) => return,
                Err(panic) => {
                    error!(code = "worker_panicked", %panic, "worker panicked; restarting");
                    tokio::time::sleep(RESTART_DELAY).await;
                }
            }
        }
    })
}
