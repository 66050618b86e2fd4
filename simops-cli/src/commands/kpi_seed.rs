//! Made-up traffic: visitors who arrive, look around, and sometimes come back.

use indicatif::{ProgressBar, ProgressStyle};
use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};
use serde_json::json;
use simops::kpi::{Kind, KpiEvent, MAX_BATCH};
use simops::store::rules::hash_key;

use super::kpi::SeedArgs;
use crate::exit::Failure;
use crate::print;
use crate::target::Direct;

/// Most visitors a day.
const MAX_VISITORS: u32 = 100_000;

/// Records the traffic of some days.
pub(super) async fn run(direct: &Direct, args: &SeedArgs) -> Result<(), Failure> {
    let writer = direct.writer().await?;
    if !(1..=90).contains(&args.days) {
        return Err(Failure::usage("--days must be between 1 and 90"));
    }
    if !(1..=MAX_VISITORS).contains(&args.visitors) {
        return Err(Failure::usage(format!("--visitors must be between 1 and {MAX_VISITORS}")));
    }
    let now = direct.ops().clock().now();
    let today = TimeZone::UTC.to_datetime(now).date();
    let style = ProgressStyle::with_template("{bar:40} day {pos} of {len} {msg}");
    let bar = ProgressBar::new(args.days.unsigned_abs());
    let bar = if let Ok(style) = style { bar.with_style(style) } else { bar };
    let (mut batch, mut accepted, mut duplicates) = (Vec::new(), 0, 0);
    // Those who came first may come back within the days asked for.
    for back in (0..args.days).rev() {
        let Ok(first_day) = today.checked_sub(back.days()) else { continue };
        for number in 0..arrivals(args, first_day) {
            let chance = Chance::of(&format!("{} {first_day} {number}", args.seed));
            let mut visitor = Visitor { chance, events: &mut batch, now, today, uids: 0 };
            visitor.live(&format!("seed-{}-{first_day}-{number}", args.seed), first_day);
        }
        while batch.len() >= MAX_BATCH || (back == 0 && !batch.is_empty()) {
            let rest = batch.split_off(batch.len().min(MAX_BATCH));
            let recorded = writer.import_kpi(&batch).await?;
            (accepted, duplicates) =
                (accepted + recorded.accepted, duplicates + recorded.duplicates);
            batch = rest;
        }
        bar.inc(1);
        bar.set_message(format!("{} events", accepted + duplicates));
    }
    bar.finish_and_clear();
    print::json(&json!({
        "ok": true, "days": args.days, "accepted": accepted, "duplicates": duplicates,
    }))
}

/// New visitors of a day: fewer at weekends, and never quite as many.
fn arrivals(args: &SeedArgs, day: Date) -> u32 {
    let mut chance = Chance::of(&format!("{} {day}", args.seed));
    let weekend = day.weekday().to_monday_zero_offset() >= 5;
    let share = if weekend { 0.65 } else { 1.0 } * (0.85 + 0.3 * chance.unit());
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded above")]
    let count = (f64::from(args.visitors) * share).round() as u32;
    count.max(1)
}

struct Visitor<'a> {
    chance: Chance,
    events: &'a mut Vec<KpiEvent>,
    now: Timestamp,
    today: Date,
    uids: u32,
}

impl Visitor<'_> {
    /// All visits of one visitor, from the first on.
    fn live(&mut self, visitor: &str, first_day: Date) {
        let by_link = self.chance.happens(0.12);
        self.visit(visitor, first_day, true, by_link);
        // Some are back on the next day, fewer later, a few on the same weekday.
        let fond = self.chance.unit();
        for later in 1..=14_i32 {
            let weekly = if later % 7 == 0 { 0.18 } else { 0.0 };
            let share = (0.42 / f64::from(later) + weekly) * (0.4 + fond);
            let day = first_day.checked_add(i64::from(later).days());
            if let (true, Ok(day)) = (self.chance.happens(share), day)
                && day <= self.today
            {
                self.visit(visitor, day, false, false);
            }
        }
    }

    fn visit(&mut self, visitor: &str, day: Date, is_first: bool, by_link: bool) {
        // Evenings are busier than mornings.
        let hour = 24.0 * self.chance.unit().max(self.chance.unit()).powf(0.8);
        #[expect(clippy::cast_possible_truncation, reason = "a second of a day")]
        let mut second = (hour * 3_500.0) as i64;
        let mut steps = Vec::new();
        if by_link {
            steps.push(Kind::SharedLinkOpen);
        } else {
            steps.push(Kind::LandingView);
        }
        if is_first {
            steps.push(Kind::OnboardingShown);
            match self.chance.unit() {
                share if share < 0.55 => steps.push(Kind::OnboardingCompleted),
                share if share < 0.85 => steps.push(Kind::OnboardingSkipped),
                _ => {}
            }
            if self.chance.happens(0.2) {
                steps.push(Kind::OnboardingGlossaryOpened);
            }
        }
        let clicks = by_link || self.chance.happens(if is_first { 0.3 } else { 0.6 });
        if clicks {
            if !by_link {
                steps.push(Kind::LandingRunClick);
            }
            steps.push(Kind::RunDetailView);
            if self.chance.happens(0.6) {
                steps.push(Kind::ReplayStart);
                if self.chance.happens(0.62) {
                    steps.push(Kind::ReplayComplete);
                }
            }
            if self.chance.happens(0.14) {
                steps.push(Kind::ShareClicked);
                let native = self.chance.happens(0.3);
                steps.push(if native { Kind::ShareNativeSuccess } else { Kind::ShareCopied });
            }
        }
        for kind in steps {
            second += 5 + i64::try_from(self.chance.next() % 90).unwrap_or_default();
            self.tell(visitor, kind, day, second);
        }
    }

    fn tell(&mut self, visitor: &str, kind: Kind, day: Date, second: i64) {
        self.uids += 1;
        let midnight = TimeZone::UTC.to_timestamp(day.to_datetime(Time::midnight()));
        let at = midnight.ok().map(|midnight| midnight + SignedDuration::from_secs(second));
        // What is still to come today has not happened.
        let Some(occurred_at) = at.filter(|at| *at <= self.now) else { return };
        self.events.push(KpiEvent {
            uid: hash_key(&format!("{visitor} {}", self.uids)),
            session_id: Some(format!("{visitor}-{day}")),
            received_at: self.now,
            ..KpiEvent::new(kind, visitor, occurred_at)
        });
    }
}

/// Repeatable chance.
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

    fn unit(&mut self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
        let unit = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        unit
    }

    fn happens(&mut self, share: f64) -> bool {
        self.unit() < share
    }
}
