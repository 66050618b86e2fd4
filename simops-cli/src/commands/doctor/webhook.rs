//! Where critical alerts go.

use simops::control::Environment;

use super::finding::Report;
use super::variable;

pub(super) fn examine(report: &mut Report, environment: Environment) {
    const CHECK: &str = "webhook";
    let enabled = variable("KPI_ALERT_WEBHOOK_ENABLED");
    if !enabled.is_some_and(|enabled| enabled.eq_ignore_ascii_case("true")) {
        report.ok(CHECK, "off: critical alerts are shown in the console only");
        return;
    }
    let Some(url) = variable("KPI_ALERT_WEBHOOK_URL") else {
        let advice = "set KPI_ALERT_WEBHOOK_URL, or KPI_ALERT_WEBHOOK_ENABLED=false";
        report.failed(CHECK, "on, and has no address", advice);
        return;
    };
    let Ok(parsed) = reqwest::Url::parse(&url) else {
        report.failed(CHECK, "its address is no URL", "set KPI_ALERT_WEBHOOK_URL to https://…");
        return;
    };
    let host = parsed.host_str().unwrap_or_default().to_owned();
    let production = environment == Environment::Production;
    if parsed.scheme() != "https" && production {
        let advice = "use https: the message can be read and changed under way";
        report.failed(CHECK, format!("{host} without TLS"), advice);
    } else if variable("KPI_ALERT_WEBHOOK_SECRET").is_none() {
        let advice = "set KPI_ALERT_WEBHOOK_SECRET, so that the receiver can tell who sent it";
        report.warning(CHECK, format!("{host}, unsigned"), advice);
    } else {
        report.ok(CHECK, format!("{host}, signed"));
    }
}
