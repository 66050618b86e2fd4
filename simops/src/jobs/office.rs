//! One process's part in the election of a duty's holder.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::{debug, info, warn};
use uuid::Uuid;

use super::election::{LEASE, bid, renewed, vacated};
use crate::store::{LeaderLease, RunStore};

/// How often those without the duty look.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often its holder gives a sign of life.
const BEAT_EVERY: Duration = Duration::from_secs(2);
/// A holder that cannot give one stops by itself, before another may begin.
const OWN_LEASE: Duration = LEASE.saturating_sub(Duration::from_secs(1));
/// A call of the store that takes longer has failed.
const CALL_WITHIN: Duration = Duration::from_secs(3);
/// A farewell is worth so long a wait: without it, the next holder waits for [`LEASE`].
const FAREWELL_WITHIN: Duration = Duration::from_secs(1);

/// A candidate for one duty.
pub(super) struct Office {
    store: Arc<dyn RunStore>,
    duty: &'static str,
    me: Uuid,
}

/// A duty that is held, and until when without a further sign of life.
pub(super) struct Held {
    pub(super) tenure: LeaderLease,
    until: Instant,
}

impl Office {
    pub(super) fn new(store: Arc<dyn RunStore>, duty: &'static str) -> Self {
        Self { store, duty, me: Uuid::now_v7() }
    }

    /// Waits until this process has the duty.
    pub(super) async fn win(&self) -> Held {
        let (mut last, mut since) = (None, Instant::now());
        loop {
            let asked = Instant::now();
            if let Some(seen) = self.call(self.store.tenure(self.duty)).await {
                // Not before it was read: what is silent since then may have spoken meanwhile.
                if seen != last {
                    (last, since) = (seen.clone(), Instant::now());
                }
                if let Some(next) = bid(self.duty, seen.as_ref(), since.elapsed(), self.me)
                    && self.call(self.store.replace_leader_lease(seen.as_ref(), &next)).await
                        == Some(true)
                {
                    info!(duty = self.duty, fence = next.fence, "this process has the duty now");
                    return Held { tenure: next, until: asked + OWN_LEASE };
                }
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Gives signs of life until the duty is lost.
    pub(super) async fn keep(&self, held: &mut Held) {
        loop {
            let asked = Instant::now();
            let next = renewed(&held.tenure);
            let renewal = self.call(self.store.replace_leader_lease(Some(&held.tenure), &next));
            let moved = tokio::select! {
                moved = renewal => moved,
                () = sleep_until(held.until) => {
                    warn!(duty = self.duty, "no sign of life reached the store; the duty is lost");
                    return;
                }
            };
            match moved {
                Some(true) => *held = Held { tenure: next, until: asked + OWN_LEASE },
                // It moved, or an earlier attempt of unknown outcome moved it.
                Some(false) => match self.call(self.store.tenure(self.duty)).await {
                    Some(Some(seen)) if self.is_mine(&seen, held) => held.tenure = seen,
                    Some(_) => {
                        warn!(duty = self.duty, "another process has taken the duty");
                        return;
                    }
                    None => {}
                },
                None => {}
            }
            let pause = if moved == Some(true) { BEAT_EVERY } else { LOOK_EVERY };
            sleep_until(held.until.min(Instant::now() + pause)).await;
        }
    }

    /// Tells the others that the duty is free. Nothing is lost but time if it fails.
    pub(super) async fn give_up(&self, held: &Held) {
        let vacant = vacated(&held.tenure);
        let farewell = self.store.replace_leader_lease(Some(&held.tenure), &vacant);
        match timeout(FAREWELL_WITHIN, farewell).await {
            Ok(Ok(true)) => info!(duty = self.duty, "the duty is given up"),
            other => debug!(duty = self.duty, ?other, "the duty was not given up and will expire"),
        }
    }

    fn is_mine(&self, seen: &LeaderLease, held: &Held) -> bool {
        seen.holder == Some(self.me) && seen.fence == held.tenure.fence
    }

    /// What the store says, if it does so in time.
    async fn call<T>(&self, call: impl Future<Output = crate::Result<T>>) -> Option<T> {
        match timeout(CALL_WITHIN, call).await {
            Ok(Ok(answer)) => Some(answer),
            Ok(Err(error)) => {
                debug!(duty = self.duty, %error, "the store does not tell who has the duty");
                None
            }
            Err(_) => {
                debug!(duty = self.duty, "the store does not answer in time");
                None
            }
        }
    }
}
