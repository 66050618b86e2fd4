//! What a process knows: the fence as it last heard of it, what it promised, and its open leases.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::super::redis::Place;
use super::super::{CountedIn, DayTotals, Fence, Lease, NanoUsd};
use crate::usage::fence::MEMBER_VALID;

/// A promise is at least this many calls: a beginning should not take a word with the database
/// for each of them.
const LEAST_CALLS: i64 = 16;

pub(super) struct Local {
    pub(super) fence: Fence,
    /// When the database was last asked, and said that this fence stands.
    confirmed: Option<Instant>,
    promise: DayTotals,
    /// The longest life that a lease of this process may have.
    longest: Duration,
    /// Leases that Redis admitted, or is being asked for.
    open: HashMap<Uuid, Lease>,
    held: DayTotals,
    /// The most that was held since the last word with the database.
    peak: DayTotals,
}

/// Where to ask for a reservation.
pub(super) enum Ask {
    /// Redis, in this place.
    Redis(Place),
    /// The database, once it has been told what this lease needs.
    Confirm,
    /// The database.
    Database,
}

impl Local {
    pub(super) fn new(fence: Fence) -> Self {
        Self {
            fence,
            confirmed: None,
            promise: DayTotals::default(),
            longest: Duration::ZERO,
            open: HashMap::new(),
            held: DayTotals::default(),
            peak: DayTotals::default(),
        }
    }

    /// Where calls are counted in Redis, if they are.
    pub(super) fn place(&self) -> Option<Place> {
        let server = self.fence.redis.clone()?;
        let generation = self.fence.generation;
        let namespace = self.fence.namespace.clone();
        let counted = self.fence.counted_in == CountedIn::Redis;
        counted.then_some(Place { namespace, server, generation })
    }

    /// Whether the database has confirmed the fence lately enough to use Redis.
    pub(super) fn is_fresh(&self) -> bool {
        self.confirmed.is_some_and(|at| at.elapsed() < MEMBER_VALID)
    }

    /// Where to ask for `lease`. If that is Redis, the lease counts as open from here on: whatever
    /// happens next, it is handed over unless it is closed again.
    pub(super) fn ask(&mut self, lease: &Lease) -> Ask {
        let Some(place) = self.place() else { return Ask::Database };
        let held = self.held + lease.totals();
        if !self.is_fresh() || !held.fits(self.promise) || life(lease) > self.longest {
            return Ask::Confirm;
        }
        if self.open.insert(lease.id, lease.clone()).is_none() {
            self.held = held;
            self.peak = self.peak.max(held);
        }
        Ask::Redis(place)
    }

    /// Whether the lease was open here.
    pub(super) fn close(&mut self, id: Uuid) -> bool {
        let Some(lease) = self.open.remove(&id) else { return false };
        self.held = self.held - lease.totals();
        true
    }

    /// Uses Redis no more until the database confirms again; whether no lease is open.
    pub(super) fn leave(&mut self) -> bool {
        self.confirmed = None;
        self.open.is_empty()
    }

    pub(super) fn open(&self) -> Vec<Lease> {
        self.open.values().cloned().collect()
    }

    /// What to promise for a while: twice what was held at most, and what `need` takes.
    pub(super) fn next_promise(&mut self, need: Option<&Lease>) -> (DayTotals, Duration) {
        let need_totals = need.map(Lease::totals).unwrap_or_default();
        let most = self.peak.max(self.held) + need_totals;
        let calls = (most.calls_total.saturating_mul(2)).max(LEAST_CALLS);
        let promise = DayTotals {
            calls_total: calls,
            calls_openrouter_free: calls,
            calls_groq: calls,
            calls_gemini: calls,
            calls_unpriced: calls,
            cost: NanoUsd(most.cost.0.saturating_mul(2)),
        };
        self.longest = self.longest.max(need.map(life).unwrap_or_default());
        self.peak = self.held;
        (promise, self.longest)
    }

    /// The database confirmed `fence` to who asked at `asked` and gave `promise`.
    pub(super) fn confirmed(&mut self, fence: Fence, promise: DayTotals, asked: Instant) {
        let stands = fence.generation == self.fence.generation;
        self.fence = fence;
        self.promise = promise;
        // A fence that is news has not been confirmed by this process yet.
        self.confirmed = stands.then_some(asked);
    }
}

fn life(lease: &Lease) -> Duration {
    lease.expires_at.duration_since(lease.created_at).try_into().unwrap_or_default()
}
