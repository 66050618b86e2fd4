//! The client's address: the peer's, or the one that a trusted proxy reports.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, HeaderName};

use super::Networks;

/// The header in which proxies name their clients.
pub(crate) const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The client's address, v4-mapped ones as v4.
///
/// `X-Forwarded-For` is read only if the peer is a trusted proxy, from its right end to the first
/// address that is not trusted: a trusted proxy wrote that one, anyone may have written the rest.
/// An entry that is not an address ends the walk at the proxy that wrote it.
pub(crate) fn client_ip(peer: IpAddr, headers: &HeaderMap, trusted: &Networks) -> IpAddr {
    let mut client = peer.to_canonical();
    if trusted.is_empty() || !trusted.contains(client) {
        return client;
    }
    for value in headers.get_all(FORWARDED_FOR).iter().collect::<Vec<_>>().into_iter().rev() {
        let Ok(text) = std::str::from_utf8(value.as_bytes()) else { return client };
        for entry in text.rsplit(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            let Some(hop) = address(entry) else { return client };
            client = hop;
            if !trusted.contains(client) {
                return client;
            }
        }
    }
    client
}

/// `1.2.3.4`, `1.2.3.4:80`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:80`.
fn address(entry: &str) -> Option<IpAddr> {
    let bare = entry.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(entry);
    let ip = bare.parse::<IpAddr>().or_else(|_| bare.parse::<SocketAddr>().map(|a| a.ip()));
    ip.ok().map(|ip| ip.to_canonical())
}

#[cfg(test)]
mod tests;
