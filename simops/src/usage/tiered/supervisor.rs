//! Advances the epoch: to the database when Redis fails, and back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval};
use tracing::{debug, info, warn};

use super::super::redis::{ServerRef, SumSet};
use super::super::{BudgetUse, CounterBackend, CounterClient, CounterEpoch, DayUse, Lease, UseKey};
use super::HEARTBEAT_TTL;
use super::{Ask, CLOCK_SLACK, ChangedSums, Shared, TIMEOUT};
use crate::clock::day_of;
use crate::{Error, Result};

const POLL_INTERVAL: Duration = Duration::from_millis(500);
/// A rebuild that takes longer has failed: its process died.
const REBUILD_TIMEOUT: Duration = Duration::from_secs(5);
/// After a failure, Redis is not used for a while: longer each time, until it has been stable.
const MIN_BACKOFF: Duration = Duration::from_millis(500);
const MAX_BACKOFF: Duration = Duration::from_secs(60);
const STABLE_AFTER: Duration = Duration::from_secs(60);
/// How long expired clients are kept.
const CLIENT_RETENTION: Duration = Duration::from_secs(60 * 60);

impl Shared {
    /// Stores this process as a client with an allotment, and reads the epoch. Transfers the open
    /// leases if the epoch has changed. `need` is a lease that the allotment must include.
    pub(super) async fn heartbeat(&self, need: Option<&Lease>) -> Result<()> {
        let _one_at_a_time = self.heartbeat.lock().await;
        if let Some(lease) = need {
            // Another task may have asked for enough meanwhile.
            let mut local = self.local();
            let was_open = local.is_open(lease.id);
            if let Ask::Redis(_) = local.ask(lease) {
                if !was_open {
                    local.close(lease.id);
                }
                return Ok(());
            }
        }
        // Twice if the epoch has changed: once to read it, once to confirm it.
        let began = Instant::now();
        while began.elapsed() < TIMEOUT {
            let asked = Instant::now();
            let (client, open, before) = {
                let mut local = self.local();
                let (allotment, longest, sequence) = local.next_allotment(need);
                let until = self.clock.now() + (HEARTBEAT_TTL + longest + CLOCK_SLACK);
                let generation = local.epoch.generation;
                // They are in Redis, or transferred already, unless the epoch is new to this process.
                let open = if local.is_fresh() { Vec::new() } else { local.transfer() };
                let client = CounterClient { id: self.id, generation, allotment, until, sequence };
                (client, open, generation)
            };
            let epoch = self.store.heartbeat(&client, &open).await?;
            if epoch.budgets != self.budgets().revision {
                let budgets = Arc::new(self.store.budgets().await?);
                self.local().budgets = budgets;
            }
            let unchanged = epoch.generation == before;
            self.local().record_heartbeat(epoch, client.allotment, asked);
            if unchanged {
                return Ok(());
            }
        }
        Err(Error::unavailable("the counter keeps changing its backend; try again"))
    }

    /// Makes the database count from now on, unless another process has changed the epoch.
    pub(super) async fn fall_back(&self, from: &ServerRef, why: &str) -> Result<()> {
        let epoch = self.store.counter_epoch().await?;
        if epoch.generation == from.generation {
            self.count_in_database(&epoch, why).await?;
        }
        self.heartbeat(None).await
    }

    async fn count_in_database(&self, epoch: &CounterEpoch, why: &str) -> Result<()> {
        let next = epoch.next(CounterBackend::Database, self.clock.now());
        let next = CounterEpoch { reason: Some(why.to_owned()), ..next };
        if self.store.advance_counter_epoch(epoch.generation, &next).await? {
            warn!(code = "counter_degraded", reason = why, "the database counts instead of Redis");
        }
        Ok(())
    }
}

pub(super) struct Supervisor {
    shared: Arc<Shared>,
    backoff: Duration,
    backoff_until: Instant,
    /// When Redis was first seen to count since the last failure.
    counts_since: Option<Instant>,
}

impl Supervisor {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let backoff_until = Instant::now();
        Self { shared, backoff: MIN_BACKOFF, backoff_until, counts_since: None }
    }

    pub(super) async fn begin(&mut self) -> Result<()> {
        self.shared.heartbeat(None).await?;
        self.poll().await
    }

    pub(super) async fn run(mut self) {
        let mut ticks = interval(POLL_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.tick().await;
        let mut failing = false;
        loop {
            ticks.tick().await;
            match self.poll().await {
                Ok(()) if std::mem::take(&mut failing) => info!("counter heartbeat succeeds again"),
                Ok(()) => {}
                Err(error) if failing => debug!(%error, "counter heartbeat still fails"),
                Err(error) => {
                    failing = true;
                    warn!(
                        code = "counter_heartbeat_failed",
                        %error,
                        "counter heartbeat failed; Redis is not used until it succeeds"
                    );
                }
            }
        }
    }

    async fn poll(&mut self) -> Result<()> {
        self.shared.heartbeat(None).await?;
        let epoch = self.shared.local().epoch.clone();
        match epoch.backend {
            CounterBackend::Redis => self.check_redis().await,
            CounterBackend::Rebuilding => self.end_dead_rebuild(&epoch).await,
            CounterBackend::Database => self.return_to_redis(&epoch).await,
        }
    }

    async fn check_redis(&mut self) -> Result<()> {
        let Some(server) = self.shared.server() else { return Ok(()) };
        let counts_since = *self.counts_since.get_or_insert_with(Instant::now);
        if let Err(error) = self.shared.redis.link.check(&server.server).await {
            return self.shared.fall_back(&server, error.detail()).await;
        }
        if counts_since.elapsed() > STABLE_AFTER {
            self.backoff = MIN_BACKOFF;
        }
        // What it may have missed.
        self.shared.send_pending().await;
        let days = vec![day_of(self.shared.clock.now())];
        self.shared.send_sums(ChangedSums { days, uses: Vec::new() }).await;
        Ok(())
    }

    async fn end_dead_rebuild(&self, epoch: &CounterEpoch) -> Result<()> {
        let now = self.shared.clock.now();
        let age = Duration::try_from(now.duration_since(epoch.since)).unwrap_or_default();
        if age > REBUILD_TIMEOUT + CLOCK_SLACK {
            let why = "a rebuild of Redis did not finish";
            self.shared.count_in_database(epoch, why).await?;
            self.shared.heartbeat(None).await?;
        }
        Ok(())
    }

    /// Makes Redis count again, if it answers and no client is outdated.
    async fn return_to_redis(&mut self, epoch: &CounterEpoch) -> Result<()> {
        if self.counts_since.take().is_some() && epoch.reason.is_some() {
            // It failed since the last poll. Without a reason, budgets have changed.
            self.back_off();
        }
        if Instant::now() < self.backoff_until {
            return Ok(());
        }
        let shared = &self.shared;
        let server = match shared.redis.link.server().await {
            Ok(server) => server,
            Err(error) => {
                if epoch.reason.is_none() {
                    // Redis is configured, but unavailable from the start.
                    shared.count_in_database(epoch, error.detail()).await?;
                    shared.heartbeat(None).await?;
                }
                return Ok(());
            }
        };
        let now = shared.clock.now();
        let clients = shared.store.counter_clients().await?;
        for client in &clients {
            if client.until + CLIENT_RETENTION < now {
                shared.store.remove_counter_client(client.id).await?;
            }
        }
        if clients.iter().any(|client| epoch.is_outdated(client, now)) {
            return Ok(());
        }
        let rebuilding = CounterEpoch {
            reason: epoch.reason.clone(),
            ..epoch.next(CounterBackend::Rebuilding, now)
        };
        if !shared.store.advance_counter_epoch(epoch.generation, &rebuilding).await? {
            return shared.heartbeat(None).await;
        }
        let rebuilt = self.rebuild(&rebuilding, server).await;
        if let Err(error) = &rebuilt {
            shared.count_in_database(&rebuilding, error.detail()).await?;
        }
        shared.heartbeat(None).await?;
        if rebuilt.is_err() {
            self.back_off();
        }
        Ok(())
    }

    fn back_off(&mut self) {
        self.backoff_until = Instant::now() + self.backoff;
        self.backoff = (self.backoff * 2).min(MAX_BACKOFF);
    }

    /// Rebuilds Redis from the ledger and the open leases, while no backend admits calls.
    async fn rebuild(&self, rebuilding: &CounterEpoch, server: String) -> Result<()> {
        let shared = &self.shared;
        let now = shared.clock.now();
        let leases = shared.store.open_leases().await?;
        let budgets = shared.budgets_of(&leases).await?;
        let mut days: Vec<_> = leases.iter().map(|lease| lease.day).collect();
        days.push(day_of(now));
        days.sort_unstable();
        days.dedup();
        let mut sets = Vec::with_capacity(days.len());
        for day in &days {
            let kept = shared.store.day_use(*day).await?;
            let here = leases.iter().filter(|lease| lease.day == *day);
            let reserved = here.map(Lease::totals).sum();
            sets.push(SumSet::of_day(*day, &DayUse { reserved, ..kept }));
        }
        let mut reserved = BTreeMap::<UseKey, i64>::new();
        for (key, amount) in leases.iter().flat_map(|lease| budgets.amounts_of_lease(lease)) {
            let sum = reserved.entry(key).or_default();
            *sum = sum.saturating_add(amount);
        }
        let keys: Vec<_> = reserved.keys().cloned().collect();
        let kept = shared.store.budget_uses(&keys).await?;
        for (key, reserved) in reserved {
            let kept = kept.get(&key).copied().unwrap_or_default();
            sets.push(SumSet::of_use(&key, &BudgetUse { reserved, ..kept }));
        }
        let next = rebuilding.next(CounterBackend::Redis, now);
        let counting = CounterEpoch { redis: Some(server.clone()), ..next };
        let namespace = rebuilding.namespace.clone();
        let at = ServerRef { namespace, server, generation: counting.generation };
        shared.redis.build(&at, &sets, &leases, &budgets).await?;
        shared.redis.link.check(&at.server).await?;
        if !shared.store.advance_counter_epoch(rebuilding.generation, &counting).await? {
            return Err(Error::unavailable("the rebuild of Redis took too long"));
        }
        info!(address = shared.redis.link.shown, leases = leases.len(), "Redis counts calls");
        // What was spent during the rebuild. The holders of leases send the ends of these.
        let mut sets = shared.sums_of_uses(&keys).await?;
        for day in days {
            sets.push(SumSet::of_day(day, &shared.store.day_use(day).await?));
        }
        shared.redis.book(&at, None, &sets).await?;
        Ok(())
    }
}
