//! Days kept event by event against the plain recount, rates, intervals, and the alert rules.

use std::collections::{BTreeMap, HashMap};

use crate::alert::evaluate::{drop_ratio, reasons};
use crate::alert::{Evaluation, Reason, Rule, Rules, Severity, Verdict, evaluate, fingerprint};
use crate::kpi::event::hash_key;
use crate::kpi::recount::Recounter;
use crate::kpi::rollup::Rate;
use crate::kpi::summary::{Days, comparison_day, trailing_average};
use crate::kpi::sums::apply_steps;
use crate::kpi::{DaySums, Interval, Kind, Rollup, Steps, Summary, parse};
use jiff::civil::{Date, date};
use jiff::{Timestamp, ToSpan};
use proptest::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;

const FIRST: Date = date(2026, 2, 20);

fn day(offset: i64) -> Date {
    FIRST.checked_add(offset.days()).unwrap()
}

/// Kept as a store keeps it: steps per visitor and day, sums per day.
#[derive(Default)]
struct Kept {
    steps: HashMap<(Uuid, Date), Steps>,
    days: BTreeMap<Date, DaySums>,
}

impl Kept {
    fn see(&mut self, kind: Kind, visitor: Uuid, day: Date, steps: Steps) {
        self.days.entry(day).or_default().count(kind);
        let (known, days) = (&self.steps, &mut self.days);
        let steps_on = |day| {
            Ok::<_, std::convert::Infallible>(
                known.get(&(visitor, day)).copied().unwrap_or_default(),
            )
        };
        let new =
            apply_steps(day, steps, steps_on, |day, change| change(days.entry(day).or_default()));
        self.steps.insert((visitor, day), new.unwrap());
    }
}

fn history() -> impl Strategy<Value = Vec<(usize, u8, i64)>> {
    prop::collection::vec((0..13_usize, 0..6_u8, 0..16_i64), 0..250)
}

proptest! {
    #[test]
    fn days_kept_event_by_event_are_those_of_the_plain_recount(history in history()) {
        let (mut kept, mut plain) = (Kept::default(), Recounter::default());
        for (kind, visitor, offset) in history {
            let (kind, visitor) = (Kind::of_code(kind).unwrap(), hash_key(&visitor.to_string()));
            kept.see(kind, visitor, day(offset), kind.step());
            plain.count(kind, visitor, day(offset));
        }
        prop_assert_eq!(kept.days, plain.days());
    }

    #[test]
    fn the_order_of_events_changes_no_day(history in history(), seed: u64) {
        let mut other = history.clone();
        let mut chance = seed | 1;
        for place in (1..other.len()).rev() {
            chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            other.swap(place, usize::try_from(chance >> 33).unwrap() % (place + 1));
        }
        let fold = |history: Vec<(usize, u8, i64)>| {
            let mut kept = Kept::default();
            for (kind, visitor, offset) in history {
                let kind = Kind::of_code(kind).unwrap();
                kept.see(kind, hash_key(&visitor.to_string()), day(offset), kind.step());
            }
            kept.days
        };
        prop_assert_eq!(fold(history), fold(other));
    }

    #[test]
    fn figures_read_back_as_they_were(figures: [i64; crate::kpi::sums::SUM_FIELDS]) {
        prop_assert_eq!(DaySums::from_array(&figures).to_array(), figures);
    }

    #[test]
    fn an_interval_holds_its_share_and_narrows_with_the_sample(part in 0..500_i64, more in 0..500_i64) {
        let whole = part + more;
        let interval = Interval::of(part, whole);
        prop_assert_eq!(interval.is_none(), whole == 0);
        if let Some(Interval { low, high }) = interval {
            let share = part as f64 / whole as f64;
            prop_assert!(0.0 <= low && low <= share && share <= high && high <= 1.0);
            let wider = high - low;
            let Interval { low, high } = Interval::of(part * 10, whole * 10).unwrap();
            prop_assert!(high - low < wider);
        }
    }
}

#[test]
fn an_interval_is_wilsons() {
    // The textbook's: 10 of 100 lie between 5.52 % and 17.44 %.
    let interval = Interval::of(10, 100).unwrap();
    assert!((interval.low - 0.0552).abs() < 5e-5 && (interval.high - 0.1744).abs() < 5e-5);
    assert_eq!(Interval::of(5, 3).unwrap().high, 1.0);
}

fn landing(views: i64, clicks: i64) -> DaySums {
    let mut sums = DaySums::default();
    let code = |kind: Kind| kind.code();
    sums.visitors[code(Kind::LandingView)] = views;
    sums.visitors[code(Kind::LandingRunClick)] = clicks;
    sums.events[code(Kind::LandingView)] = views;
    sums
}

fn cohort(viewers: i64, returned: i64) -> DaySums {
    let mut sums = DaySums { viewers, returned: [returned, returned], ..DaySums::default() };
    sums.events[Kind::RunDetailView.code()] = viewers;
    sums
}

#[test]
fn a_retention_is_unknown_until_its_follow_up_day_is_over() {
    let sums = cohort(40, 10);
    let rate = |rate: Rate, today| rate.of(day(0), &sums, day(today));
    for (today, d1, d7) in [(1, None, None), (2, Some(0.25), None), (8, Some(0.25), Some(0.25))] {
        assert_eq!(rate(Rate::D1RetentionRate, today), d1, "{today}");
        assert_eq!(rate(Rate::D7RetentionRate, today), d7, "{today}");
    }
    assert_eq!(rate(Rate::D7RetentionRate, 7), None);
    let rollup = Rollup::of(day(0), &sums, day(1));
    assert_eq!((rollup.d1_returning_users, rollup.d1_retention_rate), (10, None));
    assert!(!rollup.partial && Rollup::of(day(0), &sums, day(0)).partial);
    assert_eq!(rollup.intervals.d1_retention_rate, None);
}

#[test]
fn averages_skip_nulls_and_the_day_compared() {
    let days: Days = [
        (0, landing(100, 90)),
        (1, landing(100, 50)),
        (3, landing(0, 0)),
        (7, landing(10, 1)),
        (8, landing(100, 20)),
    ]
    .map(|(offset, sums)| (day(offset), sums))
    .into();
    let of = |offset| trailing_average(Rate::LandingToRunCtr, day(offset), &days, day(8));
    assert_eq!(of(8), Some((0.5 + 0.1) / 2.0));
    assert_eq!(of(7), Some((0.9 + 0.5) / 2.0));
    assert_eq!(of(0), None);
    let summary = Summary::of(&days, day(8));
    assert_eq!(summary.latest_day_key, Some(day(8)));
    assert_eq!(summary.seven_day_avg["landing_to_run_ctr"], of(8));
    assert_eq!(summary.seven_day_avg["share_action_rate"], None);
    // A day without events is not the latest, whatever returns it has.
    assert_eq!(Summary::of(&days, day(12)).latest_day_key, Some(day(8)));
    assert_eq!(Summary::of(&Days::new(), day(0)).latest, None);
}

#[test]
fn retention_looks_at_the_latest_mature_cohort() {
    let days: Days =
        [(0, cohort(30, 9)), (1, cohort(30, 3)), (2, cohort(30, 0)), (3, cohort(9, 0))]
            .map(|(offset, sums)| (day(offset), sums))
            .into();
    assert_eq!(comparison_day(Rate::D1RetentionRate, &days, day(3)), Some(day(1)));
    let verdicts = evaluate(&Rules::default(), &days, day(3));
    let evaluation = Evaluation::of(&verdicts);
    assert_eq!((evaluation.counts.critical, evaluation.counts.warning), (1, 0));
    let item = &evaluation.items[0];
    assert_eq!(
        (item.metric, item.day_key, item.label.as_str()),
        (Rate::D1RetentionRate, day(1), "D1")
    );
    assert_eq!(item.reasons, [Reason::BelowCriticalFloor, Reason::DropVs7dCritical]);
    assert_eq!((item.sample_field.as_str(), item.sample_size), ("d1_cohort_size", 30));
    assert!(
        item.message.contains("10.0%") && item.message.contains("95% interval"),
        "{}",
        item.message
    );
    // The day after, the next cohort is compared.
    assert_eq!(comparison_day(Rate::D1RetentionRate, &days, day(4)), Some(day(2)));
}

fn ctr() -> Rule {
    Rules::default().iter().next().unwrap().clone()
}

#[test]
fn boundaries_are_exact() {
    let rule = ctr();
    let at = |value, average| reasons(&rule, value, drop_ratio(value, average));
    assert_eq!(at(12.0 / 100.0, 0.12), [], "a floor is not below itself");
    assert_eq!(at(0.1199, 0.12), [Reason::BelowWarningFloor]);
    assert_eq!(at(8.0 / 100.0, 0.08), [Reason::BelowWarningFloor]);
    assert_eq!(at(0.0799, 0.08), [Reason::BelowCriticalFloor]);
    // 0.5 to 0.4 and 0.2 to 0.13, whose quotients are not exact in binary.
    assert_eq!(at(0.4, 0.5), [Reason::DropVs7dWarning]);
    assert_eq!(at(0.401, 0.5), []);
    assert_eq!(at(0.13, 0.2), [Reason::DropVs7dCritical]);
    assert_eq!(at(0.3, 0.0), [], "nothing drops from nothing");
    let days = |sample| Days::from([(day(0), landing(sample, 0))]);
    for (sample, alerts) in [(39, 0), (40, 1)] {
        let evaluation = Evaluation::of(&evaluate(&Rules::default(), &days(sample), day(0)));
        assert_eq!(evaluation.counts.critical, alerts);
    }
}

fn severity(rule: &Rule, value: f64, average: Option<f64>) -> Option<Severity> {
    let drop = average.and_then(|average| drop_ratio(value, average));
    reasons(rule, value, drop).iter().map(|reason| reason.severity()).max()
}

fn days_of(shares: &[(i64, i64)]) -> Days {
    (0..)
        .zip(shares)
        .map(|(offset, (views, clicks))| (day(offset), landing(*views, (*clicks).min(*views))))
        .collect()
}

proptest! {
    #[test]
    fn a_lower_value_is_never_less_severe(low in 0.0..1.0_f64, high in 0.0..1.0_f64, average in prop::option::of(0.0..1.0_f64)) {
        let (low, high) = (low.min(high), low.max(high));
        for rule in Rules::default().iter() {
            prop_assert!(severity(rule, low, average) >= severity(rule, high, average));
            prop_assert!(severity(rule, low, average) >= severity(rule, low, None), "a mean only adds reasons");
        }
    }

    #[test]
    fn an_item_has_the_severity_of_its_worst_reason_and_a_sample_that_suffices(
        shares in prop::collection::vec((0..200_i64, 0..60_i64), 1..12),
    ) {
        let days = days_of(&shares);
        let today = day(i64::try_from(shares.len()).unwrap() - 1);
        let verdicts = evaluate(&Rules::default(), &days, today);
        let evaluation = Evaluation::of(&verdicts);
        for item in &evaluation.items {
            prop_assert_eq!(Some(item.severity), item.reasons.iter().map(|r| r.severity()).max());
            prop_assert!(item.sample_size >= item.minimum_sample_size);
            prop_assert!(item.latest_value.is_finite());
        }
        let worst = evaluation.items.iter().map(|item| item.severity).max();
        prop_assert_eq!(evaluation.counts.critical > 0, worst == Some(Severity::Critical));
        let (metric, verdict) = &verdicts[0];
        prop_assert_eq!(*metric, Rate::LandingToRunCtr);
        let gate = comparison_day(*metric, &days, today).is_none_or(|day| days[&day].visitors(Kind::LandingView) < 40);
        prop_assert_eq!(*verdict == Verdict::Unknown, gate);
    }

    #[test]
    fn a_permutation_or_drifting_values_keep_the_fingerprint(
        shares in prop::collection::vec((41..200_i64, 0..30_i64), 2..12),
        drift in 0.0..0.01_f64,
    ) {
        let today = day(i64::try_from(shares.len()).unwrap() - 1);
        let mut items = Evaluation::of(&evaluate(&Rules::default(), &days_of(&shares), today)).items;
        let mut other = items.clone();
        if let Some(item) = items.first().cloned() {
            let mut second = item;
            second.metric = Rate::D7RetentionRate;
            items.push(second.clone());
            other.insert(0, second);
        }
        for item in &mut other {
            item.latest_value += drift;
            item.sample_size += 5;
            item.reasons.reverse();
        }
        prop_assert_eq!(fingerprint(&items), fingerprint(&other));
        if let Some(last) = other.last_mut() {
            last.day_key = last.day_key.checked_add(1.day()).unwrap();
            prop_assert_ne!(fingerprint(&items), fingerprint(&other));
        }
        other.pop();
        if !items.is_empty() {
            prop_assert_ne!(fingerprint(&items), fingerprint(&other));
        }
    }
}

#[test]
fn rules_come_from_a_file_that_is_checked() {
    let good = "[[rule]]\nmetric = \"share_action_rate\"\nlabel = \"Sharing\"\nwarning_floor = 0.1\n\
                minimum_sample = 10\n";
    let rules = Rules::from_toml(good).unwrap();
    assert_eq!(rules.iter().count(), 1);
    let text = |result: crate::Result<Rules>| result.unwrap_err().detail().to_owned();
    for (bad, says) in [
        ("rule = 7", "line 1"),
        ("[[rule]]\nmetric = \"x\"", "line 2"),
        (&good.replace("0.1", "1.1"), "share_action_rate.warning_floor"),
        (&good.replace("0.1", "nan"), "share_action_rate.warning_floor"),
        (&good.replace("= 10", "= 0"), "share_action_rate.minimum_sample"),
        (&good.replace("warning_floor = 0.1\n", ""), "needs a floor"),
        (&good.replace("warning_floor", "floor"), "floor"),
        (&format!("{good}critical_floor = 0.2\n"), "share_action_rate.critical_floor"),
        (&format!("{good}warning_drop = 0.3\ncritical_drop = 0.2\n"), "critical_drop"),
        (&format!("{good}{good}"), "more than one rule"),
        (&good.replace("Sharing", ""), "label"),
    ] {
        let message = text(Rules::from_toml(bad));
        assert!(message.contains(says), "{bad}: {message}");
    }
}

#[test]
fn names_are_taken_in_any_case_and_trimmed() {
    for kind in Kind::ALL {
        let name = format!(" {}\t", kind.as_str().to_uppercase());
        assert_eq!(Kind::parse_lenient(&name), Some(kind));
        assert_eq!(Kind::of_code(kind.code()), Some(kind));
    }
    assert_eq!(Kind::parse_lenient("landing"), None);
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "(?s).{0,12}".prop_map(Value::from),
        (0..3_000_usize).prop_map(|length| Value::from("\u{1b}é".repeat(length))),
    ];
    leaf.prop_recursive(3, 32, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::hash_map("(?s).{0,6}", inner, 0..6).prop_map(Value::from_iter),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn whatever_free_text_holds_the_event_counts(
        texts in prop::collection::vec("(?s).{0,600}", 5),
        metadata in prop::collection::vec(("(?s).{1,600}", any_json()), 0..30),
    ) {
        let mut event = json!({ "event_name": "landing_view", "visitor_id": "visitor-1" });
        let fields = ["session_id", "surface", "target", "path", "referrer"];
        for (field, text) in fields.iter().zip(&texts) {
            event[field] = json!(text);
        }
        event["metadata"] = Value::from_iter(metadata);
        let [parsed] = &parse(event.to_string().as_bytes(), Timestamp::UNIX_EPOCH).unwrap()[..]
        else {
            panic!("not one event");
        };
        let kept = [
            (&parsed.session_id, 128),
            (&parsed.surface, 128),
            (&parsed.target, 512),
            (&parsed.path, 2_048),
            (&parsed.referrer, 2_048),
        ];
        for ((kept, max), sent) in kept.into_iter().zip(&texts) {
            if sent.trim().is_empty() {
                prop_assert_eq!(kept, &None);
                continue;
            }
            let expected = sent.chars().take(max);
            let expected = expected.map(|c| if c.is_control() { '\u{fffd}' } else { c });
            prop_assert_eq!(kept.as_ref().unwrap(), &expected.collect::<String>());
        }
        if let Some(metadata) = &parsed.metadata {
            let text = serde_json::to_string(metadata).unwrap();
            prop_assert!(metadata.len() <= 20 && text.len() <= 4_096);
            prop_assert!(!text.chars().any(char::is_control) && !text.contains("\\u00"));
        }
    }

    #[test]
    fn a_body_that_is_not_json_is_refused_without_a_panic(body: Vec<u8>, text in "(?s).{0,60}") {
        let _ = parse(&body, Timestamp::UNIX_EPOCH);
        let half = format!("{{\"event_name\":\"\\ud83d{text}\\u");
        let _ = parse(half.as_bytes(), Timestamp::UNIX_EPOCH);
    }
}

#[test]
fn the_first_twenty_keys_of_metadata_are_kept_in_the_order_in_which_they_were_sent() {
    let keys: Vec<_> = (0..30).rev().map(|number| format!("\"k{number:02}\":{number}")).collect();
    let metadata = keys.join(",");
    let body = format!(
        r#"{{"event_name":"landing_view","visitor_id":"visitor-1","metadata":{{{metadata},"k29":7}}}}"#
    );
    let events = parse(body.as_bytes(), Timestamp::UNIX_EPOCH).unwrap();
    let kept = events[0].metadata.as_ref().unwrap();
    let kept: Vec<_> = kept.keys().map(String::as_str).collect();
    let expected: Vec<_> = (10..30).map(|number| format!("k{number:02}")).collect();
    assert_eq!(kept, expected);
}
