//! Access: token, write gate, allowlist.

use simops::Secret;
use simops::control::{Environment, WriteGate};

use super::{DoctorArgs, Report};
use crate::exit::Failure;
use crate::globals::Globals;

pub(super) fn examine(
    report: &mut Report,
    globals: &Globals,
    production_mark: bool,
    args: &DoctorArgs,
) -> Result<(), Failure> {
    let in_production = globals.environment == Environment::Production;
    token(report, in_production, globals.token()?.as_ref());
    let allowlist = args.admin_ip_allowlist.as_deref().unwrap_or_default().trim();
    let rules = globals.write_policy().on(production_mark);
    match (rules.gate(), rules.environment()) {
        (WriteGate::StopOnly, _) => {
            report.ok("write gate", "stop-only: only pause, stop and degrade are allowed");
        }
        (WriteGate::Closed, _) => report.ok("write gate", "closed: this deployment is read-only"),
        (WriteGate::Open, Environment::Development) => {
            report.ok("write gate", "open, in development");
        }
        (WriteGate::Open, Environment::Production) if allowlist.is_empty() => report.failed(
            "write gate",
            "open in production without an allowlist: every write is refused",
            "set ADMIN_IP_ALLOWLIST to the operators' networks, or close the gate",
        ),
        (WriteGate::Open, Environment::Production) => report.warning(
            "write gate",
            "open in production",
            "close it (ADMIN_WRITE_ENABLED=false) when the work is done",
        ),
    }
    let anywhere = |network: &str| network.trim().ends_with("/0");
    if allowlist.split(',').any(anywhere) {
        let advice = "name the operators' networks instead";
        report.warning("allowlist", "it lets every address in", advice);
    } else if allowlist.is_empty() {
        report.ok("allowlist", "empty: any address may read with the token");
    } else {
        let networks = allowlist.split(',').filter(|network| !network.trim().is_empty()).count();
        report.ok("allowlist", format!("{networks} networks"));
    }
    Ok(())
}

fn token(report: &mut Report, in_production: bool, token: Option<&Secret>) {
    const ADVICE: &str = "set ADMIN_API_TOKEN to the output of: openssl rand -hex 32";
    match (token, token.and_then(Secret::weakness)) {
        (None, _) if in_production => {
            report.failed("token", "none: admin paths answer 503", ADVICE);
        }
        (None, _) => report.ok("token", "none: the server makes one at each start"),
        (Some(_), None) => report.ok("token", "strong"),
        (Some(_), Some(why)) if in_production => {
            report.failed("token", format!("it {why}: the server does not start"), ADVICE);
        }
        (Some(_), Some(why)) => report.warning("token", format!("it {why} in production"), ADVICE),
    }
}
