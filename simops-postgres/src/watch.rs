//! Follows the commits of other processes.
//!
//! They arrive as notifications. Polling the
//! stored revision is the fallback, and all there is behind a pooler that passes no notifications.

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use simops::store::sql::publish;
use sqlx::postgres::{PgListener, PgPool};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use crate::revision::stored;
use crate::transaction::Base;

/// Delay after a failure to poll or to listen.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// How late a notification may be before the connection that listens is replaced.
const NOTIFY_TIMEOUT: Duration = Duration::from_millis(500);

/// The state of the connection that listens for notifications.
pub(crate) struct NotifyListener {
    is_listening: AtomicBool,
    reconnect: Notify,
}

impl NotifyListener {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { is_listening: AtomicBool::new(false), reconnect: Notify::new() })
    }
}

/// Polls the stored revision, more often while notifications do not arrive.
pub(crate) async fn poll(
    base: Base,
    listener: Arc<NotifyListener>,
    interval: Duration,
    interval_unnotified: Duration,
) {
    loop {
        let is_listening = listener.is_listening.load(Ordering::Relaxed);
        sleep(if is_listening { interval } else { interval_unnotified }).await;
        match poll_once(&base).await {
            Ok(now) if is_listening && now > *base.revision.borrow() => {
                // The notification may still arrive.
                sleep(NOTIFY_TIMEOUT).await;
                if publish(&base.revision, now) {
                    warn!(code = "notification_lost", "change not notified; listening again");
                    listener.reconnect.notify_one();
                }
            }
            Ok(now) => drop(publish(&base.revision, now)),
            Err(_) => sleep(RETRY_DELAY).await,
        }
    }
}

async fn poll_once(base: &Base) -> simops::Result<u64> {
    base.query(|mut connection| async move {
        let revision = stored(&mut connection).await?;
        Ok((connection, revision))
    })
    .await
}

/// Listens for notifications on its own connection, and reconnects when it is lost.
pub(crate) async fn listen(base: Base, listener: Arc<NotifyListener>, pool: PgPool) {
    let mut has_warned = false;
    loop {
        let result = tokio::select! {
            result = receive(&base, &listener, &pool) => result,
            () = listener.reconnect.notified() => Ok(()),
        };
        listener.is_listening.store(false, Ordering::Relaxed);
        match result {
            Ok(()) => has_warned = false,
            Err(error) if !has_warned => {
                warn!(code = "notifications_unavailable", %error, "cannot listen for notifications; polling instead");
                has_warned = true;
            }
            Err(_) => {}
        }
        sleep(RETRY_DELAY).await;
    }
}

async fn receive(base: &Base, listener: &NotifyListener, pool: &PgPool) -> sqlx::Result<()> {
    let connect = async {
        let mut connection = PgListener::connect_with(pool).await?;
        // A lost connection must be noticed, so that changes are polled for.
        connection.eager_reconnect(false);
        connection.listen(&base.channel).await?;
        Ok::<_, sqlx::Error>(connection)
    };
    let connected = timeout(base.call_timeout, connect).await;
    let mut connection = connected.map_err(|_| sqlx::Error::PoolTimedOut)??;
    listener.is_listening.store(true, Ordering::Relaxed);
    info!("listening for notifications");
    // Earlier changes were not notified to this connection.
    if let Ok(now) = poll_once(base).await {
        publish(&base.revision, now);
    }
    while let Some(notification) = connection.try_recv().await? {
        if let Ok(now) = u64::from_str(notification.payload()) {
            publish(&base.revision, now);
        }
    }
    Ok(())
}
