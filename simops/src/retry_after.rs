//! The `Retry-After` header of HTTP responses.

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822;

/// The longest wait that is accepted; longer ones count as this.
const MAX_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// The wait that a `Retry-After` value asks for, at most a day: seconds (a fraction, as Groq sends,
/// is rounded up to the millisecond) or an HTTP date. `None` for any other text.
pub(crate) fn parse_retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        let seconds: f64 = text.parse().ok()?;
        let seconds = seconds.min(MAX_WAIT.as_secs_f64());
        return Duration::try_from_secs_f64((seconds * 1e3).ceil() / 1e3).ok();
    }
    let at = rfc2822::parse(text).ok()?.timestamp();
    let wait = Duration::try_from(at.duration_since(now)).unwrap_or_default();
    Some(wait.min(MAX_WAIT))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now: Timestamp = "2026-11-24T08:49:30Z".parse().unwrap();
        let parse = |text| parse_retry_after(text, now).map(|wait| wait.as_millis());
        assert_eq!(parse("120"), Some(120_000));
        assert_eq!(parse(" 7.0641 "), Some(7_065));
        assert_eq!(parse("Tue, 24 Nov 2026 08:49:37 GMT"), Some(7_000));
        assert_eq!(parse("Tue, 24 Nov 2026 08:00:00 GMT"), Some(0));
        assert_eq!(parse("99999999999999999999999"), Some(86_400_000));
        assert_eq!(parse("Thu, 31 Dec 2099 23:59:59 GMT"), Some(86_400_000));
        for wrong in ["", "-1", "soon", "1.2.3", "."] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn retry_after_takes_any_text(text in ".*") {
            let _ = parse_retry_after(&text, Timestamp::UNIX_EPOCH);
        }
    }
}
