//! Tools for testing hosts and stores.
//!
//! [`MemoryStore`] is the reference implementation of a store, [`conformance`] the test suite that every
//! store passes, [`replay`] compares counters over random histories, [`FaultyStore`] injects failures,
//! [`DisturbedStore`] writes between the pieces of recounts, and [`ManualClock`] is a clock that tests set.

mod clock;
pub mod conformance;
mod disturbed;
mod faulty;
mod history;
mod memory;

pub use clock::ManualClock;
pub use conformance::{CounterBuilder, StoreBuilder};
pub use disturbed::{Disturbance, DisturbedStore};
pub use faulty::{Fault, FaultyStore};
pub use history::{Counting, History, HistoryStep, change_budgets, replay};
pub use memory::MemoryStore;

use std::sync::Arc;

use crate::control::{Command, Environment};
use crate::execute::{Executor, Intent, WritePermit};
use crate::settings::Registry;
use crate::store::RunStore;
use crate::{Result, SystemClock};

/// Sets the production mark of `store`, as a server in production does on a database that lasts.
///
/// # Errors
/// Returns the errors of the store.
pub async fn mark_production(store: Arc<dyn RunStore>) -> Result<()> {
    let registry = Arc::new(Registry::builtin());
    let executor = Executor::new(store, registry, Environment::Production, Arc::new(SystemClock));
    let mark = Intent::Command(Command::MarkProduction);
    executor.execute(&WritePermit::system("server"), &mark, |_, _| ()).await
}
