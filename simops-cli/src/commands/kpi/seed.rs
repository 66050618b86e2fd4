//! Synthetic traffic: visitors who arrive, look around, and sometimes come back.
//!
//! The figures are healthy on every day and at every hour, so that no alert fires on them: shares are
//! met by error diffusion along the visits of a day instead of by chance, and the newest days are
//! recorded first, so that returns are there before those who return.

use std::collections::BTreeMap;

use clap::Args;
use jiff::civil::{Date, Time, date};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};
use serde_json::json;
use simops::control::Write;
use simops::kpi::{Kind, KpiEvent, MAX_BATCH};
use simops::ops::SEED_PREFIX;
use simops::store::rules::hash_key;

use crate::exit::Failure;
use crate::globals::Globals;
use crate::print::{self, Output};
use crate::progress::{Bar, while_at};
use crate::target::Direct;

const MAX_VISITORS: u32 = 100_000;
/// The simulation begins here, so that a day has the same traffic whenever it is seeded.
const BEGIN: Date = date(2024, 1, 1);
/// No visit is longer. One that may not be over yet has not begun.
const MAX_VISIT: SignedDuration = SignedDuration::from_mins(15);
const DAY_SECONDS: f64 = 86_400.0 - 900.0;

/// New visitors who arrive by a shared link.
const BY_LINK: f64 = 0.12;
/// Visitors of the landing page who open a run.
const CLICK: f64 = 0.42;
/// Viewers who come back on the next day, and a week later.
const RETURN: [(i64, f64); 2] = [(1, 0.30), (7, 0.20)];
/// Viewers who start a replay, who complete it, and who share.
const START: f64 = 0.62;
const COMPLETE: f64 = 0.64;
const SHARE: f64 = 0.15;

#[derive(Args)]
pub(crate) struct SeedArgs {
    /// The number of days up to today, 1 to 90
    #[arg(long, value_name = "N", default_value_t = 30)]
    days: i64,
    /// The number of new visitors on a working day, about
    #[arg(long, value_name = "N", default_value_t = 120)]
    visitors: u32,
    /// The seed of the random numbers
    #[arg(long, value_name = "N", default_value_t = 42)]
    seed: u64,
    /// Delete all seeded traffic, of any seed
    #[arg(long, conflicts_with_all = ["days", "visitors", "seed"])]
    remove: bool,
}

/// Records the traffic of some days, or deletes it.
pub(super) async fn run(
    globals: &Globals,
    direct: &Direct,
    args: &SeedArgs,
) -> Result<(), Failure> {
    let writer = direct.writer().await?;
    if args.remove {
        let deleted = while_at("deleting seeded events", writer.delete_seeded_visits()).await?;
        return print::show(&Output::record(deleted), globals.output);
    }
    if !(1..=90).contains(&args.days) {
        return Err(Failure::usage("--days must be between 1 and 90"));
    }
    if !(1..=MAX_VISITORS).contains(&args.visitors) {
        return Err(Failure::usage(format!("--visitors must be between 1 and {MAX_VISITORS}")));
    }
    // Early in a day there may be nothing to record.
    writer.permit(Write::ImportKpi)?;
    let now = direct.ops.clock().now();
    let import = writer.begin_kpi_import(&format!("seed of {} days", args.days)).await?;
    let bar = Bar::new("days");
    let (mut batch, mut accepted, mut duplicates) = (Vec::new(), 0, 0);
    let mut days = plan(args, now).into_iter().rev().peekable();
    while let Some((day, visits)) = days.next() {
        for visit in &visits {
            visit.record(args, day, now, &mut batch);
        }
        while batch.len() >= MAX_BATCH || (days.peek().is_none() && !batch.is_empty()) {
            let rest = batch.split_off(batch.len().min(MAX_BATCH));
            let recorded = import.record(&batch).await?;
            accepted += recorded.accepted;
            duplicates += recorded.duplicates;
            batch = rest;
        }
        let all = args.days.unsigned_abs();
        bar.show(all - days.len() as u64, all);
    }
    bar.clear();
    let seeded =
        json!({ "ok": true, "days": args.days, "accepted": accepted, "duplicates": duplicates });
    print::show(&Output::record(seeded), globals.output)
}

/// A visitor: the day of the first visit, and a number on that day.
#[derive(Clone, Copy)]
struct Visitor {
    first_day: Date,
    number: u32,
}

/// What a visitor does on a day.
#[derive(Clone, Copy)]
struct Visit {
    visitor: Visitor,
    /// The second of the day at which it begins.
    begin: i64,
    by_link: bool,
    clicks: bool,
    starts: bool,
    completes: bool,
    shares: bool,
}

/// Picks a share of a sequence, evenly along it.
#[derive(Default)]
struct Diffusion(f64);

impl Diffusion {
    fn pick(&mut self, share: f64, may: bool) -> bool {
        self.0 += share;
        let picked = may && self.0 >= 0.5;
        self.0 -= f64::from(u8::from(picked));
        picked
    }
}

/// The visits of the days asked for, in the order in which they begin.
fn plan(args: &SeedArgs, now: Timestamp) -> BTreeMap<Date, Vec<Visit>> {
    let today = TimeZone::UTC.to_datetime(now).date();
    let first = today.checked_sub((args.days - 1).days()).unwrap_or(today);
    let mut returning: BTreeMap<Date, Vec<Visitor>> = BTreeMap::new();
    let mut planned = BTreeMap::new();
    let mut day = BEGIN.min(first);
    while day <= today {
        let visits = visits(args, day, &mut returning);
        if day >= first {
            planned.insert(day, visits);
        }
        let Ok(next) = day.tomorrow() else { break };
        day = next;
    }
    planned
}

/// The visits of a day; those who will come back are added to `returning`.
fn visits(args: &SeedArgs, day: Date, returning: &mut BTreeMap<Date, Vec<Visitor>>) -> Vec<Visit> {
    let mut chance = Chance::of(&format!("{} {day}", args.seed));
    let mut back = returning.remove(&day).unwrap_or_default().into_iter();
    let weekend = day.weekday().to_monday_zero_offset() >= 5;
    let new = f64::from(args.visitors) * if weekend { 0.8 } else { 1.0 } * chance.about();
    let new = new.round().max(1.0);
    let (click, complete) = (CLICK * chance.about(), COMPLETE * chance.about());
    let links = new * BY_LINK;
    let back_count = f64::from(u32::try_from(back.len()).unwrap_or(u32::MAX));
    let landings = new - links + back_count;
    let back_share = back_count / (landings * click);
    let all = (landings + links).round();
    let [mut link, mut clicker, mut old, mut start, mut end, mut share] =
        std::array::from_fn(|_| Diffusion::default());
    let mut returns: [Diffusion; RETURN.len()] = Default::default();
    let (mut visits, mut number) = (Vec::new(), 0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small count")]
    for place in 0..all as u32 {
        let by_link = link.pick(links / all, true);
        let clicks = !by_link && clicker.pick(click, true);
        let known = (clicks && old.pick(back_share, true)).then(|| back.next()).flatten();
        let is_new = known.is_none();
        let visitor = known.unwrap_or_else(|| {
            number += 1;
            Visitor { first_day: day, number }
        });
        let views = by_link || clicks;
        if views {
            for ((later, rate), diffusion) in RETURN.into_iter().zip(&mut returns) {
                let Ok(on) = day.checked_add(later.days()) else { continue };
                if diffusion.pick(rate, is_new) {
                    returning.entry(on).or_default().push(visitor);
                }
            }
        }
        let starts = views && start.pick(START, true);
        // Evenings are busier than mornings.
        let begin = DAY_SECONDS * ((f64::from(place) + 0.5) / all).powf(0.8);
        visits.push(Visit {
            visitor,
            begin: begin as i64,
            by_link,
            clicks,
            starts,
            completes: starts && end.pick(complete, true),
            shares: views && share.pick(SHARE, true),
        });
    }
    visits
}

impl Visit {
    /// Adds the events of the visit, if it is over by `now`.
    fn record(&self, args: &SeedArgs, day: Date, now: Timestamp, events: &mut Vec<KpiEvent>) {
        let Visitor { first_day, number } = self.visitor;
        let visitor = format!("{SEED_PREFIX}{}-{}-{first_day}-{number}", args.seed, args.visitors);
        let midnight = TimeZone::UTC.to_timestamp(day.to_datetime(Time::midnight()));
        let Ok(begin) = midnight.map(|midnight| midnight + SignedDuration::from_secs(self.begin))
        else {
            return;
        };
        if begin + MAX_VISIT > now {
            return;
        }
        let mut chance = Chance::of(&format!("{visitor} {day}"));
        let mut at = begin;
        for (step, kind) in (0..).zip(self.steps(first_day == day, &mut chance)) {
            let pause = 5 + i64::try_from(chance.next() % 60).unwrap_or_default();
            at += SignedDuration::from_secs(pause);
            events.push(KpiEvent {
                uid: hash_key(&format!("{visitor} {day} {step}")),
                session_id: Some(format!("{visitor}-{day}")),
                metadata: json!({ "seeded": true }).as_object().cloned(),
                received_at: now,
                ..KpiEvent::new(kind, visitor.as_str(), at)
            });
        }
    }

    fn steps(&self, is_first: bool, chance: &mut Chance) -> Vec<Kind> {
        let mut steps = vec![if self.by_link { Kind::SharedLinkOpen } else { Kind::LandingView }];
        if is_first {
            steps.push(Kind::OnboardingShown);
            match chance.unit() {
                share if share < 0.55 => steps.push(Kind::OnboardingCompleted),
                share if share < 0.85 => steps.push(Kind::OnboardingSkipped),
                _ => {}
            }
            if chance.unit() < 0.2 {
                steps.push(Kind::OnboardingGlossaryOpened);
            }
        }
        let copied = if chance.unit() < 0.3 { Kind::ShareNativeSuccess } else { Kind::ShareCopied };
        let rest = [
            (self.clicks, Kind::LandingRunClick),
            (self.clicks || self.by_link, Kind::RunDetailView),
            (self.starts, Kind::ReplayStart),
            (self.completes, Kind::ReplayComplete),
            (self.shares, Kind::ShareClicked),
            (self.shares, copied),
        ];
        steps.extend(rest.into_iter().filter(|(does, _)| *does).map(|(_, kind)| kind));
        steps
    }
}

struct Chance(u64);

impl Chance {
    fn of(text: &str) -> Self {
        Self(hash_key(text).as_u64_pair().0)
    }

    fn next(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to 1.
    fn unit(&mut self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
        let unit = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        unit
    }

    /// 1, give or take 4 %.
    fn about(&mut self) -> f64 {
        0.96 + 0.08 * self.unit()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
