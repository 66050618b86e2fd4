//! The simulation in the server's own process.

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

/// After a panic, turns wait so long.
const AFTER_PANIC: Duration = Duration::from_secs(1);

/// Makes workers of the reference world, all alike.
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
        environment: config.environment,
        ..WorkerOptions::named(host.name())
    };
    let (registry, counter) = (Arc::clone(&config.registry), Arc::clone(counter));
    let clock = Arc::clone(clock);
    move || {
        let (store, host, options) = (Arc::clone(&store), Arc::clone(&host), options.clone());
        Worker::with(store, host, Arc::clone(&registry), Arc::clone(&clock), options)
            .with_counter(Arc::clone(&counter))
            .with_router(router.clone())
    }
}

/// Follows the run controls with what `worker` makes until `leave` says so; also after a panic.
pub(crate) fn spawn(
    worker: impl Fn() -> Worker + Send + 'static,
    leave: watch::Receiver<bool>,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        loop {
            let mut leaving = leave.clone();
            let until = async move {
                // An error means that the server is gone, which is a reason to leave, too.
                let _ = leaving.wait_for(|leave| *leave).await;
            };
            match tokio::spawn(worker().run(until)).await {
                Ok(()) => return,
                Err(panic) => {
                    error!(%panic, "the worker stopped; it begins anew");
                    tokio::time::sleep(AFTER_PANIC).await;
                }
            }
        }
    })
}
