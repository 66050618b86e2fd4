//! Where critical alerts go.

use simops::Secret;
use simops::control::Environment;

use super::{DoctorArgs, Report};
use crate::exit::Failure;

pub(super) fn examine(
    report: &mut Report,
    environment: Environment,
    args: &DoctorArgs,
) -> Result<(), Failure> {
    const CHECK: &str = "webhook";
    if args.kpi_alert_webhook_enabled != Some(true) {
        report.ok(CHECK, "off: critical alerts are shown in the console only");
        return Ok(());
    }
    let Some(url) = &args.kpi_alert_webhook_url else {
        let advice = "set KPI_ALERT_WEBHOOK_URL, or KPI_ALERT_WEBHOOK_ENABLED=false";
        report.failed(CHECK, "on, and has no address", advice);
        return Ok(());
    };
    let Ok(parsed) = reqwest::Url::parse(url.trim()) else {
        report.failed(CHECK, "its address is no URL", "set KPI_ALERT_WEBHOOK_URL to https://…");
        return Ok(());
    };
    let host = parsed.host_str().unwrap_or_default().to_owned();
    let production = environment == Environment::Production;
    if parsed.scheme() != "https" && production {
        let advice = "use https: the message can be read and changed under way";
        report.failed(CHECK, format!("{host} without TLS"), advice);
    } else if webhook_secret()?.is_none() {
        let advice = "set KPI_ALERT_WEBHOOK_SECRET, so that the receiver can tell who sent it";
        report.warning(CHECK, format!("{host}, unsigned"), advice);
    } else {
        report.ok(CHECK, format!("{host}, signed"));
    }
    Ok(())
}

fn webhook_secret() -> Result<Option<Secret>, Failure> {
    let found = Secret::find("KPI_ALERT_WEBHOOK_SECRET", |name| std::env::var(name).ok());
    found.map_err(|error| Failure::usage(error.detail()))
}
