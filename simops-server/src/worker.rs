//! The simulation in the server's own process.

use std::sync::Arc;
use std::time::Duration;

use simops::SystemClock;
use simops::host::{SimulationHost, Worker, WorkerOptions};
use simops::settings::Registry;
use simops::store::RunStore;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::error;

/// After a panic, turns wait so long.
const AFTER_PANIC: Duration = Duration::from_secs(1);

/// Follows the run controls with `host` until `leave` says so; also after a panic.
pub(crate) fn spawn(
    store: Arc<dyn RunStore>,
    host: Arc<dyn SimulationHost>,
    registry: Arc<Registry>,
    speed: f64,
    leave: watch::Receiver<bool>,
) -> JoinHandle<()> {
    let options = WorkerOptions { speed, ..WorkerOptions::named(host.name()) };
    tokio::spawn(async move {
        loop {
            let worker = Worker::with(
                Arc::clone(&store),
                Arc::clone(&host),
                Arc::clone(&registry),
                Arc::new(SystemClock),
                options.clone(),
            );
            let mut leaving = leave.clone();
            let until = async move {
                // An error means that the server is gone, which is a reason to leave, too.
                let _ = leaving.wait_for(|leave| *leave).await;
            };
            match tokio::spawn(worker.run(until)).await {
                Ok(()) => return,
                Err(panic) => {
                    error!(%panic, "the worker stopped; it begins anew");
                    tokio::time::sleep(AFTER_PANIC).await;
                }
            }
        }
    })
}
