//! Calls counted in Redis: scripts that do each step at once, on keys that hold a generation.
//!
//! Everything here may vanish at any moment and be built up again: the ledger and the fence are in
//! the database. A server is known by its run id and its replication id, so that one that was
//! restarted, or a replica that took over, is another server, whatever its keys say.

mod address;
mod link;
mod locate;
mod script;

use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;
use uuid::Uuid;

use super::{Admission, Caps, DayTotals, DayUse, Lease, NanoUsd, Refused};
use crate::{Error, Result};

pub(crate) use address::Address;
use link::Link;
use script::Scripts;

/// Counts the layouts of the keys: versions of simops that differ in it do not read each other's.
const LAYOUT: u32 = 1;
/// Keys of a deployment that is gone vanish.
const LIFE: Duration = Duration::from_secs(2 * 24 * 60 * 60);
/// Scripts count in floats, which are exact up to here: about nine million dollars a day.
const GREATEST: i64 = 1 << 53;
/// Leases fetched at once when they are over.
const DUE_AT_ONCE: u32 = 200;

/// What Redis says to a reservation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Said {
    /// A verdict.
    Verdict(Admission),
    /// It must be told of the day first.
    UnknownDay,
    /// It does not hold the generation: it is not to be believed.
    Fenced,
}

/// The keys of one deployment on one server.
pub(crate) struct RedisTill {
    link: Link,
    scripts: Scripts,
}

/// Which keys, on which server, of which generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) namespace: String,
    pub(crate) server: String,
    pub(crate) generation: u64,
}

impl Place {
    fn keys(&self) -> [String; 3] {
        let tag = tag(&self.namespace);
        let key = |name| format!("simops:{LAYOUT}:{tag}:{name}");
        [key("state"), key("leases"), key("ends")]
    }
}

/// What a cluster keeps on one node: all keys of a deployment.
fn tag(namespace: &str) -> String {
    format!("{{{namespace}}}")
}

impl RedisTill {
    pub(crate) fn new(address: Address, namespace: &str) -> Self {
        Self { link: Link::new(address, tag(namespace)), scripts: Scripts::new() }
    }

    /// Where it is, without secrets.
    pub(crate) fn address(&self) -> &str {
        self.link.address()
    }

    /// The server that answers now.
    pub(crate) async fn server(&self) -> Result<String> {
        self.link.server().await
    }

    /// Whether it is still the server that it was.
    pub(crate) async fn check(&self, place: &Place) -> Result<()> {
        self.link.check(&place.server).await
    }

    pub(crate) async fn reserve(&self, at: &Place, lease: &Lease, caps: &Caps) -> Result<Said> {
        let day = lease.day.to_string();
        let ask = lease.totals();
        let mut call = self.scripts.reserve.prepare_invoke();
        for key in at.keys() {
            call.key(key);
        }
        call.arg(at.generation).arg(day).arg(lease.id.simple().to_string()).arg(written(lease)?);
        call.arg(lease.expires_at.as_microsecond());
        for cap in [caps.hard.map(|cap| cap.0), caps.soft.map(|cap| cap.0)] {
            call.arg(cap.map_or(-1, within));
        }
        for cap in [caps.total, caps.openrouter_free, caps.groq, caps.gemini] {
            call.arg(cap.map_or(-1, within));
        }
        call.arg(ask.calls_openrouter_free).arg(ask.calls_groq).arg(ask.calls_gemini);
        call.arg(ask.calls_unpriced).arg(within(ask.cost.0));
        let said: i64 = self.link.run(&at.server, &call).await?;
        said_by(said)
    }

    /// Ends a lease and tells the day's totals, either of which may be missing; false when Redis is
    /// not of the generation.
    pub(crate) async fn book(
        &self,
        at: &Place,
        lease: Option<Uuid>,
        day: Option<(Date, &DayUse)>,
    ) -> Result<bool> {
        let mut call = self.scripts.book.prepare_invoke();
        for key in at.keys() {
            call.key(key);
        }
        call.arg(at.generation);
        call.arg(lease.map(|id| id.simple().to_string()).unwrap_or_default());
        match day {
            Some((day, day_use)) => {
                call.arg(day.to_string()).arg(day_use.version);
                for total in numbers(&day_use.settled) {
                    call.arg(total);
                }
            }
            None => {
                call.arg("");
            }
        }
        let done: i64 = self.link.run(&at.server, &call).await?;
        Ok(done == 1)
    }

    /// Builds everything anew.
    pub(crate) async fn build(
        &self,
        at: &Place,
        days: &[(Date, DayUse)],
        leases: &[Lease],
    ) -> Result<()> {
        let mut call = self.scripts.build.prepare_invoke();
        for key in at.keys() {
            call.key(key);
        }
        call.arg(at.generation).arg(LIFE.as_secs()).arg(days.len());
        for (day, day_use) in days {
            call.arg(day.to_string()).arg(day_use.version);
            for total in numbers(&day_use.settled).into_iter().chain(numbers(&day_use.reserved)) {
                call.arg(total);
            }
        }
        for lease in leases {
            call.arg(lease.id.simple().to_string());
            call.arg(lease.expires_at.as_microsecond()).arg(written(lease)?);
        }
        let _: i64 = self.link.run(&at.server, &call).await?;
        Ok(())
    }

    /// Some leases that ended before `now`; none when Redis is not of the generation.
    pub(crate) async fn due(&self, at: &Place, now: Timestamp) -> Result<Option<Vec<Lease>>> {
        let mut call = self.scripts.due.prepare_invoke();
        for key in at.keys() {
            call.key(key);
        }
        call.arg(at.generation).arg(now.as_microsecond()).arg(DUE_AT_ONCE).arg(LIFE.as_secs());
        let found: Option<Vec<Option<String>>> = self.link.run(&at.server, &call).await?;
        let Some(found) = found else { return Ok(None) };
        found.iter().flatten().map(|text| read(text)).collect::<Result<_>>().map(Some)
    }

    /// What a day has used and reserved; none when Redis is not of the generation.
    pub(crate) async fn day_use(&self, at: &Place, day: Date) -> Result<Option<DayUse>> {
        let mut call = self.scripts.day.prepare_invoke();
        let [state, ..] = at.keys();
        call.key(state).arg(at.generation).arg(day.to_string());
        let found: Option<Vec<i64>> = self.link.run(&at.server, &call).await?;
        let Some(found) = found else { return Ok(None) };
        Ok(match found.as_slice() {
            [version, settled @ .., a, b, c, d, e, f] => Some(DayUse {
                settled: totals(settled),
                reserved: totals(&[*a, *b, *c, *d, *e, *f]),
                version: u64::try_from(*version).unwrap_or_default(),
            }),
            _ => Some(DayUse::default()),
        })
    }
}

fn said_by(said: i64) -> Result<Said> {
    let reason = match said % 10 {
        0 => Refused::HardBudgetReached,
        1 => Refused::MaxCallsTotalReached,
        2 => Refused::MaxCallsOpenrouterFreeReached,
        3 => Refused::MaxCallsGroqReached,
        _ => Refused::MaxCallsGeminiReached,
    };
    Ok(match said {
        0 => Said::Fenced,
        1 => Said::UnknownDay,
        2 | 3 => Said::Verdict(Admission::Admitted { degraded: said == 3 }),
        10..=14 | 20..=24 => Said::Verdict(Admission::Refused { reason, in_flight: said >= 20 }),
        _ => return Err(Error::internal("Redis gave an answer that no script gives")),
    })
}

fn within(number: i64) -> i64 {
    number.clamp(0, GREATEST)
}

fn numbers(totals: &DayTotals) -> [i64; 6] {
    [
        totals.calls_total,
        totals.calls_openrouter_free,
        totals.calls_groq,
        totals.calls_gemini,
        totals.calls_unpriced,
        totals.cost.0,
    ]
    .map(within)
}

fn totals(numbers: &[i64]) -> DayTotals {
    let number = |place| numbers.get(place).copied().unwrap_or_default();
    DayTotals {
        calls_total: number(0),
        calls_openrouter_free: number(1),
        calls_groq: number(2),
        calls_gemini: number(3),
        calls_unpriced: number(4),
        cost: NanoUsd(number(5)),
    }
}

/// A lease as a script reads it, its day and what it counts for, and as simops does, JSON.
fn written(lease: &Lease) -> Result<String> {
    let [_, free, groq, gemini, unpriced, cost] = numbers(&lease.totals());
    let json = serde_json::to_string(lease)
        .map_err(|error| Error::internal("a lease cannot be written").with_source(error))?;
    Ok(format!("{}|{free}|{groq}|{gemini}|{unpriced}|{cost}|{json}", lease.day))
}

fn read(text: &str) -> Result<Lease> {
    let json = text.splitn(7, '|').nth(6).unwrap_or_default();
    serde_json::from_str(json)
        .map_err(|error| Error::internal("Redis holds a lease that is none").with_source(error))
}
