//! The evidence check, the schedule, escaping and names of digests.

use crate::ErrorKind;
use crate::digest::markdown::{Link, escaped};
use crate::digest::record::free_slug;
use crate::digest::{EvidenceCheck, EvidenceCounts, Period, Requirements, Schedule};
use jiff::civil::{Date, Weekday, date};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[test]
fn the_gate_opens_at_exactly_what_is_required() {
    let judge = |total_events, llm_calls| {
        EvidenceCheck::evaluate(Requirements::default(), EvidenceCounts { total_events, llm_calls })
            .passed
    };
    assert_eq!((judge(25, 5), judge(24, 5), judge(25, 4)), (true, false, false));
}

#[test]
fn a_period_ends_with_its_anchor_date_and_holds_whole_days() {
    let period = Period::until(date(2026, 3, 1), 7).unwrap();
    assert_eq!(period.first_day, date(2026, 2, 23));
    let window = period.window().unwrap();
    assert!(window.contains(time("2026-02-23T00:00:00Z")));
    assert!(!window.contains(time("2026-02-22T23:59:59.999999Z")));
    assert!(window.contains(time("2026-03-01T23:59:59.999999Z")));
    assert!(!window.contains(time("2026-03-02T00:00:00Z")));
    for (anchor, days) in [(Date::MIN, 7), (Date::MAX, 7)] {
        let period = Period::until(anchor, days).and_then(|period| period.window());
        assert!(period.is_err_and(|error| error.kind() == ErrorKind::Invalid));
    }
}

#[test]
fn a_missed_digest_is_due_within_the_grace_and_not_after_it() {
    // 2 March 2026 is a Monday.
    let due = |now: &str| Schedule::default().due(time(now));
    assert_eq!(due("2026-03-02T14:59:59Z"), None);
    assert_eq!(due("2026-03-02T15:00:00Z"), Some(date(2026, 3, 2)));
    assert_eq!(due("2026-03-04T15:00:00Z"), Some(date(2026, 3, 2)));
    assert_eq!(due("2026-03-04T15:00:01Z"), None);
    assert_eq!(
        Schedule { enabled: false, ..Schedule::default() }.due(time("2026-03-02T15:00:00Z")),
        None
    );
}

proptest! {
    #[test]
    fn a_slot_is_the_last_of_its_weekday_and_time(
        weekday in 0..7_i8, hour in 0..24_i8, minute in 0..60_i8, seconds in 0..100_000_000_i64,
    ) {
        let now = time("2026-01-01T00:00:00Z") + SignedDuration::from_secs(seconds);
        let schedule = Schedule { enabled: true, weekday, hour, minute, grace_hours: 168 };
        let anchor = schedule.due(now).unwrap();
        prop_assert_eq!(anchor.weekday(), Weekday::from_monday_zero_offset(weekday).unwrap());
        let slot = anchor.at(hour, minute, 0, 0).to_zoned_datetime(TimeZone::UTC).unwrap().timestamp();
        let late = now.duration_since(slot);
        prop_assert!(SignedDuration::ZERO <= late && late < SignedDuration::from_hours(168));
        prop_assert_eq!(schedule.next_after(now), Some(SignedDuration::from_hours(168) - late));
    }

    #[test]
    fn what_agents_write_stays_one_line_of_plain_text(text in r"(\PC|[\x00-\x20]|[*_`\[\]()<>#|~$@&\\.:/!w\u{202e}]){0,60}") {
        let line = escaped(&text);
        prop_assert!(!line.chars().any(|c| c.is_control() || c == '\u{202e}'), "{line:?}");
        // Read as Markdown reads it: pairs of backslash and character are that character.
        let plain = ["&#64;", "&#58;", "&#46;", "&#91;", "&#93;"].iter().fold(line.clone(), |l, e| l.replace(e, ""));
        let mut rest = plain.chars();
        while let Some(c) = rest.next() {
            if c == '\\' {
                prop_assert!(rest.next().is_some_and(|c| c.is_ascii_punctuation()));
                continue;
            }
            prop_assert!(!"`*_[]#|~$<>@".contains(c), "{line:?}");
        }
        prop_assert!(!line.contains("://"), "{line:?}");
        prop_assert!(!line.to_ascii_lowercase().contains("www."), "{line:?}");
    }
}

#[test]
fn attempts_to_break_out_come_to_nothing() {
    for (text, expected) in [
        ("a\n## Heading\n- Claim: false", "a \\#\\# Heading - Claim: false"),
        ("[click](http://evil.example)", "&#91;click&#93;(http&#58;//evil.example)"),
        ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        ("![x](data:text/html,y)", "!&#91;x&#93;(data:text/html,y)"),
        ("www.evil.example or eve@evil.example", "www&#46;evil.example or eve&#64;evil.example"),
        (
            "`code` **bold** ~~gone~~ | cell",
            "\\`code\\` \\*\\*bold\\*\\* \\~\\~gone\\~\\~ \\| cell",
        ),
        ("\u{202e}txt\u{0}", "txt"),
        ("&lt;b&gt;", "&amp;lt;b&amp;gt;"),
    ] {
        assert_eq!(escaped(text), expected);
    }
    assert_eq!(escaped(&"x".repeat(500)).chars().count(), 201);
}

#[test]
fn a_value_in_a_link_cannot_end_it() {
    let link = Link::to("x", "/api").with("type", "a) [b](c&d=e#\u{fc}");
    assert_eq!(link.path, "/api?type=a%29%20%5Bb%5D%28c%26d%3De%23%C3%BC");
}

#[test]
fn names_are_numbered_from_the_second_of_a_date() {
    let base = "weekly-brief-2026-02-26".to_owned();
    assert_eq!(free_slug(base.clone(), &[]), base);
}
