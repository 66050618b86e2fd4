//! Calls counted in Redis: atomic scripts on keys that hold a generation.
//!
//! All state here can be lost at any moment and be rebuilt: the ledger and the counter's epoch are
//! in the database. A server is identified by its run id and its replication id, so that a restarted
//! server, or a replica that took over, is a different one, whatever its keys say.

mod address;
mod link;
mod locate;
mod sums;

use std::time::Duration;

use ::redis::{Script, ScriptInvocation};
use jiff::Timestamp;
use jiff::civil::Date;
use uuid::Uuid;

use super::{Admission, Budgets, Caps, DayTotals, Lease, UseKey};
use crate::{Error, Result};

pub(crate) use address::Address;
use link::Link;
pub(crate) use sums::SumSet;
use sums::{Call, name_of, read, within, written};

/// The layout of the keys: versions of simops with different layouts do not read each other's.
const LAYOUT: u32 = 2;
/// When the keys of a deployment that has ended expire.
const KEY_TTL: Duration = Duration::from_secs(2 * 24 * 60 * 60);
/// Most expired leases per request.
const DUE_BATCH: u32 = 200;

/// What Redis replies to a reservation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reply {
    /// A verdict.
    Verdict(Admission),
    /// The call has settled: its reservation is admitted again without a lease.
    Settled {
        /// Whether calls are degraded.
        degraded: bool,
    },
    /// Redis does not know some of the sums yet.
    UnknownSums,
    /// Redis does not hold the generation: it cannot be trusted.
    Fenced,
}

/// The end of a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct End {
    /// The lease.
    pub(crate) lease: Uuid,
    /// If it ended in a row: the time until which Redis remembers its id.
    pub(crate) settled_until: Option<Timestamp>,
}

/// The counter of one deployment in Redis.
///
/// A server knows a script by the hash of its text, so different versions of simops can share one. A
/// server that does not have a script yet receives it.
pub(crate) struct RedisCounter {
    pub(crate) link: Link,
    reserve: Script,
    book: Script,
    build: Script,
    due: Script,
    sums: Script,
}

/// Which keys, on which server, of which generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerRef {
    pub(crate) namespace: String,
    pub(crate) server: String,
    pub(crate) generation: u64,
}

impl ServerRef {
    /// A call of `script` with the keys and the generation.
    fn call<'s>(&self, script: &'s Script) -> ScriptInvocation<'s> {
        let tag = tag(&self.namespace);
        let mut call = script.prepare_invoke();
        for name in ["state", "leases", "ends", "settled"] {
            call.key(format!("simops:{LAYOUT}:{tag}:{name}"));
        }
        call.arg(self.generation);
        call
    }
}

/// The hash tag that keeps all keys of a deployment on one node of a cluster.
fn tag(namespace: &str) -> String {
    format!("{{{namespace}}}")
}

impl RedisCounter {
    pub(crate) fn new(address: Address, namespace: &str) -> Self {
        Self {
            link: Link::new(address, tag(namespace)),
            reserve: Script::new(include_str!("scripts/reserve.lua")),
            book: Script::new(include_str!("scripts/book.lua")),
            build: Script::new(include_str!("scripts/build.lua")),
            due: Script::new(include_str!("scripts/due.lua")),
            sums: Script::new(include_str!("scripts/sums.lua")),
        }
    }

    pub(crate) async fn reserve(
        &self,
        at: &ServerRef,
        lease: &Lease,
        caps: &Caps,
        budgets: &Budgets,
    ) -> Result<Reply> {
        let asked = Call::of(lease, caps, budgets);
        let mut call = at.call(&self.reserve);
        call.arg(lease.id.simple().to_string()).arg(written(lease, budgets)?);
        call.arg(lease.expires_at.as_microsecond());
        call.arg(asked.sets.len()).arg(&asked.sets).arg(asked.lines.len());
        for (set, name, line) in &asked.lines {
            call.arg(set).arg(*name).arg(line.adds.map_or(-1, within));
            call.arg(line.hard.map_or(-1, within)).arg(line.soft.map_or(-1, within));
            call.arg(i64::from(line.soft_includes_reserved)).arg(i64::from(line.is_counted));
        }
        for (set, name, amount) in &asked.adds {
            call.arg(set).arg(*name).arg(*amount);
        }
        let reply: i64 = self.link.run(&at.server, &call).await?;
        let understood = match reply {
            0 => Some(Reply::Fenced),
            1 => Some(Reply::UnknownSums),
            2 | 3 => Some(Reply::Verdict(Admission::Admitted { degraded: reply == 3 })),
            4 | 5 => Some(Reply::Settled { degraded: reply == 5 }),
            _ => usize::try_from((reply - 10) / 3)
                .ok()
                .and_then(|line| asked.refusal(line, (reply - 10) % 3))
                .map(Reply::Verdict),
        };
        understood.ok_or_else(|| Error::internal("Redis gave a reply that no script gives"))
    }

    /// Ends a lease, if one is given, and stores sums that are settled. Returns false if Redis is not of
    /// the generation.
    pub(crate) async fn book(
        &self,
        at: &ServerRef,
        end: Option<End>,
        sets: &[SumSet],
    ) -> Result<bool> {
        let mut call = at.call(&self.book);
        let settled_until = end.and_then(|end| end.settled_until);
        call.arg(end.map(|end| end.lease.simple().to_string()).unwrap_or_default());
        call.arg(settled_until.map(|at| at.as_microsecond().to_string()).unwrap_or_default());
        for SumSet { name, version, sums } in sets {
            call.arg(name).arg(*version).arg(sums.len());
            for (name, settled, _) in sums {
                call.arg(*name).arg(*settled);
            }
        }
        let done: i64 = self.link.run(&at.server, &call).await?;
        Ok(done == 1)
    }

    /// Replaces all state.
    pub(crate) async fn build(
        &self,
        at: &ServerRef,
        sets: &[SumSet],
        leases: &[Lease],
        budgets: &Budgets,
    ) -> Result<()> {
        let mut call = at.call(&self.build);
        call.arg(KEY_TTL.as_secs()).arg(sets.len());
        for SumSet { name, version, sums } in sets {
            call.arg(name).arg(*version).arg(sums.len());
            for (name, settled, reserved) in sums {
                call.arg(*name).arg(*settled).arg(*reserved);
            }
        }
        for lease in leases {
            call.arg(lease.id.simple().to_string());
            call.arg(lease.expires_at.as_microsecond()).arg(written(lease, budgets)?);
        }
        let _: i64 = self.link.run(&at.server, &call).await?;
        Ok(())
    }

    /// Some leases that expired before `now`; `None` if Redis is not of the generation.
    pub(crate) async fn due(&self, at: &ServerRef, now: Timestamp) -> Result<Option<Vec<Lease>>> {
        let mut call = at.call(&self.due);
        call.arg(now.as_microsecond()).arg(DUE_BATCH).arg(KEY_TTL.as_secs());
        let found: Option<Vec<Option<String>>> = self.link.run(&at.server, &call).await?;
        let Some(found) = found else { return Ok(None) };
        found.iter().flatten().map(|text| read(text)).collect::<Result<_>>().map(Some)
    }

    /// What a day has reserved; `None` if Redis is not of the generation.
    pub(crate) async fn reserved_of_day(
        &self,
        at: &ServerRef,
        day: Date,
    ) -> Result<Option<DayTotals>> {
        let found = self.reserved(at, &day.to_string(), &DayTotals::NAMES).await?;
        let of = |sums: Vec<i64>| DayTotals::from_array(sums.try_into().unwrap_or_default());
        Ok(found.map(of))
    }

    /// What a use of a budget has reserved; `None` if Redis is not of the generation.
    pub(crate) async fn reserved_of_use(
        &self,
        at: &ServerRef,
        key: &UseKey,
    ) -> Result<Option<i64>> {
        let found = self.reserved(at, &name_of(key), &["amount"]).await?;
        Ok(found.map(|sums| sums.first().copied().unwrap_or_default()))
    }

    async fn reserved(
        &self,
        at: &ServerRef,
        set: &str,
        names: &[&str],
    ) -> Result<Option<Vec<i64>>> {
        let mut call = at.call(&self.sums);
        call.arg(set).arg(names);
        let found: Option<Vec<i64>> = self.link.run(&at.server, &call).await?;
        // The version, then settled and reserved in turn.
        Ok(found.map(|sums| sums.into_iter().skip(2).step_by(2).collect()))
    }
}
