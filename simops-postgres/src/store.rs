//! The store: its connections, its queues, and how it hears of other processes.

use std::sync::Arc;
use std::time::Duration;

use simops::event::NewEvent;
use simops::kpi::KpiEvent;
use simops::usage::{Op, Outcome};
use simops::{Error, Result};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::PostgresOptions;
use crate::connection::{Connections, How, Session};
use crate::error::{Failure, Work};
use crate::kpi_known::Known;
use crate::location::Location;
use crate::queue::Queue;
use crate::transaction::Base;
use crate::watch::{Ears, listen, look, stored};
use crate::{counting, events, kpi, migrate, pooler};

/// How long [`simops::store::ControlStore::ping`] waits for a sign of life.
const PING_WITHIN: Duration = Duration::from_secs(1);
/// Transactions that append events at a time: one writes while another's commit reaches the disk.
const EVENT_LANES: usize = 2;
/// Counting is one step under one lock, so a second lane would only wait for the first.
const COUNTING_LANES: usize = 1;
/// One writes its events while the other moves sums.
const KPI_LANES: usize = 2;

/// A store on one database of a Postgres.
///
/// # Contract
/// - Any number of stores, in this process or others, may be open on one database.
/// - Calls need a Tokio runtime with time and network enabled, the one the store was opened in.
/// - Dropping the store ends its tasks after the writes in hand.
pub struct PostgresStore {
    pub(crate) base: Base,
    pub(crate) events: Queue<Vec<NewEvent>, ()>,
    pub(crate) counting: Queue<Op, Outcome>,
    pub(crate) kpi: Queue<Vec<KpiEvent>, u64>,
    /// Whether there is a way past any pooler, by which notifications arrive.
    pub(crate) direct: bool,
    _tasks: JoinSet<()>,
}

impl PostgresStore {
    /// Opens the database at `url` (`postgres://USER:PASSWORD@HOST:PORT/NAME`), migrating it as
    /// needed.
    ///
    /// # Errors
    /// `Invalid` for what is no such URL; `Unavailable` when the server is away; `Unusable` when it
    /// refuses the user, has no such database, or the schema is another program's or of a newer
    /// simops.
    pub async fn open(url: &str) -> Result<Self> {
        Self::open_with(url, PostgresOptions::default()).await
    }

    /// As [`PostgresStore::open`], used as `options` say.
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
            (None, None) => pooler::stands_before(&location, &options).await?,
        };
        let beside = direct.as_ref().or((!pooled).then_some(&location));
        migrate(beside.unwrap_or(&location), &options, pooled && beside.is_none()).await?;

        let session = Session::new(&options, pooled);
        let connections = Arc::new(Connections::new(&location, &options, session));
        let (channel, revision, ledger_by_time) =
            begin(&connections).await.map_err(Failure::into_error)?;
        let base = Base {
            connections,
            revision: watch::Sender::new(revision),
            channel: channel.into(),
            answer_within: options.answer_within,
            ledger_by_time,
        };
        Ok(Self::start(base, beside.map(|direct| direct.connect.clone()), &options))
    }

    fn start(base: Base, direct: Option<PgConnectOptions>, options: &PostgresOptions) -> Self {
        let (ears, mut tasks, is_direct) = (Ears::new(), JoinSet::new(), direct.is_some());
        let (often, rarely) = (options.look_every_unnotified, options.look_every);
        tasks.spawn(look(base.clone(), Arc::clone(&ears), rarely, often));
        if let Some(direct) = direct {
            tasks.spawn(listen(base.clone(), ears, one_connection(direct, options)));
        }
        let known = Known::default();
        let (waiting, within) = (options.waiting, options.answer_within);
        let (to_events, to_count, to_kpi) = (base.clone(), base.clone(), base.clone());
        Self {
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
            direct: is_direct,
            _tasks: tasks,
        }
    }

    /// Reads, and takes a lock for writing.
    pub(crate) async fn probe(&self) -> Result<()> {
        let probe = self.base.write_known(async |mut tx| {
            sqlx::query("SELECT revision FROM revisions FOR UPDATE").execute(&mut *tx).await?;
            Ok((tx.undone(), ()))
        });
        let late = || Error::unavailable("the database does not answer in time");
        timeout(PING_WITHIN, probe).await.map_err(|_| late())?
    }
}

async fn migrate(location: &Location, options: &PostgresOptions, pooled: bool) -> Result<()> {
    let alone = PostgresOptions { max_connections: 1, ..options.clone() };
    let connections = Connections::new(location, &alone, Session::new(options, pooled));
    migrate::migrate(&connections).await.map_err(Failure::into_error)
}

/// What is known once connected: the channel of this schema, the revision, and whether the ledger is
/// a table of partitions.
async fn begin(connections: &Connections) -> Work<(String, u64, bool)> {
    let mut tx = connections.begin(How::Read).await?;
    // Several schemas of one database may hold a simops each.
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
        .acquire_timeout(options.acquire_within)
        .connect_lazy_with(direct)
}
