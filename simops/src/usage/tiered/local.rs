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
    open: HashMap<Uuid, Open>,
    held: DayTotals,
    /// The most that was held since the last word with the database.
    peak: DayTotals,
    /// Leases that have ended in the database, of which Redis does not know yet.
    untold: HashMap<Uuid, Untold>,
}

struct Open {
    lease: Lease,
    /// Whether the database was told of it, so that Redis may be built up with it.
    handed_over: bool,
}

/// An end that Redis has to be told.
struct Untold {
    ended: Instant,
    telling: Telling,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Telling {
    NotYet,
    /// Somebody is at it.
    Now,
    /// It was sent and not answered: Redis may do it at any time.
    Unanswered,
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
            untold: HashMap::new(),
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
        self.open.entry(lease.id).or_insert_with(|| {
            self.held = held;
            self.peak = self.peak.max(held);
            Open { lease: lease.clone(), handed_over: false }
        });
        Ask::Redis(place)
    }

    /// The lease is no longer open here; whether it was handed over.
    pub(super) fn close(&mut self, id: Uuid) -> bool {
        let Some(open) = self.open.remove(&id) else { return false };
        self.held = self.held - open.lease.totals();
        open.handed_over
    }

    /// The lease has ended in the database; Redis is yet to be told.
    pub(super) fn end(&mut self, id: Uuid) {
        self.close(id);
        let ended = Instant::now();
        let untold = self.untold.entry(id);
        untold.or_insert(Untold { ended, telling: Telling::NotYet }).ended = ended;
    }

    /// The ends of which Redis does not know.
    pub(super) fn untold(&self) -> Vec<Uuid> {
        self.untold.keys().copied().collect()
    }

    /// Whether Redis, told of an earlier end of the lease, may end it at any time.
    pub(super) fn may_end_late(&self, id: Uuid) -> bool {
        self.untold.get(&id).is_some_and(|untold| untold.telling != Telling::NotYet)
    }

    /// Whether Redis may still count the lease although it has ended.
    pub(super) fn is_untold(&self, id: Uuid) -> bool {
        self.untold.contains_key(&id)
    }

    /// Where to tell of an end now. Whoever gets the place is the only one to tell it, and says
    /// [`told`](Self::told) or [`not_told`](Self::not_told).
    pub(super) fn begin_to_tell(&mut self, id: Uuid) -> Option<Place> {
        let place = self.place()?;
        let untold = self.untold.get_mut(&id)?;
        if untold.telling == Telling::Now {
            return None;
        }
        untold.telling = Telling::Now;
        Some(place)
    }

    /// Redis knows of the end, or the database counts the lease anew.
    pub(super) fn told(&mut self, id: Uuid) {
        self.untold.remove(&id);
    }

    /// Redis did not answer.
    pub(super) fn not_told(&mut self, id: Uuid) {
        if let Some(untold) = self.untold.get_mut(&id) {
            untold.telling = Telling::Unanswered;
        }
    }

    /// Uses Redis no more until the database confirms again; whether no lease is open.
    pub(super) fn leave(&mut self) -> bool {
        self.confirmed = None;
        self.open.is_empty()
    }

    /// The open leases, which count as handed over from here on.
    pub(super) fn hand_over(&mut self) -> Vec<Lease> {
        let leases = self.open.values_mut().map(|open| {
            open.handed_over = true;
            open.lease.clone()
        });
        leases.collect()
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
        // Redis will be built up from the database as it is later than that.
        if fence.counted_in == CountedIn::Database {
            self.untold.retain(|_, untold| untold.ended >= asked);
        }
        self.fence = fence;
        self.promise = promise;
        // A fence that is news has not been confirmed by this process yet.
        self.confirmed = stands.then_some(asked);
    }
}

fn life(lease: &Lease) -> Duration {
    lease.expires_at.duration_since(lease.created_at).try_into().unwrap_or_default()
}
