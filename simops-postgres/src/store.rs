//! The store: its connections and queues.

use std::time::Duration;

use simops::event::NewEvent;
use simops::kpi::KpiEvent;
use simops::usage::{Op, Outcome};
use simops::{Error, Result};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::queue::Queue;
use crate::transaction::Base;

/// Time limit of [`simops::store::ControlStore::ping`].
const PING_TIMEOUT: Duration = Duration::from_secs(1);

/// A store on one Postgres database.
///
/// # Contract
/// - Any number of stores, in this process or others, may be open on one database.
/// - Calls need a Tokio runtime with time and network enabled, the one the store was opened in.
/// - Dropping the store ends its tasks after the calls they have taken.
pub struct PostgresStore {
    pub(crate) base: Base,
    pub(crate) events: Queue<Vec<NewEvent>, ()>,
    pub(crate) counting: Queue<Op, Outcome>,
    pub(crate) kpi: Queue<Vec<KpiEvent>, u64>,
    /// Whether notifications arrive, on a connection past any pooler.
    pub(crate) is_notified: bool,
    pub(crate) _tasks: JoinSet<()>,
}

impl PostgresStore {
    /// Reads, and takes a lock for writing.
    pub(crate) async fn probe(&self) -> Result<()> {
        let probe = self.base.write_idempotent(async |mut tx| {
            sqlx::query("SELECT revision FROM revisions FOR UPDATE").execute(&mut *tx).await?;
            Ok((tx.rolled_back(), ()))
        });
        let late = || Error::unavailable("the database does not answer in time");
        timeout(PING_TIMEOUT, probe).await.map_err(|_| late())?
    }
}
