//! The checks of a server in production.

use std::time::Duration;

use reqwest::Method;
use serde_json::Value;

use super::verdict::{Checked, Outcome, verdict};
use crate::exit::Failure;
use crate::target::{Probe, Seen};

/// Paths that a server must not serve.
const PRIVATE_PATHS: [&str; 8] = [
    "/.env",
    "/.git/config",
    "/simops.db",
    "/output/baseline/baseline_latest.json",
    "/debug/pprof",
    "/server-status",
    "/ops/assets/../../Cargo.toml",
    "/api/admin/../../etc/passwd",
];
/// The least entropy of a token, estimated from the characters that it uses.
const MIN_TOKEN_BITS: f64 = 120.0;
/// An address reserved for documentation.
const ELSEWHERE: &str = "203.0.113.7";
/// The time for which an idle world is observed.
const IDLE_TIME: Duration = Duration::from_secs(3);

/// Runs every check.
pub(super) async fn check(probe: &Probe, token: &str) -> Checked {
    let mut all = Checked::default();
    all.add("transport is encrypted", Ok(transport(probe)));
    all.add("token is strong", Ok(strength(token)));
    for path in ["/healthz", "/readyz"] {
        let found = probe.stranger(path, None).await;
        let found = found.map(|seen| verdict(seen.status.is_success(), seen.summary()));
        all.add(&format!("{path} answers"), found);
    }
    for (name, token) in
        [("no token is refused", None), ("a wrong token is refused", Some("wrong"))]
    {
        let found = probe.stranger("/api/admin/status", token).await;
        // 403: this address is not let in at all, 404: there is no admin API.
        let found = found
            .map(|seen| verdict([401, 403, 404].contains(&seen.status.as_u16()), seen.summary()));
        all.add(name, found);
    }
    let status = probe.get("/api/admin/status").await;
    match status {
        Ok(status) if status.status.is_success() => with_status(probe, &status, &mut all).await,
        Ok(status) => {
            let detail = format!("{}: nothing more can be checked from here", status.summary());
            all.add("status can be read", Ok((Outcome::Fail, detail)));
        }
        Err(failure) => all.add("status can be read", Err(failure)),
    }
    for path in ["/ops", "/api/admin/status", "/api/openapi.json"] {
        let found = probe.stranger(path, None).await;
        all.add(&format!("headers of {path}"), found.map(|seen| hardened(&seen)));
    }
    for path in PRIVATE_PATHS {
        let found = probe.stranger(path, None).await;
        let found = found
            .map(|seen| verdict([401, 403, 404].contains(&seen.status.as_u16()), seen.summary()));
        all.add(&format!("{path} is not served"), found);
    }
    let metrics = probe.stranger("/metrics", None).await.map(|seen| {
        if seen.status.is_success() {
            let hint = "answers without a token: let only the monitoring reach it";
            (Outcome::Warn, hint.to_owned())
        } else {
            (Outcome::Pass, seen.summary())
        }
    });
    all.add("/metrics is not public", metrics);
    all
}

async fn with_status(probe: &Probe, status: &Seen, all: &mut Checked) {
    let of = |name: &str| status.json.get(name).cloned().unwrap_or_default();
    let environment = of("environment");
    all.add(
        "environment is production",
        Ok(verdict(environment == "production", format!("environment = {environment}"))),
    );
    let gate = of("admin_write_enabled");
    let closed = gate == Value::Bool(false);
    all.add(
        "admin_write_enabled=false",
        Ok(verdict(closed, format!("admin_write_enabled = {gate}"))),
    );
    let degraded = status.json.pointer("/counter/degraded") == Some(&Value::Bool(true));
    let counter = status.json.get("counter").map(Value::to_string).unwrap_or_default();
    all.add("calls are counted where configured", Ok(verdict(!degraded, counter)));
    all.add("a forged X-Forwarded-For is not believed", forged(probe, status).await);
    all.add("addresses are limited", Ok(allowlist(&of("admin_ip_allowlisted"), closed)));
    writes(probe, all).await;
    all.add("the world is idle while inactive", idle(probe, status).await);
}

/// Every write route of the server's own description answers 403.
async fn writes(probe: &Probe, all: &mut Checked) {
    let described = match probe.stranger("/api/openapi.json", None).await {
        Ok(seen) if seen.json.get("paths").is_some_and(Value::is_object) => seen.json,
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
        let found = probe.harmless(method.clone(), &path).await;
        let found = found.map(|seen| verdict(seen.status.as_u16() == 403, seen.summary()));
        all.add(&format!("{method} {path} is refused"), found);
    }
}

/// Methods and paths of writes below the admin API, with parameters filled in.
fn write_routes(described: &Value) -> Vec<(Method, String)> {
    let paths = described.get("paths").and_then(Value::as_object).into_iter().flatten();
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

fn strength(token: &str) -> (Outcome, String) {
    let bits = bits(token);
    let detail = format!("about {bits:.0} bits; at least {MIN_TOKEN_BITS:.0} are wanted");
    verdict(bits >= MIN_TOKEN_BITS, detail)
}

/// The entropy of a token whose characters are drawn with the frequencies that it shows.
fn bits(token: &str) -> f64 {
    let mut counts = std::collections::BTreeMap::<char, u32>::new();
    for c in token.chars() {
        *counts.entry(c).or_default() += 1;
    }
    let length: u32 = counts.values().sum();
    let each = counts.values().map(|count| {
        let share = f64::from(*count) / f64::from(length);
        -share * share.log2()
    });
    each.sum::<f64>() * f64::from(length)
}

/// A request that claims another address must be seen under its own.
async fn forged(probe: &Probe, status: &Seen) -> Result<(Outcome, String), Failure> {
    let own = status.json.pointer("/actor/ip").cloned().unwrap_or_default();
    let seen = probe.get_as_from("/api/admin/status", ELSEWHERE).await?;
    let claimed = seen.json.pointer("/actor/ip").cloned().unwrap_or_default();
    if claimed == ELSEWHERE || seen.status.as_u16() == 403 {
        let detail =
            "this machine is one of TRUSTED_PROXIES, or every address is: check from another one";
        return Ok((Outcome::Warn, detail.to_owned()));
    }
    Ok(verdict(claimed == own, format!("seen as {claimed}")))
}

/// An allowed address cannot see the allowlist, only whether there is one.
fn allowlist(listed: &Value, closed: bool) -> (Outcome, String) {
    if *listed == Value::Bool(true) {
        return (
            Outcome::Pass,
            "only the addresses of ADMIN_IP_ALLOWLIST may use the admin API".to_owned(),
        );
    }
    if closed {
        let detail = "any address with the token may read: name the operators' addresses in ADMIN_IP_ALLOWLIST";
        return (Outcome::Warn, detail.to_owned());
    }
    (Outcome::Fail, "writes are open: production needs ADMIN_IP_ALLOWLIST for them".to_owned())
}

fn hardened(seen: &Seen) -> (Outcome, String) {
    let value = |name: &str| seen.headers.get(name).and_then(|value| value.to_str().ok());
    let policy = value("content-security-policy").unwrap_or_default();
    let missing = [
        ("content-security-policy without frame-ancestors", policy.contains("frame-ancestors")),
        ("x-content-type-options: nosniff", value("x-content-type-options") == Some("nosniff")),
        ("referrer-policy", value("referrer-policy").is_some()),
        ("cache-control", value("cache-control").is_some()),
    ];
    let missing: Vec<_> =
        missing.into_iter().filter(|(_, there)| !there).map(|(name, _)| name).collect();
    let revealed = ["server", "x-powered-by"].into_iter().filter(|name| value(name).is_some());
    let revealed: Vec<_> = revealed.map(|name| format!("it reveals {name}")).collect();
    let found: Vec<_> =
        missing.into_iter().map(|name| format!("no {name}")).chain(revealed).collect();
    if found.is_empty() { verdict(true, "all present") } else { verdict(false, found.join("; ")) }
}

/// While no run is active, hosts are paused and no agent acts.
async fn idle(probe: &Probe, status: &Seen) -> Result<(Outcome, String), Failure> {
    let active = status.json.pointer("/viewer_ops/simulation_active");
    let paused = status.json.pointer("/viewer_ops/simulation_paused");
    if active == Some(&Value::Bool(true)) && paused != Some(&Value::Bool(true)) {
        return Ok((Outcome::Warn, "a run is active: check again while none is".to_owned()));
    }
    let newest = async || -> Result<Option<i64>, Failure> {
        let seen = probe.get("/api/admin/events?limit=50").await?;
        let items = seen.json.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
        let acted = items.into_iter().filter(|event| event.pointer("/metadata/runtime").is_some());
        Ok(acted.filter_map(|event| event.get("id").and_then(Value::as_i64)).max())
    };
    let before = newest().await?;
    tokio::time::sleep(IDLE_TIME).await;
    let after = newest().await?;
    let status = probe.get("/api/admin/status").await?;
    let hosts = status.json.get("hosts").and_then(Value::as_array).cloned().unwrap_or_default();
    let busy = hosts.iter().filter(|host| {
        let calls = host.get("in_flight_calls").and_then(Value::as_i64).unwrap_or_default();
        host.get("state").and_then(Value::as_str) == Some("running") || calls > 0
    });
    let busy = busy.count();
    let still = before == after && busy == 0;
    let state = status.json.get("run_state").cloned().unwrap_or_default();
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

    #[test]
    fn a_token_is_as_strong_as_its_characters_are_mixed() {
        assert!(bits("") < MIN_TOKEN_BITS);
        assert!(bits("changeme") < MIN_TOKEN_BITS);
        assert!(bits(&"a".repeat(200)) < MIN_TOKEN_BITS);
        assert!(bits("3f0c9d1e7a5b2c4868fa01e7d9b3c5a2f4e6081b") >= MIN_TOKEN_BITS);
    }
}
