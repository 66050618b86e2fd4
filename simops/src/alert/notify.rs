//! Whether what was found is news.

use sha2::{Digest, Sha256};

use super::evaluate::AlertItem;

/// The same for all payloads that agree in their days and in the set of metric, severity and
/// reasons; values and samples, which drift with every visitor, are no change.
pub fn fingerprint<'a>(items: impl IntoIterator<Item = &'a AlertItem>) -> String {
    let mut lines: Vec<_> = items
        .into_iter()
        .map(|item| {
            let mut reasons: Vec<_> = item.reasons.iter().map(|reason| reason.as_str()).collect();
            reasons.sort_unstable();
            let (metric, severity) = (item.metric.as_str(), item.severity.as_str());
            format!("{metric} {} {severity} {}\n", item.day_key, reasons.join(" "))
        })
        .collect();
    lines.sort_unstable();
    lines.dedup();
    let digest = Sha256::digest(lines.concat().as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
