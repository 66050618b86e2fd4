//! Calls counted in Redis: atomic scripts on keys that hold a generation.
//!
//! All state here can be lost at any moment and be rebuilt: the ledger and the counter's epoch are
//! in the database. A server is identified by its run id and its replication id, so that a restarted
//! server, or a replica that took over, is a different one, whatever its keys say.

mod address;
mod link;
mod locate;

use std::time::Duration;

use ::redis::{Script, ScriptInvocation};
use jiff::Timestamp;
use jiff::civil::Date;
use uuid::Uuid;

use super::{Admission, Caps, DayTotals, DayUse, Lease};
use crate::{Error, Result};

pub(crate) use address::Address;
use link::Link;

/// The layout of the keys: versions of simops with different layouts do not read each other's.
const LAYOUT: u32 = 1;
/// When the keys of a deployment that has ended expire.
const KEY_TTL: Duration = Duration::from_secs(2 * 24 * 60 * 60);
/// Scripts count in floats, which are exact up to here: about nine million dollars a day.
const MAX_AMOUNT: i64 = 1 << 53;
/// Most expired leases per request.
const DUE_BATCH: u32 = 200;

/// What Redis replies to a reservation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reply {
    /// A verdict.
    Verdict(Admission),
    /// The call has settled: its reservation is admitted again without a lease.
    Settled {
        /// Whether calls are degraded.
        degraded: bool,
    },
    /// Redis does not know the day's sums yet.
    UnknownDay,
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
    day: Script,
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
            day: Script::new(include_str!("scripts/day.lua")),
        }
    }

    pub(crate) async fn reserve(
        &self,
        at: &ServerRef,
        lease: &Lease,
        caps: &Caps,
    ) -> Result<Reply> {
        let adds = lease.totals();
        let caps = caps.list();
        let set: Vec<_> =
            caps.iter().filter(|cap| cap.hard.is_some() || cap.soft.is_some()).collect();
        let mut call = at.call(&self.reserve);
        call.arg(lease.day.to_string()).arg(lease.id.simple().to_string());
        call.arg(written(lease)?).arg(lease.expires_at.as_microsecond()).arg(set.len());
        for cap in &set {
            let added = if cap.matches(&adds) { within(adds.amount(cap.measure)) } else { -1 };
            call.arg(DayTotals::NAMES[cap.measure as usize]).arg(added);
            call.arg(cap.hard.map_or(-1, within)).arg(cap.soft.map_or(-1, within));
            call.arg(i64::from(cap.soft_includes_reserved()));
        }
        for (name, amount) in
            DayTotals::NAMES.into_iter().zip(numbers(&adds)).filter(|(_, n)| *n > 0)
        {
            call.arg(name).arg(amount);
        }
        let reply: i64 = self.link.run(&at.server, &call).await?;
        let refused = |first: i64, in_flight| {
            let cap = usize::try_from(reply - first).ok().and_then(|index| set.get(index))?;
            Some(Reply::Verdict(Admission::Refused { reason: cap.reason, in_flight }))
        };
        let understood = match reply {
            0 => Some(Reply::Fenced),
            1 => Some(Reply::UnknownDay),
            2 | 3 => Some(Reply::Verdict(Admission::Admitted { degraded: reply == 3 })),
            4 | 5 => Some(Reply::Settled { degraded: reply == 5 }),
            10..=29 => refused(10, false),
            _ => refused(30, true),
        };
        understood.ok_or_else(|| Error::internal("Redis gave a reply that no script gives"))
    }

    /// Ends a lease and stores a day's sums, either of which may be missing. Returns false if Redis
    /// is not of the generation.
    pub(crate) async fn book(
        &self,
        at: &ServerRef,
        end: Option<End>,
        day: Option<(Date, &DayUse)>,
    ) -> Result<bool> {
        let mut call = at.call(&self.book);
        let settled_until = end.and_then(|end| end.settled_until);
        call.arg(end.map(|end| end.lease.simple().to_string()).unwrap_or_default());
        call.arg(settled_until.map(|at| at.as_microsecond().to_string()).unwrap_or_default());
        match day {
            Some((day, day_use)) => {
                call.arg(day.to_string()).arg(day_use.version);
                call.arg(&numbers(&day_use.settled));
            }
            None => {
                call.arg("");
            }
        }
        let done: i64 = self.link.run(&at.server, &call).await?;
        Ok(done == 1)
    }

    /// Replaces all state.
    pub(crate) async fn build(
        &self,
        at: &ServerRef,
        days: &[(Date, DayUse)],
        leases: &[Lease],
    ) -> Result<()> {
        let mut call = at.call(&self.build);
        call.arg(KEY_TTL.as_secs()).arg(days.len());
        for (day, day_use) in days {
            call.arg(day.to_string()).arg(day_use.version);
            call.arg(&numbers(&day_use.settled)).arg(&numbers(&day_use.reserved));
        }
        for lease in leases {
            call.arg(lease.id.simple().to_string());
            call.arg(lease.expires_at.as_microsecond()).arg(written(lease)?);
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

    /// What a day has used and reserved; `None` if Redis is not of the generation.
    pub(crate) async fn day_use(&self, at: &ServerRef, day: Date) -> Result<Option<DayUse>> {
        let mut call = at.call(&self.day);
        call.arg(day.to_string());
        let found: Option<Vec<i64>> = self.link.run(&at.server, &call).await?;
        let Some(found) = found else { return Ok(None) };
        let known = found.split_first().and_then(|(version, sums)| {
            let ([settled, reserved], []) = sums.as_chunks() else { return None };
            Some(DayUse {
                settled: DayTotals::from_array(*settled),
                reserved: DayTotals::from_array(*reserved),
                version: u64::try_from(*version).unwrap_or_default(),
            })
        });
        Ok(Some(known.unwrap_or_default()))
    }
}

fn within(number: i64) -> i64 {
    number.clamp(0, MAX_AMOUNT)
}

fn numbers(totals: &DayTotals) -> [i64; 6] {
    totals.to_array().map(within)
}

/// A lease as the scripts read it (its day and what it adds), followed by its JSON.
fn written(lease: &Lease) -> Result<String> {
    let [_, free, groq, gemini, unpriced, cost] = numbers(&lease.totals());
    let json = serde_json::to_string(lease)
        .map_err(|error| Error::internal("a lease cannot be written").with_source(error))?;
    Ok(format!("{}|{free}|{groq}|{gemini}|{unpriced}|{cost}|{json}", lease.day))
}

fn read(text: &str) -> Result<Lease> {
    let json = text.splitn(7, '|').nth(6).unwrap_or_default();
    serde_json::from_str(json)
        .map_err(|error| Error::internal("a lease in Redis cannot be read").with_source(error))
}
