//! Access: token, write gate, allowlist.

use std::collections::HashSet;

use simops::Secret;
use simops::control::{Environment, WriteGate};

use super::{DoctorArgs, Report};
use crate::exit::Failure;
use crate::globals::Globals;

/// A token shorter than this can be guessed.
const SHORT: usize = 24;
/// A token of fewer different characters can be guessed, too.
const FEW: usize = 10;

pub(super) fn examine(
    report: &mut Report,
    globals: &Globals,
    production_mark: bool,
    args: &DoctorArgs,
) -> Result<(), Failure> {
    let in_production = globals.environment == Environment::Production;
    token(report, in_production, globals.token()?.as_ref().map(Secret::expose));
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

fn token(report: &mut Report, in_production: bool, token: Option<&str>) {
    const ADVICE: &str = "set ADMIN_API_TOKEN to the output of: openssl rand -base64 32";
    let Some(token) = token.filter(|token| !token.is_empty()) else {
        if in_production {
            report.failed("token", "none: admin paths answer 503", ADVICE);
        } else {
            report.ok("token", "none: the server makes one at each start");
        }
        return;
    };
    let different = token.chars().collect::<HashSet<_>>().len();
    if token.len() >= SHORT && different >= FEW {
        report.ok("token", format!("{} characters", token.len()));
    } else if in_production {
        report.failed("token", "short or monotonous: it can be guessed", ADVICE);
    } else {
        report.warning("token", "short or monotonous: it can be guessed", ADVICE);
    }
}
