//! What moves the fence: falling back, and coming back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval};
use tracing::{debug, info, warn};

use super::super::fence::MEMBER_VALID;
use super::super::redis::Place;
use super::super::{CountedIn, DayUse, Fence, Lease, Member};
use super::{PATIENCE, Shared};
use crate::clock::day_of;
use crate::{Error, Result};

/// The keeper looks so often.
const EVERY: Duration = Duration::from_millis(500);
/// A rebuild that has not ended by then never will: its process died.
const REBUILD_WITHIN: Duration = Duration::from_secs(5);
/// After falling back, Redis is left alone for a while: longer each time, until it has held.
const FIRST_REST: Duration = Duration::from_millis(500);
const LONGEST_REST: Duration = Duration::from_secs(60);
const HELD: Duration = Duration::from_secs(60);
/// Members that have been over for so long are forgotten.
const FORGET_AFTER: Duration = Duration::from_secs(60 * 60);
/// Clocks of processes may differ by so much.
const CLOCK_SLACK: Duration = Duration::from_secs(5);

impl Shared {
    /// Tells the database what this process holds at most, and hears of the fence. Leases are handed
    /// over when the fence has moved.
    pub(super) async fn confirm(&self, need: Option<&Lease>) -> Result<()> {
        let _one_at_a_time = self.confirming.lock().await;
        if let Some(lease) = need {
            // Somebody else may have said enough meanwhile.
            let mut local = self.local();
            if let super::Ask::Redis(_) = local.ask(lease) {
                local.close(lease.id);
                return Ok(());
            }
        }
        // Twice when the fence has moved: first to hear of it, then to say so.
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            let asked = Instant::now();
            let (member, open, before) = {
                let mut local = self.local();
                let (promise, longest) = local.next_promise(need);
                let until = self.clock.now() + (MEMBER_VALID + longest + CLOCK_SLACK);
                let generation = local.fence.generation;
                // In Redis, or handed over already, unless the fence is new to this process.
                let open = if local.is_fresh() { Vec::new() } else { local.hand_over() };
                (Member { id: self.id, generation, promise, until }, open, generation)
            };
            let fence = self.store.confirm(&member, &open).await?;
            let stands = fence.generation == before;
            self.local().confirmed(fence, member.promise, asked);
            if stands {
                return Ok(());
            }
        }
        Err(Error::unavailable("where calls are counted keeps moving"))
    }

    /// Counts in the database from now on, unless somebody else has said so.
    pub(super) async fn fall_back(&self, from: &Place, why: &str) -> Result<()> {
        let fence = self.store.fence().await?;
        if fence.generation == from.generation {
            let to = Fence {
                reason: Some(why.to_owned()),
                ..fence.moved(CountedIn::Database, self.clock.now())
            };
            if self.store.move_fence(fence.generation, &to).await? {
                warn!(reason = why, "calls are counted in the database");
            }
        }
        self.confirm(None).await
    }
}

pub(super) struct Keeper {
    shared: Arc<Shared>,
    rest: Duration,
    rest_until: Instant,
    /// When Redis was first seen to count, since the last fall.
    counts_since: Option<Instant>,
}

impl Keeper {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, rest: FIRST_REST, rest_until: Instant::now(), counts_since: None }
    }

    pub(super) async fn begin(&mut self) -> Result<()> {
        self.shared.confirm(None).await?;
        self.look().await
    }

    pub(super) async fn run(mut self) {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.tick().await;
        let mut away = false;
        loop {
            ticks.tick().await;
            match self.look().await {
                Ok(()) if std::mem::take(&mut away) => info!("the fence can be seen again"),
                Ok(()) => {}
                Err(error) if away => debug!(%error, "the fence still cannot be seen"),
                Err(error) => {
                    away = true;
                    warn!(%error, "the fence cannot be seen; Redis is not used meanwhile");
                }
            }
        }
    }

    async fn look(&mut self) -> Result<()> {
        self.shared.confirm(None).await?;
        let fence = self.shared.local().fence.clone();
        match fence.counted_in {
            CountedIn::Redis => self.watch_redis().await,
            CountedIn::Rebuilding => self.end_dead_rebuild(&fence).await,
            CountedIn::Database => self.come_back(&fence).await,
        }
    }

    async fn watch_redis(&mut self) -> Result<()> {
        let Some(place) = self.shared.place() else { return Ok(()) };
        let counts_since = *self.counts_since.get_or_insert_with(Instant::now);
        if let Err(error) = self.shared.redis.check(&place).await {
            return self.shared.fall_back(&place, error.detail()).await;
        }
        if counts_since.elapsed() > HELD {
            self.rest = FIRST_REST;
        }
        // What it may have missed.
        self.shared.tell_untold().await;
        self.shared.tell_day(day_of(self.shared.clock.now())).await;
        Ok(())
    }

    async fn end_dead_rebuild(&self, fence: &Fence) -> Result<()> {
        let now = self.shared.clock.now();
        let age = Duration::try_from(now.duration_since(fence.since)).unwrap_or_default();
        if age > REBUILD_WITHIN + CLOCK_SLACK {
            let reason = Some("building Redis up was not finished".to_owned());
            let to = Fence { reason, ..fence.moved(CountedIn::Database, now) };
            self.shared.store.move_fence(fence.generation, &to).await?;
            self.shared.confirm(None).await?;
        }
        Ok(())
    }

    /// Counts in Redis again, if it answers and nobody is behind.
    async fn come_back(&mut self, fence: &Fence) -> Result<()> {
        if self.counts_since.take().is_some() {
            // It fell since the last look.
            self.rest_until = Instant::now() + self.rest;
            self.rest = (self.rest * 2).min(LONGEST_REST);
        }
        if Instant::now() < self.rest_until {
            return Ok(());
        }
        let shared = &self.shared;
        let server = match shared.redis.server().await {
            Ok(server) => server,
            Err(error) => {
                if fence.reason.is_none() {
                    self.say_why(fence, error.detail()).await?;
                }
                return Ok(());
            }
        };
        let now = shared.clock.now();
        let members = shared.store.members().await?;
        for member in &members {
            if member.until + FORGET_AFTER < now {
                shared.store.forget_member(member.id).await?;
            }
        }
        if members.iter().any(|member| fence.is_behind(member, now)) {
            return Ok(());
        }
        let rebuilding =
            Fence { reason: fence.reason.clone(), ..fence.moved(CountedIn::Rebuilding, now) };
        if !shared.store.move_fence(fence.generation, &rebuilding).await? {
            return shared.confirm(None).await;
        }
        let rebuilt = self.rebuild(&rebuilding, server).await;
        if let Err(error) = &rebuilt {
            let reason = Some(error.detail().to_owned());
            let to = Fence { reason, ..rebuilding.moved(CountedIn::Database, now) };
            shared.store.move_fence(rebuilding.generation, &to).await?;
        }
        shared.confirm(None).await?;
        if let Err(error) = rebuilt {
            warn!(%error, "Redis was not built up; calls are counted in the database");
            self.rest_until = Instant::now() + self.rest;
            self.rest = (self.rest * 2).min(LONGEST_REST);
        }
        Ok(())
    }

    /// From the ledger and the open leases, while nothing is admitted anywhere.
    async fn rebuild(&self, rebuilding: &Fence, server: String) -> Result<()> {
        let shared = &self.shared;
        let now = shared.clock.now();
        let leases = shared.store.open_leases().await?;
        let mut days: Vec<_> = leases.iter().map(|lease| lease.day).collect();
        days.push(day_of(now));
        days.sort_unstable();
        days.dedup();
        let mut sums = Vec::with_capacity(days.len());
        for day in days {
            let kept = shared.store.day_use(day).await?;
            let here = leases.iter().filter(|lease| lease.day == day);
            sums.push((day, DayUse { reserved: here.map(Lease::totals).sum(), ..kept }));
        }
        let counting =
            Fence { redis: Some(server.clone()), ..rebuilding.moved(CountedIn::Redis, now) };
        let namespace = rebuilding.namespace.clone();
        let place = Place { namespace, server, generation: counting.generation };
        shared.redis.build(&place, &sums, &leases).await?;
        shared.redis.check(&place).await?;
        if !shared.store.move_fence(rebuilding.generation, &counting).await? {
            return Err(Error::unavailable("building Redis up took too long"));
        }
        info!(
            address = shared.redis.address(),
            leases = leases.len(),
            "calls are counted in Redis"
        );
        // What was spent while it was built up. Of the leases that have ended since, their holders tell.
        for (day, _) in &sums {
            let day_use = shared.store.day_use(*day).await?;
            shared.redis.book(&place, None, Some((*day, &day_use))).await?;
        }
        Ok(())
    }

    /// Says that Redis was meant and is away.
    async fn say_why(&self, fence: &Fence, why: &str) -> Result<()> {
        let shared = &self.shared;
        let to = Fence {
            reason: Some(why.to_owned()),
            ..fence.moved(CountedIn::Database, shared.clock.now())
        };
        if shared.store.move_fence(fence.generation, &to).await? {
            warn!(reason = why, "calls are counted in the database");
        }
        shared.confirm(None).await
    }
}
