//! Counts and shares as floating-point numbers.

use uuid::Uuid;

/// A count as a number. Counts are far below 2^52, up to which this is exact.
#[expect(clippy::cast_precision_loss, reason = "see above")]
pub(crate) fn to_f64(count: impl TryInto<i64>) -> f64 {
    count.try_into().unwrap_or(i64::MAX) as f64
}

/// `part / whole`; `None` if `whole` is 0.
pub(crate) fn ratio(part: i64, whole: i64) -> Option<f64> {
    (whole != 0).then(|| to_f64(part) / to_f64(whole))
}

/// `value` rounded to this many decimals, without zeros at its end.
pub(crate) fn rounded(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A random number between 0 and 1.
pub(crate) fn random_fraction() -> f64 {
    let [.., byte] = *Uuid::now_v7().as_bytes();
    f64::from(byte) / 255.0
}
