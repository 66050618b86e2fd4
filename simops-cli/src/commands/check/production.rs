//! The checks of a server in production.

use std::time::Duration;

use reqwest::Method;
use serde_json::Value;
use simops::Secret;

use super::{Checked, Outcome, verdict};
use crate::exit::Failure;
use crate::target::{Probe, Seen};

/// Paths that a server must not serve.
const PRIVATE_PATHS: [&str; 9] = [
    "/.env",
    "/.git/config",
    "/simops.db",
    "/output/baseline/baseline_latest.json",
    "/debug/pprof",
    "/server-status",
    "/ops/assets/../../Cargo.toml",
    "/ops/assets/%2e%2e/%2e%2e/Cargo.toml",
    "/api/admin/../../etc/passwd",
];
/// Other spellings of `/api/admin/`, which a proxy or a server may take for it after the gate. They are sent
/// as they are written.
const DISGUISES: [&str; 20] = [
    "/api/admin/../admin/",
    "/api/admin/./",
    "/api/./admin/",
    "/api/x/../admin/",
    "/ops/../api/admin/",
    "/healthz/../api/admin/",
    "/api/analytics/kpi/../../admin/",
    "/api/admin/%2e%2e/admin/",
    "/ops/%2e%2e/api/admin/",
    "/ops/%2E%2E%2Fapi/admin/",
    "/ops/..%2fapi/admin/",
    "/ops/..;/api/admin/",
    "//api/admin/",
    "/api//admin/",
    "/api/admin//",
    "/api/%61dmin/",
    "/api%2fadmin/",
    "/api/admin;x=y/",
    "/API/ADMIN/",
    "/api\\admin/",
];
/// An address reserved for documentation.
const ELSEWHERE: &str = "203.0.113.7";
/// The time for which an idle world is observed.
const IDLE_TIME: Duration = Duration::from_secs(3);

pub(super) async fn check(probe: &Probe, token: &Secret) -> Checked {
    let mut all = Checked::default();
    all.add("transport is encrypted", Ok(transport(probe)));
    all.add("token is strong", Ok(strength(token)));
    let answers = |seen: &Seen| verdict(seen.status.is_success(), seen.summary());
    // 403: this address is not let in at all, 404: there is nothing at this path.
    let refused =
        |seen: &Seen| verdict([401, 403, 404].contains(&seen.status.as_u16()), seen.summary());
    for path in ["/healthz", "/readyz"] {
        all.see(&format!("{path} answers"), probe.stranger(path, None), answers).await;
    }
    let status = "/api/admin/status";
    all.see("no token is refused", probe.stranger(status, None), refused).await;
    all.see("a wrong token is refused", probe.stranger(status, Some("wrong")), refused).await;
    match probe.get(status).await {
        Ok(status) if status.status.is_success() => with_status(probe, &status, &mut all).await,
        Ok(status) => {
            let detail = format!("{}: nothing more can be checked from here", status.summary());
            all.add("status can be read", Ok((Outcome::Fail, detail)));
        }
        Err(failure) => all.add("status can be read", Err(failure)),
    }
    for path in ["/ops", "/api/admin/status", "/api/openapi.json"] {
        all.see(&format!("headers of {path}"), probe.stranger(path, None), hardened).await;
    }
    for path in PRIVATE_PATHS {
        all.see(&format!("{path} is not served"), probe.stranger_raw(path), refused).await;
    }
    all.add("no disguised path can be read without a token", disguised_reads(probe).await);
    let private = |seen: &Seen| {
        if seen.status.is_success() {
            let hint = "answers without a token: let only the monitoring reach it";
            (Outcome::Warn, hint.to_owned())
        } else {
            (Outcome::Pass, seen.summary())
        }
    };
    all.see("/metrics is not public", probe.stranger("/metrics", None), private).await;
    all
}

async fn with_status(probe: &Probe, status: &Seen, all: &mut Checked) {
    let environment = &status.json["environment"];
    let in_production =
        verdict(environment == "production", format!("environment = {environment}"));
    all.add("environment is production", Ok(in_production));
    let gate = &status.json["admin_write_enabled"];
    let closed = *gate == false;
    let is_closed = verdict(closed, format!("admin_write_enabled = {gate}"));
    all.add("admin_write_enabled=false", Ok(is_closed));
    let counter = &status.json["counter"];
    let counted = verdict(counter["degraded"] != true, counter.to_string());
    all.add("calls are counted where configured", Ok(counted));
    all.add("a forged X-Forwarded-For is not believed", forged(probe, status).await);
    let limited = allowlist(status.json["admin_ip_allowlisted"] == true, closed);
    all.add("addresses are limited", Ok(limited));
    writes(probe, all).await;
    all.add("the world is idle while inactive", idle(probe, status).await);
}

/// Every write route of the server's own description answers 403.
async fn writes(probe: &Probe, all: &mut Checked) {
    let described = match probe.stranger("/api/openapi.json", None).await {
        Ok(seen) if seen.json["paths"].is_object() => seen.json,
        Ok(seen) => {
            all.add("write routes are described", Ok((Outcome::Fail, seen.summary())));
            return;
        }
        Err(failure) => return all.add("write routes are described", Err(failure)),
    };
    let routes = write_routes(&described);
    let detail = format!("{} routes", routes.len());
    all.add("write routes are described", Ok(verdict(!routes.is_empty(), detail)));
    for (method, path) in routes {
        let forbidden = |seen: &Seen| verdict(seen.status.as_u16() == 403, seen.summary());
        let name = format!("{method} {path} is refused");
        all.see(&name, probe.harmless(method, &path), forbidden).await;
    }
    all.add("no disguised path passes the write gate", disguised_writes(probe).await);
}

/// Paths of the status in all disguises, and with an ending that may be cut.
fn disguised(below: &str) -> impl Iterator<Item = String> {
    let endings =
        ["/", "/.", ";x", "%00", "%20"].map(|ending| format!("/api/admin/{below}{ending}"));
    DISGUISES.into_iter().map(move |base| format!("{base}{below}")).chain(endings)
}

/// The status cannot be read without a token, however its path is written.
async fn disguised_reads(probe: &Probe) -> Result<(Outcome, String), Failure> {
    let (mut tried, mut passed) = (0, Vec::new());
    for path in disguised("status") {
        let seen = probe.stranger_raw(&path).await?;
        tried += 1;
        // The console answers with a page for its own paths.
        if seen.status.is_success() && !seen.json.is_null() {
            passed.push(path);
        }
    }
    Ok(none_of(tried, &passed))
}

/// The write gate refuses a write before its body is read, however its path is written.
async fn disguised_writes(probe: &Probe) -> Result<(Outcome, String), Failure> {
    let (mut tried, mut passed) = (0, Vec::new());
    for path in disguised("control/pause") {
        let seen = probe.harmless_raw(&path).await?;
        tried += 1;
        if seen.status.is_success() || seen.status.as_u16() == 422 {
            passed.push(path);
        }
    }
    Ok(none_of(tried, &passed))
}

fn none_of(tried: usize, passed: &[String]) -> (Outcome, String) {
    match passed {
        [] => (Outcome::Pass, format!("{tried} spellings")),
        passed => (Outcome::Fail, passed.join(" ")),
    }
}

/// Methods and paths of writes below the admin API, with parameters filled in.
fn write_routes(described: &Value) -> Vec<(Method, String)> {
    let paths = described["paths"].as_object().into_iter().flatten();
    let admin = paths.filter(|(path, _)| path.starts_with("/api/admin"));
    let operations = admin.flat_map(|(path, item)| {
        let path = path.split('/').map(|part| if part.starts_with('{') { "none" } else { part });
        let path = path.collect::<Vec<_>>().join("/");
        let methods = ["post", "put", "patch", "delete"];
        let written = methods.into_iter().filter(move |method| item.get(method).is_some());
        written.filter_map(move |method| {
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).ok()?;
            Some((method, path.clone()))
        })
    });
    operations.collect()
}

fn transport(probe: &Probe) -> (Outcome, String) {
    let host = probe.base().host_str().unwrap_or_default();
    let local = host == "localhost"
        || host
            .trim_matches(['[', ']'])
            .parse()
            .is_ok_and(|address: std::net::IpAddr| address.is_loopback());
    match probe.base().scheme() {
        "https" => (Outcome::Pass, "https".to_owned()),
        _ if local => {
            (Outcome::Warn, "http on this machine: put TLS before it for others".to_owned())
        }
        _ => (Outcome::Fail, "http: the token crosses the network in the clear".to_owned()),
    }
}

fn strength(token: &Secret) -> (Outcome, String) {
    match token.weakness() {
        None => (Outcome::Pass, "it cannot be guessed".to_owned()),
        Some(why) => (Outcome::Fail, format!("it {why}")),
    }
}

/// A request that claims another address must be seen under its own.
async fn forged(probe: &Probe, status: &Seen) -> Result<(Outcome, String), Failure> {
    let own = &status.json["actor"]["ip"];
    let seen = probe.get_as_from("/api/admin/status", ELSEWHERE).await?;
    let claimed = &seen.json["actor"]["ip"];
    if claimed == ELSEWHERE || seen.status.as_u16() == 403 {
        let detail =
            "this machine is one of TRUSTED_PROXIES, or every address is: check from another one";
        return Ok((Outcome::Warn, detail.to_owned()));
    }
    Ok(verdict(claimed == own, format!("seen as {claimed}")))
}

/// An allowed address cannot see the allowlist, only whether there is one.
fn allowlist(listed: bool, closed: bool) -> (Outcome, String) {
    let (outcome, detail) = match (listed, closed) {
        (true, _) => {
            (Outcome::Pass, "only the addresses of ADMIN_IP_ALLOWLIST may use the admin API")
        }
        (false, true) => (
            Outcome::Warn,
            "any address with the token may read: name the operators' addresses in ADMIN_IP_ALLOWLIST",
        ),
        (false, false) => {
            (Outcome::Fail, "writes are open: production needs ADMIN_IP_ALLOWLIST for them")
        }
    };
    (outcome, detail.to_owned())
}

fn hardened(seen: &Seen) -> (Outcome, String) {
    let value = |name: &str| seen.headers.get(name).and_then(|value| value.to_str().ok());
    let policy = value("content-security-policy").unwrap_or_default();
    let faults = [
        ("no content-security-policy without frame-ancestors", !policy.contains("frame-ancestors")),
        ("no x-content-type-options: nosniff", value("x-content-type-options") != Some("nosniff")),
        ("no referrer-policy", value("referrer-policy").is_none()),
        ("no cache-control", value("cache-control").is_none()),
        ("it reveals server", value("server").is_some()),
        ("it reveals x-powered-by", value("x-powered-by").is_some()),
    ];
    let found: Vec<_> =
        faults.iter().filter(|(_, found)| *found).map(|(fault, _)| *fault).collect();
    if found.is_empty() { verdict(true, "all present") } else { verdict(false, found.join("; ")) }
}

/// While no run is active, hosts are paused and no agent acts.
async fn idle(probe: &Probe, status: &Seen) -> Result<(Outcome, String), Failure> {
    let run = &status.json["viewer_ops"];
    if run["simulation_active"] == true && run["simulation_paused"] != true {
        return Ok((Outcome::Warn, "a run is active: check again while none is".to_owned()));
    }
    let newest = async || -> Result<Option<i64>, Failure> {
        let seen = probe.get("/api/admin/events?limit=50").await?;
        let events = seen.json["items"].as_array().into_iter().flatten();
        let acted = events.filter(|event| event.pointer("/metadata/runtime").is_some());
        Ok(acted.filter_map(|event| event["id"].as_i64()).max())
    };
    let before = newest().await?;
    tokio::time::sleep(IDLE_TIME).await;
    let after = newest().await?;
    let status = probe.get("/api/admin/status").await?;
    let hosts = status.json["hosts"].as_array().into_iter().flatten();
    let busy = hosts.filter(|host| {
        host["state"] == "running" || host["in_flight_calls"].as_i64().unwrap_or_default() > 0
    });
    let busy = busy.count();
    let still = before == after && busy == 0;
    let state = &status.json["run_state"];
    Ok(verdict(still, format!("run_state {state}, {busy} hosts busy, last action {after:?}")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_write_route_of_a_description_is_found_whatever_its_method() {
        let described = json!({ "paths": {
            "/api/admin/a": { "get": {}, "post": {} },
            "/api/admin/b/{id}/c": { "delete": {}, "put": {}, "parameters": [] },
            "/api/analytics/kpi/events": { "post": {} },
        } });
        let found: Vec<_> = write_routes(&described);
        let found: Vec<_> = found.iter().map(|(method, path)| format!("{method} {path}")).collect();
        assert_eq!(
            found,
            ["POST /api/admin/a", "PUT /api/admin/b/none/c", "DELETE /api/admin/b/none/c"]
        );
    }
}
