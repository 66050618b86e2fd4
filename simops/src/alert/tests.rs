//! An alert's life, what is items_to_notify, and when a message is tried again: pure, over any history.

use crate::alert::lifecycle::transitions;
use crate::alert::notify::{
    History, MAX_PER_HOUR, cooldown_elapsed, critical, items_to_notify, resolved,
};
use crate::alert::{
    Alert, AlertItem, AlertState, Delivery, DeliveryState, Evaluation, Outcome, Reason, Severity,
    Verdict,
};
use crate::kpi::rollup::Rate;
use jiff::civil::date;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use uuid::Uuid;

fn at(minutes: i64) -> Timestamp {
    Timestamp::from_second(1_767_225_600 + 60 * minutes).unwrap()
}

fn item(severity: Severity, day: i8) -> AlertItem {
    let reason = match severity {
        Severity::Warning => Reason::BelowWarningFloor,
        Severity::Critical => Reason::BelowCriticalFloor,
    };
    AlertItem {
        metric: Rate::LandingToRunCtr,
        label: "CTR".to_owned(),
        severity,
        message: "low".to_owned(),
        day_key: date(2026, 1, day),
        partial: false,
        latest_value: 0.05,
        interval: None,
        seven_day_avg_value: None,
        drop_ratio: None,
        sample_field: "landing_view_visitors".to_owned(),
        sample_size: 50,
        minimum_sample_size: 40,
        reasons: vec![reason],
    }
}

/// What happens in a minute.
#[derive(Debug, Clone)]
enum Step {
    Found(Option<Severity>, i8),
    Unknown,
    Acknowledge,
    Silence(i64),
}

fn step() -> impl Strategy<Value = Step> {
    let severity = prop_oneof![Just(Severity::Warning), Just(Severity::Critical)];
    prop_oneof![
        4 => (prop::option::of(severity), 1_i8..4).prop_map(|(s, day)| Step::Found(s, day)),
        1 => Just(Step::Unknown),
        1 => Just(Step::Acknowledge),
        1 => (0_i64..30).prop_map(Step::Silence),
    ]
}

proptest! {
    /// In every history a rate has one open alert, a resolved alert stays resolved, missing data
    /// changes nothing, a worse severity notifies again, and an identical payload is sent at most once
    /// per cooldown, while a changed one is always sent.
    #[test]
    fn an_alert_lives_by_its_rules(steps in prop::collection::vec(step(), 1..120)) {
        let cooldown = SignedDuration::from_mins(10);
        let mut newest: Vec<Alert> = Vec::new();
        let mut ended: Vec<Uuid> = Vec::new();
        let mut sent: Vec<(String, Timestamp)> = Vec::new();
        for (minute, step) in (0..).zip(steps) {
            let now = at(minute);
            let before = newest.first().cloned();
            match step {
                Step::Unknown => {
                    prop_assert!(transitions(&newest, &[(Rate::LandingToRunCtr, Verdict::Unknown)], now).is_empty());
                }
                Step::Acknowledge => {
                    if let Some(alert) = newest.first_mut() {
                        match alert.acknowledged("ada", now) {
                            Ok(known) => *alert = known,
                            Err(_) => prop_assert!(!alert.is_open()),
                        }
                    }
                }
                Step::Silence(minutes) => {
                    if let Some(alert) = newest.first_mut()
                        && let Ok(silent) = alert.silenced("ada", Some(at(minute + minutes)), now)
                    {
                        *alert = silent;
                    }
                }
                Step::Found(severity, day) => {
                    let verdict = severity.map_or(Verdict::Healthy, |severity| {
                        Verdict::Alert(Box::new(item(severity, day)))
                    });
                    let verdicts = [(Rate::LandingToRunCtr, verdict)];
                    let moved = transitions(&newest, &verdicts, now);
                    prop_assert!(moved.len() <= 1);
                    for moved in moved {
                        prop_assert!(!ended.contains(&moved.after.id), "an end is final");
                        if !moved.after.is_open() {
                            ended.push(moved.after.id);
                        }
                        newest = vec![moved.after];
                    }
                    let open = newest.first().is_some_and(Alert::is_open);
                    prop_assert_eq!(open, severity.is_some());
                    if let (Some(before), Some(after)) = (&before, newest.first())
                        && before.is_open() && after.is_open() && after.severity > before.severity
                    {
                        prop_assert_eq!(after.state, AlertState::Firing);
                    }
                    let evaluation = Evaluation::of(&verdicts);
                    let items = items_to_notify(&evaluation, &newest, now);
                    let quiet = newest.first().is_some_and(|alert| {
                        alert.is_silenced(now) || alert.state == AlertState::Acknowledged
                    });
                    let critical = severity == Some(Severity::Critical);
                    prop_assert_eq!(!items.is_empty(), critical && !quiet);
                    if !items.is_empty() {
                        let fingerprint = crate::alert::fingerprint(&items);
                        let last = sent.iter().rev().find(|(known, _)| *known == fingerprint);
                        let may = cooldown_elapsed(last.map(|(_, at)| *at), now, cooldown);
                        prop_assert!(last.is_some() || may, "a changed payload always passes");
                        if may {
                            sent.push((fingerprint, now));
                        }
                    }
                }
            }
        }
        for (place, (fingerprint, at)) in sent.iter().enumerate() {
            let again = sent[place + 1..].iter().find(|(other, _)| other == fingerprint);
            prop_assert!(again.is_none_or(|(_, again)| again.duration_since(*at) >= cooldown));
        }
    }

    /// Tries end after ten, later ones follow later, a receiver's wish is kept within a day.
    #[test]
    fn tries_follow_the_schedule_and_end(chance in 0.0..1.0_f64, asked in prop::option::of(0_i64..200_000)) {
        let mut delivery = Delivery::new(Uuid::now_v7(), "webhook", "t", false, at(0));
        let mut last = SignedDuration::ZERO;
        let outcome = Outcome::Refused { status: 503, retry_after: asked.map(SignedDuration::from_secs) };
        let mut now = at(0);
        for number in 1..=10_u32 {
            let (after, attempt) = delivery.after(now, now, &outcome, chance);
            prop_assert_eq!((attempt.number, after.attempts), (number, number));
            match after.next_attempt_at {
                Some(next) => {
                    let pause = next.duration_since(now);
                    prop_assert!(number < 10 && pause <= SignedDuration::from_hours(24));
                    prop_assert!(asked.is_none_or(|asked| pause >= SignedDuration::from_secs(asked.min(86_400))));
                    prop_assert!(asked.is_some() || pause >= last);
                    (last, now) = (pause, next);
                    prop_assert_eq!(after.state, DeliveryState::Pending);
                }
                None => prop_assert_eq!((number, after.state), (10, DeliveryState::Failed)),
            }
            delivery = after;
        }
        let replayed = delivery.replayed(now);
        prop_assert_eq!((replayed.state, replayed.round), (DeliveryState::Pending, 0));
        prop_assert_eq!(replayed.after(now, now, &outcome, chance).0.state, DeliveryState::Pending);
    }
}

/// An alert that fired and was resolved a minute later.
fn ended(fired: i64) -> Alert {
    Alert {
        id: Uuid::now_v7(),
        metric: Rate::LandingToRunCtr,
        state: AlertState::Resolved,
        severity: Severity::Critical,
        item: item(Severity::Critical, 1),
        fired_at: at(fired),
        changed_at: at(fired + 1),
        acknowledged_by: None,
        acknowledged_at: None,
        silenced_until: None,
        silenced_by: None,
        resolved_at: Some(at(fired + 1)),
    }
}

#[test]
fn a_storm_sends_six_messages_an_hour_and_the_next_one_summarises_the_rest() {
    let (mut history, mut sent) = (History::default(), Vec::new());
    for minute in 0..180 {
        let now = at(minute);
        if history.allows_message(now) {
            let message = critical(&[item(Severity::Critical, 1)], &history, "development", now);
            history.recent.insert(0, message.clone());
            history.recent.truncate(MAX_PER_HOUR);
            sent.push(message);
        }
        history.alerts.insert(0, ended(minute));
    }
    let minutes: Vec<_> =
        sent.iter().map(|message| message.created_at.duration_since(at(0)).as_mins()).collect();
    let expected: Vec<_> = (0..3).flat_map(|hour| (0..6).map(move |n| 60 * hour + n)).collect();
    assert_eq!(minutes, expected);
    let summary = "since the last message, 54 more fired and were resolved";
    assert!(sent[6].text.ends_with(summary), "{}", sent[6].text);
    assert_eq!(sent[6].data["unreported"].as_array().unwrap().len(), 54);
    assert!(!sent[7].text.contains("since the last"), "{}", sent[7].text);
}

#[test]
fn the_end_of_critical_alerts_is_sent_once_also_when_it_was_held_back() {
    let mut history = History::default();
    let none = Evaluation::of(&[]);
    let alerts = [ended(1)];
    let end = |history: &History| resolved(&alerts, history, &none, "development", at(90));
    assert_eq!(end(&history), None, "nothing was sent");
    let sent = critical(&[item(Severity::Critical, 1)], &history, "development", at(1));
    history.recent.insert(0, sent);
    let message = end(&history).unwrap();
    assert_eq!(message.data["alert_ids"], serde_json::json!([alerts[0].id]));
    history.recent.insert(0, message);
    assert_eq!(end(&history), None);
}
