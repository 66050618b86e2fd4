//! Which backend counts calls: the database, or Redis while the database says so.
//!
//! Redis is fast, but it can lose its data. So the database holds a [`CounterEpoch`]: the backend
//! that counts, and a generation that increases with every change. Redis is trusted only while it
//! holds the current generation, and a process uses it only as a [`CounterClient`] with a recent
//! heartbeat in the database.
//!
//! A client holds leases that only Redis and the client itself know. If Redis is lost, the epoch
//! advances to the database at once, and each client transfers its leases there as soon as it sees
//! the change. Until then the database counts the client's whole *allotment*, which its leases never
//! exceed. So the database can admit calls without waiting for any client, and no cap is exceeded.
//! The allotment of a client that never returns counts until the last of its leases has expired.

use std::iter::Sum;
use std::ops::{Add, Sub};

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Amounts, DayTotals, Lease, UsageRow};
use crate::{Error, Result};

/// Which backend counts calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CounterBackend {
    /// The database.
    Database,
    /// None for a moment: Redis is being rebuilt from the ledger.
    Rebuilding,
    /// Redis.
    Redis,
}

/// Which backend counts calls, and since which change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CounterEpoch {
    /// The number of changes so far.
    pub generation: u64,
    /// The backend that counts.
    pub backend: CounterBackend,
    /// The prefix of the keys in Redis, so that deployments can share one. It never changes.
    pub namespace: String,
    /// Which Redis server: a restarted server, or a replica that took over, is a different one.
    pub redis: Option<String>,
    /// When the epoch began.
    pub since: Timestamp,
    /// Why the database replaces Redis; `None` if it does not. Contains no secret.
    pub reason: Option<String>,
    /// The revision of the budgets, which changes of the backend leave as it is.
    pub budgets: u64,
}

/// A process that counts in Redis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CounterClient {
    /// Its id.
    pub id: Uuid,
    /// The generation that it acts on.
    pub generation: u64,
    /// What its open leases never exceed before a heartbeat says otherwise.
    pub allotment: Allotment,
    /// When the last of its leases has expired if it sends no more heartbeats.
    pub until: Timestamp,
    /// The number of its heartbeats so far. One that arrives after a later one changes nothing.
    pub sequence: u64,
}

/// What leases may reserve together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Allotment {
    /// By the sums of a day.
    pub totals: DayTotals,
    /// Tokens.
    pub tokens: i64,
}

impl Allotment {
    /// What a lease reserves.
    pub fn of(lease: &Lease) -> Self {
        Self { totals: lease.totals(), tokens: Amounts::of_lease(lease).tokens }
    }

    /// What it may use, as budgets count it.
    pub fn amounts(&self) -> Amounts {
        let DayTotals { calls_total, cost, .. } = self.totals;
        Amounts { calls: calls_total, tokens: self.tokens, cost }
    }

    /// The larger of each sum.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self { totals: self.totals.max(other.totals), tokens: self.tokens.max(other.tokens) }
    }

    /// The smaller of each sum.
    #[must_use]
    pub fn min(self, other: Self) -> Self {
        Self { totals: self.totals.min(other.totals), tokens: self.tokens.min(other.tokens) }
    }

    /// Whether no sum is larger than the one in `other`.
    pub fn fits(self, other: Self) -> bool {
        self.max(other) == other
    }
}

impl Add for Allotment {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        let tokens = self.tokens.saturating_add(other.tokens);
        Self { totals: self.totals + other.totals, tokens }
    }
}

impl Sub for Allotment {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        let tokens = self.tokens.saturating_sub(other.tokens).max(0);
        Self { totals: self.totals - other.totals, tokens }
    }
}

impl Sum for Allotment {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), Add::add)
    }
}

impl CounterEpoch {
    /// The epoch that follows this one.
    #[must_use]
    pub fn next(&self, backend: CounterBackend, since: Timestamp) -> Self {
        Self {
            generation: self.generation + 1,
            backend,
            namespace: self.namespace.clone(),
            redis: None,
            since,
            reason: None,
            budgets: self.budgets,
        }
    }

    /// Whether the database may admit calls.
    ///
    /// # Errors
    /// `Stale` while Redis counts calls or is being rebuilt.
    pub fn check_database_counts(&self) -> Result<()> {
        match self.backend {
            CounterBackend::Database => Ok(()),
            CounterBackend::Rebuilding => {
                Err(Error::stale("the Redis counter is being rebuilt from the ledger"))
            }
            CounterBackend::Redis => Err(Error::stale(
                "calls are counted in Redis; set REDIS_URL for this process as well",
            )),
        }
    }

    /// Whether `client` may still hold leases that only Redis knows.
    pub fn is_outdated(&self, client: &CounterClient, now: Timestamp) -> bool {
        client.generation < self.generation && client.until > now
    }

    /// What the outdated ones of `clients` hold at most.
    pub fn outstanding<'c>(
        &self,
        clients: impl IntoIterator<Item = &'c CounterClient>,
        now: Timestamp,
    ) -> Allotment {
        let outdated = clients.into_iter().filter(|client| self.is_outdated(client, now));
        outdated.map(|client| client.allotment).sum()
    }
}

/// Stores the counter's epoch and clients.
#[async_trait]
pub trait CounterEpochStore: Send + Sync {
    /// The current epoch.
    async fn counter_epoch(&self) -> Result<CounterEpoch>;

    /// Replaces the epoch whose generation is `from` by `to`, but for the revision of the budgets.
    /// Returns false if another process has
    /// replaced it. Increases the watched revision.
    async fn advance_counter_epoch(&self, from: u64, to: &CounterEpoch) -> Result<bool>;

    /// Stores `client`, replacing its last heartbeat unless that has a larger number, and opens those
    /// of its leases in the database that are neither open nor settled there. Returns the epoch as of
    /// that moment.
    async fn heartbeat(&self, client: &CounterClient, open: &[Lease]) -> Result<CounterEpoch>;

    /// Deletes a client that holds no leases.
    async fn remove_counter_client(&self, id: Uuid) -> Result<()>;

    /// All clients by id, including expired ones.
    async fn counter_clients(&self) -> Result<Vec<CounterClient>>;

    /// The open leases in the database, by id.
    async fn open_leases(&self) -> Result<Vec<Lease>>;

    /// The row of this id in the ledger.
    async fn settled_row(&self, id: Uuid) -> Result<Option<UsageRow>>;
}
