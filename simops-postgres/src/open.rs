//! Opens a store: migrates the database, connects, and starts the queues and tasks.

use std::sync::Arc;

use simops::Result;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::connection::{Connections, Session, TxMode};
use crate::error::{Failure, Work};
use crate::kpi_dedup_index::DedupIndex;
use crate::location::Location;
use crate::queue::Queue;
use crate::revision::stored;
use crate::transaction::Base;
use crate::watch::{NotifyListener, listen, poll};
use crate::{PostgresOptions, PostgresStore, counting, events, kpi, migrate, pooler};

/// Concurrent transactions that append events: one writes while another's commit reaches the disk.
const EVENT_LANES: usize = 2;
/// Counting holds one lock, so a second lane would only wait for the first.
const COUNTING_LANES: usize = 1;
/// One inserts its events while the other updates sums.
const KPI_LANES: usize = 2;

impl PostgresStore {
    /// Opens the database at `url` (`postgres://USER:PASSWORD@HOST:PORT/NAME`), migrating it as
    /// needed.
    ///
    /// # Errors
    /// `Invalid` for another URL; `Unavailable` if the server cannot be reached; `Unusable` if it
    /// refuses the user, has no such database, or the schema belongs to another program or a newer
    /// simops.
    pub async fn open(url: &str) -> Result<Self> {
        Self::open_with(url, PostgresOptions::default()).await
    }

    /// As [`PostgresStore::open`], with options.
    ///
    /// # Errors
    /// As [`PostgresStore::open`].
    pub async fn open_with(url: &str, options: PostgresOptions) -> Result<Self> {
        let location = Location::parse("DATABASE_URL", url)?;
        let direct = options.direct_url.as_deref();
        let direct = direct.map(|url| Location::parse("DATABASE_DIRECT_URL", url)).transpose()?;
        let pooled = match (location.pooled, &direct) {
            (Some(pooled), _) => pooled,
            (None, Some(_)) => true,
            (None, None) => pooler::is_pooled(&location, &options).await?,
        };
        let direct = direct.as_ref().or((!pooled).then_some(&location));
        migrate(direct.unwrap_or(&location), &options, pooled && direct.is_none()).await?;

        let session = Session::new(&options, pooled);
        let connections = Connections::new(&location, &options, session);
        let (channel, revision, ledger_by_time) =
            read_schema(&connections).await.map_err(Failure::into_error)?;
        let base = Base {
            connections,
            revision: watch::Sender::new(revision),
            channel: channel.into(),
            call_timeout: options.call_timeout,
            ledger_by_time,
            budgets: Arc::default(),
        };
        Ok(start(base, direct.map(|direct| direct.connect.clone()), &options))
    }
}

fn start(base: Base, direct: Option<PgConnectOptions>, options: &PostgresOptions) -> PostgresStore {
    let (listener, mut tasks) = (NotifyListener::new(), JoinSet::new());
    let is_notified = direct.is_some();
    let (rarely, often) = (options.poll_interval, options.poll_interval_unnotified);
    let control = base.for_control();
    tasks.spawn(poll(control.clone(), Arc::clone(&listener), rarely, often));
    if let Some(direct) = direct {
        tasks.spawn(listen(control.clone(), listener, one_connection(direct, options)));
    }
    let known = DedupIndex::default();
    let (waiting, within) = (options.max_waiting, options.call_timeout);
    let (to_events, to_count, to_kpi) = (base.clone(), base.clone(), base.clone());
    PostgresStore {
        events: Queue::start(EVENT_LANES, waiting, within, move |calls| {
            events::append_all(to_events.clone(), calls)
        }),
        counting: Queue::start(COUNTING_LANES, waiting, within, move |ops| {
            counting::apply(to_count.clone(), ops)
        }),
        kpi: Queue::start(KPI_LANES, waiting, within, move |calls| {
            kpi::record_all(to_kpi.clone(), known.clone(), calls)
        }),
        base,
        control,
        is_notified,
        _tasks: tasks,
    }
}

async fn migrate(location: &Location, options: &PostgresOptions, pooled: bool) -> Result<()> {
    let alone = PostgresOptions { max_connections: 1, ..options.clone() };
    let connections = Connections::new(location, &alone, Session::new(options, pooled));
    let migrated = match options.migrate {
        true => migrate::migrate(&connections).await,
        false => migrate::check_reader(&connections).await,
    };
    migrated.map_err(Failure::into_error)
}

/// The channel of this schema, its revision, and whether its ledger is partitioned by time.
async fn read_schema(connections: &Connections) -> Work<(String, u64, bool)> {
    let mut tx = connections.begin(TxMode::Read).await?;
    // Several schemas of one database may hold simops.
    let (channel, ledger_by_time) = sqlx::query_as(
        "SELECT 'simops_' || md5(current_schema()), relkind = 'p' FROM pg_class \
         WHERE oid = 'usage'::regclass",
    )
    .fetch_one(&mut *tx)
    .await?;
    let revision = stored(&mut tx).await?;
    tx.commit().await?;
    Ok((channel, revision, ledger_by_time))
}

fn one_connection(direct: PgConnectOptions, options: &PostgresOptions) -> PgPool {
    PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(options.acquire_timeout)
        .connect_lazy_with(direct)
}
