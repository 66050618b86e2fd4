//! What a process knows: the epoch of its last heartbeat, its allotment, and its open leases.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::civil::Date;
use uuid::Uuid;

use super::super::redis::ServerRef;
use super::super::{
    Allotment, Budgets, CounterBackend, CounterEpoch, DayTotals, Lease, NanoUsd, UseKey,
};
use super::HEARTBEAT_TTL;

/// The smallest allotment, in calls: the first calls of a process should not need a heartbeat each.
const MIN_ALLOTMENT_CALLS: i64 = 16;

pub(super) struct Local {
    pub(super) epoch: CounterEpoch,
    /// When the last heartbeat began that confirmed this epoch.
    confirmed: Option<Instant>,
    /// The budgets as of that heartbeat.
    pub(super) budgets: Arc<Budgets>,
    /// What open leases never exceed: no more than the store holds of it at any moment.
    allotment: Allotment,
    /// The number of heartbeats so far.
    sequence: u64,
    /// The longest life that a lease of this process may have.
    longest: Duration,
    /// Leases that Redis admitted, or is being asked for.
    open: HashMap<Uuid, Open>,
    held: Allotment,
    /// The most that was held since the last heartbeat.
    peak: Allotment,
    /// The largest call lately.
    largest: Allotment,
    /// Leases that have ended in the database, but perhaps not in Redis.
    pending: HashMap<Uuid, PendingAck>,
}

struct Open {
    lease: Lease,
    /// Whether the database has it, so that Redis may be rebuilt with it.
    transferred: bool,
}

/// The end of a lease that Redis has not acknowledged.
struct PendingAck {
    ended: Instant,
    /// Of a lease that settled: the sums that its row has changed.
    settled: Option<ChangedSums>,
    state: AckState,
}

/// The sums that a row of the ledger has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ChangedSums {
    pub(super) days: Vec<Date>,
    pub(super) uses: Vec<UseKey>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum AckState {
    Unsent,
    /// A task is sending it.
    Sending,
    /// It was sent and not answered: Redis may apply it at any time.
    Unanswered,
}

/// Where to ask for a reservation.
pub(super) enum Ask {
    /// Redis, on this server.
    Redis(ServerRef),
    /// The database, after a heartbeat that asks for an allotment which includes this lease.
    Heartbeat,
    /// The database.
    Database,
}

impl Local {
    pub(super) fn new(epoch: CounterEpoch) -> Self {
        Self {
            epoch,
            confirmed: None,
            budgets: Arc::default(),
            allotment: Allotment::default(),
            sequence: 0,
            longest: Duration::ZERO,
            open: HashMap::new(),
            held: Allotment::default(),
            peak: Allotment::default(),
            largest: Allotment::default(),
            pending: HashMap::new(),
        }
    }

    /// The server that counts, if Redis does.
    pub(super) fn server(&self) -> Option<ServerRef> {
        let server = self.epoch.redis.clone()?;
        let generation = self.epoch.generation;
        let namespace = self.epoch.namespace.clone();
        let redis_counts = self.epoch.backend == CounterBackend::Redis;
        redis_counts.then_some(ServerRef { namespace, server, generation })
    }

    /// Whether the last heartbeat is recent enough to use Redis.
    pub(super) fn is_fresh(&self) -> bool {
        self.confirmed.is_some_and(|at| at.elapsed() < HEARTBEAT_TTL)
    }

    /// Where to ask for `lease`. If that is Redis, the lease counts as open from now on: whatever
    /// happens next, it is transferred unless it is closed again.
    pub(super) fn ask(&mut self, lease: &Lease) -> Ask {
        let Some(server) = self.server() else { return Ask::Database };
        if self.open.contains_key(&lease.id) && self.is_fresh() {
            return Ask::Redis(server);
        }
        let held = self.held + Allotment::of(lease);
        if !self.is_fresh() || !held.fits(self.allotment) || life(lease) > self.longest {
            return Ask::Heartbeat;
        }
        self.held = held;
        self.peak = self.peak.max(held);
        self.open.insert(lease.id, Open { lease: lease.clone(), transferred: false });
        Ask::Redis(server)
    }

    /// Whether the lease is open here.
    pub(super) fn is_open(&self, id: Uuid) -> bool {
        self.open.contains_key(&id)
    }

    /// Closes a lease. Returns whether it was transferred.
    pub(super) fn close(&mut self, id: Uuid) -> bool {
        let Some(open) = self.open.remove(&id) else { return false };
        self.held = self.held - Allotment::of(&open.lease);
        open.transferred
    }

    /// The lease has ended in the database. Redis has yet to acknowledge that.
    pub(super) fn end(&mut self, id: Uuid, settled: Option<ChangedSums>) {
        self.close(id);
        let ended = Instant::now();
        let new = || PendingAck { ended, settled: None, state: AckState::Unsent };
        let pending = self.pending.entry(id).or_insert_with(new);
        pending.ended = ended;
        pending.settled = settled.or(pending.settled.take());
    }

    /// The ends that Redis has not acknowledged.
    pub(super) fn pending(&self) -> Vec<Uuid> {
        self.pending.keys().copied().collect()
    }

    /// Whether Redis may apply an end of the lease at any time.
    pub(super) fn may_end_late(&self, id: Uuid) -> bool {
        self.pending.get(&id).is_some_and(|pending| pending.state != AckState::Unsent)
    }

    /// Whether Redis may still count the lease although it has ended.
    pub(super) fn is_pending(&self, id: Uuid) -> bool {
        self.pending.contains_key(&id)
    }

    /// The server to send an end to, and what changed if the lease settled. The caller that gets it is the
    /// only one that sends, and reports by [`acked`](Self::acked) or
    /// [`ack_failed`](Self::ack_failed).
    pub(super) fn begin_ack(&mut self, id: Uuid) -> Option<(ServerRef, Option<ChangedSums>)> {
        let server = self.server()?;
        let pending = self.pending.get_mut(&id)?;
        if pending.state == AckState::Sending {
            return None;
        }
        pending.state = AckState::Sending;
        Some((server, pending.settled.clone()))
    }

    /// Redis has acknowledged the end, or the database counts the lease again.
    pub(super) fn acked(&mut self, id: Uuid) {
        self.pending.remove(&id);
    }

    /// Redis did not answer.
    pub(super) fn ack_failed(&mut self, id: Uuid) {
        if let Some(pending) = self.pending.get_mut(&id) {
            pending.state = AckState::Unanswered;
        }
    }

    /// Stops using Redis until the next heartbeat. Returns whether no lease is open.
    pub(super) fn leave(&mut self) -> bool {
        self.confirmed = None;
        self.open.is_empty()
    }

    /// The open leases, which count as transferred from now on.
    pub(super) fn transfer(&mut self) -> Vec<Lease> {
        let leases = self.open.values_mut().map(|open| {
            open.transferred = true;
            open.lease.clone()
        });
        leases.collect()
    }

    /// The allotment to ask for: twice the most that was held lately, including `need`, and at least
    /// some calls as large as the largest; with the number of the heartbeat. A smaller one counts from
    /// now on: once the store has it, more than that might be admitted elsewhere.
    pub(super) fn next_allotment(&mut self, need: Option<&Lease>) -> (Allotment, Duration, u64) {
        let needed = need.map(Allotment::of).unwrap_or_default();
        let most = self.peak.max(self.held) + needed;
        let largest = self.largest.max(needed);
        let least = |amount: i64| amount.saturating_mul(MIN_ALLOTMENT_CALLS);
        let calls = most.totals.calls_total.saturating_mul(2).max(MIN_ALLOTMENT_CALLS);
        let cost = most.totals.cost.0.saturating_mul(2).max(least(largest.totals.cost.0));
        let tokens = most.tokens.saturating_mul(2).max(least(largest.tokens));
        let [calls_total, calls_openrouter_free, calls_groq, calls_gemini, calls_unpriced] =
            [calls; 5];
        let totals = DayTotals {
            calls_total,
            calls_openrouter_free,
            calls_groq,
            calls_gemini,
            calls_unpriced,
            cost: NanoUsd(cost),
        };
        let allotment = Allotment { totals, tokens };
        self.allotment = self.allotment.min(allotment);
        self.longest = self.longest.max(need.map(life).unwrap_or_default());
        self.peak = self.held;
        self.largest = largest;
        self.sequence += 1;
        (allotment, self.longest, self.sequence)
    }

    /// A heartbeat that began at `asked` stored `allotment` and found `epoch`.
    pub(super) fn record_heartbeat(
        &mut self,
        epoch: CounterEpoch,
        allotment: Allotment,
        asked: Instant,
    ) {
        let unchanged = epoch.generation == self.epoch.generation;
        // Redis will be rebuilt from a later state of the database.
        if epoch.backend == CounterBackend::Database {
            self.pending.retain(|_, pending| pending.ended >= asked);
        }
        self.epoch = epoch;
        self.allotment = allotment;
        // A new epoch is confirmed by the next heartbeat.
        self.confirmed = unchanged.then_some(asked);
    }
}

fn life(lease: &Lease) -> Duration {
    lease.expires_at.duration_since(lease.created_at).try_into().unwrap_or_default()
}
