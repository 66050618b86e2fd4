//! The revision that watchers follow: counted in the database, published in this process.
//!
//! Own commits publish it at once. Those of other processes arrive as notifications; a slow look
//! at the stored revision is the net beneath them, and all there is behind a pooler that passes no
//! notifications.

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::postgres::{PgListener, PgPool};
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use crate::error::Work;
use crate::link::Link;
use crate::transaction::Base;

/// How long to leave a database alone that cannot be heard.
const AFTER_A_FAILURE: Duration = Duration::from_secs(1);
/// How long a notification may take before the connection that should have told it is replaced.
const TOLD_WITHIN: Duration = Duration::from_millis(500);

/// Counts the revision up in the transaction that is open, and notifies when it is durable; the new
/// one.
pub(crate) async fn count_up(connection: &mut Link, channel: &str) -> Work<u64> {
    let (revision, _): (i64, String) = sqlx::query_as(
        "WITH next AS (UPDATE revisions SET revision = revision + 1 RETURNING revision) \
         SELECT revision, pg_notify($1, revision::text)::text FROM next",
    )
    .bind(channel)
    .fetch_one(connection)
    .await?;
    Ok(revision.cast_unsigned())
}

/// The revision that is stored.
pub(crate) async fn stored(connection: &mut Link) -> Work<u64> {
    let (revision,): (i64,) =
        sqlx::query_as("SELECT revision FROM revisions").fetch_one(connection).await?;
    Ok(revision.cast_unsigned())
}

/// Wakes watchers when `now` is news to them. Notifications, looks and own commits may overtake
/// each other, so an older revision is none.
pub(crate) fn publish(revision: &watch::Sender<u64>, now: u64) -> bool {
    revision.send_if_modified(|seen| {
        let news = now > *seen;
        *seen = now.max(*seen);
        news
    })
}

/// How a store hears of the commits of others.
pub(crate) struct Ears {
    hears: AtomicBool,
    deaf: Notify,
}

impl Ears {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { hears: AtomicBool::new(false), deaf: Notify::new() })
    }
}

/// Looks at the stored revision: rarely while notifications arrive, often while they do not.
pub(crate) async fn look(base: Base, ears: Arc<Ears>, every: Duration, unnotified: Duration) {
    loop {
        let hears = ears.hears.load(Ordering::Relaxed);
        sleep(if hears { every } else { unnotified }).await;
        match look_once(&base).await {
            Ok(now) if hears && now > *base.revision.borrow() => {
                // Its notification may be under way.
                sleep(TOLD_WITHIN).await;
                if publish(&base.revision, now) {
                    warn!("a change was not notified; listening anew");
                    ears.deaf.notify_one();
                }
            }
            Ok(now) => drop(publish(&base.revision, now)),
            Err(_) => sleep(AFTER_A_FAILURE).await,
        }
    }
}

async fn look_once(base: &Base) -> simops::Result<u64> {
    base.look(|mut connection| async move {
        let revision = stored(&mut connection).await?;
        Ok((connection, revision))
    })
    .await
}

/// Listens for notifications, on a connection of its own, again whenever it is lost.
pub(crate) async fn listen(base: Base, ears: Arc<Ears>, pool: PgPool) {
    let mut told = false;
    loop {
        let heard = tokio::select! {
            heard = hear(&base, &ears, &pool) => heard,
            () = ears.deaf.notified() => Ok(()),
        };
        ears.hears.store(false, Ordering::Relaxed);
        match heard {
            Ok(()) => told = false,
            Err(error) if !told => {
                warn!(%error, "notifications of the database are not heard; looking often instead");
                told = true;
            }
            Err(_) => {}
        }
        sleep(AFTER_A_FAILURE).await;
    }
}

async fn hear(base: &Base, ears: &Ears, pool: &PgPool) -> Result<(), sqlx::Error> {
    let connect = async {
        let mut listener = PgListener::connect_with(pool).await?;
        // A lost connection is to be seen, so that what it would have told is looked up.
        listener.eager_reconnect(false);
        listener.listen(&base.channel).await?;
        Ok::<_, sqlx::Error>(listener)
    };
    let connected = timeout(base.answer_within, connect).await;
    let mut listener = connected.map_err(|_| sqlx::Error::PoolTimedOut)??;
    ears.hears.store(true, Ordering::Relaxed);
    info!("notifications of the database are heard");
    // What happened before was told to nobody here.
    if let Ok(now) = look_once(base).await {
        publish(&base.revision, now);
    }
    while let Some(notification) = listener.try_recv().await? {
        if let Ok(now) = u64::from_str(notification.payload()) {
            publish(&base.revision, now);
        }
    }
    Ok(())
}
