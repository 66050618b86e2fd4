//! Calls counted in Redis, and in the database whenever Redis cannot be trusted.
//!
//! [`super::epoch`] describes the mechanism. This counter is one client in it: it asks Redis while its
//! last heartbeat is recent, writes every end to the ledger first and sends it to Redis afterwards,
//! and falls back as soon as Redis fails, by advancing the epoch. Its supervisor (one task per
//! process) sends the heartbeats, and rebuilds Redis from the ledger once it answers again.
//!
//! # Bounds
//! - No cap is exceeded, whatever happens to Redis and in whichever order processes notice it.
//! - If a process dies while it holds leases that only Redis knows, and Redis loses them at the same
//!   time, these calls leave no rows, because no one knows them any more. The allotment of the process
//!   counts until the last of them must have expired.
//! - Redis remembers the ids of settled calls for [`SETTLED_TTL`]. A reservation that may repeat an
//!   older call is looked up in the ledger first.

mod groups;
mod local;
mod supervisor;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use jiff::Timestamp;
use jiff::civil::Date;
use tokio::task::JoinHandle;
use tracing::debug;
use uuid::Uuid;

use super::admission::is_degraded;
use super::redis::{Address, End, RedisCounter, Reply, ServerRef, SumSet};
use super::{
    Admission, Amounts, BudgetUse, Budgets, CallFacts, Caps, CounterStatus, CountingStore, DayUse,
    Lease, UsageCounter, UsageRow, UseKey,
};
use crate::{Clock, Error, ErrorKind, Result};
use groups::GroupCache;
use local::{Ask, ChangedSums, Local};

/// How long a call waits for the epoch to settle.
const TIMEOUT: Duration = Duration::from_secs(5);
const RETRY_DELAY: Duration = Duration::from_millis(10);
/// How long a process that closes waits until Redis has acknowledged its ends. Redis counts the
/// others until their leases expire.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);
/// How long Redis remembers the ids of settled calls.
pub(super) const SETTLED_TTL: Duration = Duration::from_secs(2 * 60);
/// A lease that was made longer ago may repeat a call that Redis has forgotten.
const FRESH_LEASE: Duration = Duration::from_secs(60);
/// Clocks of processes may differ by this much.
const CLOCK_SLACK: Duration = Duration::from_secs(5);
/// How long a process may use Redis after a heartbeat.
const HEARTBEAT_TTL: Duration = Duration::from_secs(5);

/// A counter in Redis that falls back to the database. Dropping it stops its supervisor; its leases
/// stay open until they expire.
pub struct TieredCounter {
    shared: Arc<Shared>,
    supervisor: JoinHandle<()>,
}

struct Shared {
    store: Arc<dyn CountingStore>,
    clock: Arc<dyn Clock>,
    redis: RedisCounter,
    /// The id of this process as a client.
    id: Uuid,
    local: Mutex<Local>,
    groups: GroupCache,
    /// Held while leases are transferred, so that none is that was just abandoned.
    heartbeat: tokio::sync::Mutex<()>,
}

impl TieredCounter {
    /// A counter in the Redis at `url` over `store`. While Redis is unavailable, the store counts.
    /// Needs a tokio runtime.
    ///
    /// # Errors
    /// `Invalid` if `url` is not the URL of a Redis; the message does not repeat it. Otherwise the
    /// errors of the store.
    pub async fn start(
        store: Arc<dyn CountingStore>,
        url: &str,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        let address = Address::parse(url)?;
        let epoch = store.counter_epoch().await?;
        let redis = RedisCounter::new(address, &epoch.namespace);
        let local = Mutex::new(Local::new(epoch));
        let id = Uuid::now_v7();
        let heartbeat = tokio::sync::Mutex::default();
        let groups = GroupCache::default();
        let shared = Arc::new(Shared { store, clock, redis, id, local, groups, heartbeat });
        let mut supervisor = supervisor::Supervisor::new(Arc::clone(&shared));
        // Once before the first call, so that it knows whether Redis is available.
        supervisor.begin().await?;
        Ok(Self { shared, supervisor: tokio::spawn(supervisor.run()) })
    }
}

impl Drop for TieredCounter {
    fn drop(&mut self) {
        self.supervisor.abort();
    }
}

#[async_trait]
impl UsageCounter for TieredCounter {
    async fn reserve(&self, lease: &Lease, caps: &Caps) -> Result<Admission> {
        self.shared.reserve(lease, caps).await
    }

    async fn settle(&self, row: &UsageRow) -> Result<()> {
        // The ledger first: a lease that Redis still counts is only too careful.
        let replaced = self.shared.replaced_by(row).await?;
        self.shared.store.settle(row).await?;
        self.shared.end(row.id, Some(self.shared.changed_by(row, replaced).await?)).await;
        Ok(())
    }

    async fn release(&self, lease_id: Uuid) -> Result<()> {
        self.shared.abandon(lease_id).await?;
        self.shared.end(lease_id, None).await;
        Ok(())
    }

    async fn expire(&self, now: Timestamp) -> Result<u64> {
        let mut expired = self.shared.store.expire(now).await?;
        // A server that is not current cannot be trusted.
        let server = self.shared.server().filter(|server| self.shared.is_current(server));
        let Some(server) = server else { return Ok(expired) };
        let due = match self.shared.redis.due(&server, now).await {
            Ok(due) => due.unwrap_or_default(),
            Err(error) => {
                // The supervisor notices it, too, and falls back.
                debug!(%error, "expired leases in Redis cannot be read");
                Vec::new()
            }
        };
        for lease in due {
            let row = lease.expired(now);
            self.shared.store.settle(&row).await?;
            self.shared.end(lease.id, Some(self.shared.changed_by(&row, None).await?)).await;
            expired += 1;
        }
        Ok(expired)
    }

    async fn day_use(&self, day: Date) -> Result<DayUse> {
        self.shared.day_use(day).await
    }

    async fn budget_uses(&self, keys: &[UseKey]) -> Result<BTreeMap<UseKey, BudgetUse>> {
        self.shared.budget_uses(keys).await
    }

    fn health(&self) -> CounterStatus {
        CounterStatus::of(&self.shared.local().epoch, &self.shared.store.health().backend)
    }

    async fn close(&self) {
        self.supervisor.abort();
        self.shared.flush_acks().await;
        let _no_heartbeat = self.shared.heartbeat.lock().await;
        // A lease that is still open keeps this process a client until it expires.
        let is_empty = self.shared.local().leave();
        if is_empty
            && let Err(error) = self.shared.store.remove_counter_client(self.shared.id).await
        {
            debug!(%error, "the counter client was not removed; it expires");
        }
    }
}

impl Shared {
    fn local(&self) -> MutexGuard<'_, Local> {
        self.local.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn server(&self) -> Option<ServerRef> {
        self.local().server()
    }

    async fn reserve(&self, lease: &Lease, caps: &Caps) -> Result<Admission> {
        let began = Instant::now();
        loop {
            let ask = self.local().ask(lease);
            match ask {
                Ask::Redis(server) => {
                    self.await_earlier_end(lease.id).await?;
                    if let Some(verdict) = self.ask_redis(&server, lease, caps).await? {
                        return Ok(verdict);
                    }
                }
                Ask::Heartbeat => self.heartbeat(Some(lease)).await?,
                Ask::Database => match self.store.reserve(lease, caps).await {
                    Err(error) if error.kind() == ErrorKind::Stale => {
                        self.heartbeat(None).await?;
                        tokio::time::sleep(RETRY_DELAY).await;
                    }
                    verdict => {
                        if let Ok(Admission::Admitted { .. }) = verdict {
                            // Redis will be rebuilt with this lease.
                            self.local().acked(lease.id);
                        }
                        return verdict;
                    }
                },
            }
            if began.elapsed() > TIMEOUT {
                self.abandon(lease.id).await?;
                return Err(Error::unavailable("the counter is changing its backend; try again"));
            }
        }
    }

    /// The verdict of Redis; `None` if it has none that can be trusted.
    async fn ask_redis(
        &self,
        server: &ServerRef,
        lease: &Lease,
        caps: &Caps,
    ) -> Result<Option<Admission>> {
        if self.may_be_forgotten(lease) && self.store.settled_row(lease.id).await?.is_some() {
            self.local().close(lease.id);
            let degraded = self.is_degraded(lease, caps).await?;
            return Ok(Some(Admission::Admitted { degraded }));
        }
        // Cancelled here, the lease stays open until it expires: it may be counted.
        let budgets = self.budgets_of(std::slice::from_ref(lease)).await?;
        match self.redis.reserve(server, lease, caps, &budgets).await {
            // A late reply is not valid: another backend may count by now.
            Ok(Reply::Verdict(verdict @ Admission::Admitted { .. })) if self.is_current(server) => {
                return Ok(Some(verdict));
            }
            Ok(Reply::Settled { degraded }) if self.is_current(server) => {
                self.local().close(lease.id);
                return Ok(Some(Admission::Admitted { degraded }));
            }
            Ok(Reply::Verdict(verdict @ Admission::Refused { .. })) if self.is_current(server) => {
                self.abandon(lease.id).await?;
                return Ok(Some(verdict));
            }
            Ok(Reply::Verdict(_) | Reply::Settled { .. }) => {
                self.abandon(lease.id).await?;
                // Redis may go on counting, and counts it.
                self.end(lease.id, None).await;
            }
            Ok(Reply::UnknownSums) => {
                let uses = budgets.amounts_of_lease(lease).into_iter().map(|(key, _)| key);
                self.send_sums(ChangedSums { days: vec![lease.day], uses: uses.collect() }).await;
            }
            Ok(Reply::Fenced) => {
                self.abandon(lease.id).await?;
                let address = &self.redis.link.shown;
                let why = format!("Redis at {address} lost its data, or has an older state");
                self.fall_back(server, &why).await?;
            }
            Err(error) => {
                self.abandon(lease.id).await?;
                self.fall_back(server, error.detail()).await?;
            }
        }
        Ok(None)
    }

    /// Whether calls like this one are degraded now.
    async fn is_degraded(&self, lease: &Lease, caps: &Caps) -> Result<bool> {
        let mut lines = caps.lines(&self.day_use(lease.day).await?, &lease.totals());
        let budgets = self.budgets_of(std::slice::from_ref(lease)).await?;
        let uses = budgets.uses(&CallFacts::of_lease(lease));
        let keys: Vec<_> = uses.iter().map(|(_, key)| key.clone()).collect();
        let used = self.budget_uses(&keys).await?;
        let amounts = Amounts::of_lease(lease);
        lines.extend(uses.iter().map(|(budget, key)| {
            budget.line(key, used.get(key).copied().unwrap_or_default(), &amounts)
        }));
        Ok(is_degraded(&lines))
    }

    /// Whether the lease may repeat a call that settled, which Redis does not remember: one of long
    /// ago, or of before Redis was rebuilt.
    fn may_be_forgotten(&self, lease: &Lease) -> bool {
        let rebuilt = self.local().epoch.since;
        lease.created_at < self.clock.now() - FRESH_LEASE
            || lease.created_at < rebuilt + CLOCK_SLACK
    }

    async fn day_use(&self, day: Date) -> Result<DayUse> {
        let kept = self.store.day_use(day).await?;
        let Some(server) = self.server() else { return Ok(kept) };
        match self.redis.reserved_of_day(&server, day).await {
            // The ledger says what is settled, Redis what is in flight.
            Ok(Some(reserved)) => Ok(DayUse { reserved, ..kept }),
            _ => Ok(kept),
        }
    }

    async fn budget_uses(&self, keys: &[UseKey]) -> Result<BTreeMap<UseKey, BudgetUse>> {
        let mut uses = self.store.budget_uses(keys).await?;
        let Some(server) = self.server() else { return Ok(uses) };
        for key in keys {
            if let Ok(Some(reserved)) = self.redis.reserved_of_use(&server, key).await {
                uses.entry(key.clone()).or_default().reserved = reserved;
            }
        }
        Ok(uses)
    }

    /// The budgets as of the last heartbeat.
    fn budgets(&self) -> Arc<Budgets> {
        Arc::clone(&self.local().budgets)
    }

    /// The budgets as of the last heartbeat, with the groups of the runs of `leases` if they are
    /// needed.
    async fn budgets_of(&self, leases: &[Lease]) -> Result<Arc<Budgets>> {
        self.with_groups(leases.iter().filter_map(|lease| lease.run_id.as_ref())).await
    }

    async fn with_groups(&self, runs: impl Iterator<Item = &String>) -> Result<Arc<Budgets>> {
        let budgets = self.budgets();
        if !budgets.need_groups() {
            return Ok(budgets);
        }
        let runs: Vec<_> = runs.cloned().collect();
        let groups = self.groups.of(&*self.store, &runs).await?;
        Ok(Arc::new(Budgets { groups, ..Budgets::clone(&budgets) }))
    }

    /// The row that `row` replaces, if it does and Redis counts it: that of a lease which expired.
    async fn replaced_by(&self, row: &UsageRow) -> Result<Option<UsageRow>> {
        let is_known = {
            let local = self.local();
            local.is_open(row.id) || local.server().is_none()
        };
        if is_known {
            return Ok(None);
        }
        let old = self.store.settled_row(row.id).await?;
        Ok(old.filter(|old| old.is_superseded_by(row)))
    }

    /// The sums that change with a row, and with the one that it replaces.
    async fn changed_by(&self, row: &UsageRow, old: Option<UsageRow>) -> Result<ChangedSums> {
        let rows: Vec<_> = old.iter().chain([row]).collect();
        let budgets = self.with_groups(rows.iter().filter_map(|row| row.run_id.as_ref())).await?;
        let uses = rows.iter().flat_map(|row| budgets.amounts_of_row(row));
        let uses = uses.map(|(key, _)| key).collect();
        Ok(ChangedSums { days: rows.iter().map(|row| row.day).collect(), uses })
    }

    /// Whether `server` still counts, according to a recent heartbeat.
    fn is_current(&self, server: &ServerRef) -> bool {
        let local = self.local();
        local.is_fresh() && local.server().as_ref() == Some(server)
    }

    /// Ends a lease whose call is not made.
    async fn abandon(&self, id: Uuid) -> Result<()> {
        let transferred = {
            let _no_heartbeat = self.heartbeat.lock().await;
            let transferred = self.local().close(id);
            // Also in the database: it may have been transferred, or admitted there.
            self.store.release(id).await?;
            transferred
        };
        if transferred {
            // Redis may have been rebuilt with it, also if it had refused it before.
            self.end(id, None).await;
        }
        Ok(())
    }

    /// A lease that is abandoned on the way to a verdict is reserved again under the same id. The
    /// earlier end must not end it.
    async fn await_earlier_end(&self, id: Uuid) -> Result<()> {
        let (is_pending, may_end_late) = {
            let local = self.local();
            (local.is_pending(id), local.may_end_late(id))
        };
        if is_pending && (may_end_late || !self.send_end(id).await) {
            self.abandon(id).await?;
            return Err(Error::unavailable("Redis has not yet acknowledged an end of this lease"));
        }
        Ok(())
    }

    /// A lease has ended in the database, in a row if sums have changed. Sends that to Redis, now or
    /// when it counts again.
    async fn end(&self, lease: Uuid, settled: Option<ChangedSums>) {
        self.local().end(lease, settled);
        self.send_end(lease).await;
    }

    /// Sends Redis the ends that it has not acknowledged.
    async fn send_pending(&self) {
        let pending = self.local().pending();
        for lease in pending {
            self.send_end(lease).await;
        }
    }

    /// Sends Redis an end together with the sums that changed, so that it never counts neither. Returns
    /// whether Redis has acknowledged it.
    async fn send_end(&self, lease: Uuid) -> bool {
        let Some((server, settled)) = self.local().begin_ack(lease) else { return false };
        let mut ack = AckGuard { shared: self, lease, acked: false };
        let settled_until = settled.is_some().then(|| self.clock.now() + SETTLED_TTL);
        ack.acked = self.send(&server, Some(End { lease, settled_until }), settled).await;
        ack.acked
    }

    /// Waits until Redis has acknowledged the ends of this process.
    async fn flush_acks(&self) {
        let began = Instant::now();
        while !self.local().pending().is_empty() && began.elapsed() < FLUSH_TIMEOUT {
            if self.heartbeat(None).await.is_ok() {
                self.send_pending().await;
            }
            tokio::time::sleep(RETRY_DELAY).await;
        }
    }

    /// Sends Redis sums as they are in the ledger.
    async fn send_sums(&self, changed: ChangedSums) {
        if let Some(server) = self.server() {
            self.send(&server, None, Some(changed)).await;
        }
    }

    /// The sums of these uses of budgets as they are in the ledger.
    async fn sums_of_uses(&self, keys: &[UseKey]) -> Result<Vec<SumSet>> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let kept = self.store.budget_uses(keys).await?;
        let of = |key: &UseKey| SumSet::of_use(key, &kept.get(key).copied().unwrap_or_default());
        Ok(keys.iter().map(of).collect())
    }

    /// Sends Redis an end and sums that changed. Returns whether Redis has acknowledged them. Until it
    /// does, it counts a little too much.
    async fn send(
        &self,
        server: &ServerRef,
        end: Option<End>,
        changed: Option<ChangedSums>,
    ) -> bool {
        let sent = async {
            let mut sets = Vec::new();
            if let Some(ChangedSums { days, uses }) = &changed {
                sets = self.sums_of_uses(uses).await?;
                for day in days {
                    sets.push(SumSet::of_day(*day, &self.store.day_use(*day).await?));
                }
            }
            self.redis.book(server, end, &sets).await
        };
        sent.await.unwrap_or_else(|error| {
            debug!(%error, "Redis has not acknowledged an end");
            false
        })
    }
}

/// An end on its way to Redis.
struct AckGuard<'s> {
    shared: &'s Shared,
    lease: Uuid,
    acked: bool,
}

impl Drop for AckGuard<'_> {
    fn drop(&mut self) {
        let mut local = self.shared.local();
        if self.acked { local.acked(self.lease) } else { local.ack_failed(self.lease) }
    }
}
