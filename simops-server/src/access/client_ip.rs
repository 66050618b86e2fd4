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
mod tests {
    use axum::http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn seen(peer: &str, forwarded: &[&str], trusted: &str) -> String {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append(FORWARDED_FOR, HeaderValue::from_str(value).unwrap());
        }
        let trusted = Networks::parse(trusted).unwrap();
        client_ip(peer.parse().unwrap(), &headers, &trusted).to_string()
    }

    #[test]
    fn a_header_from_an_untrusted_peer_is_ignored() {
        assert_eq!(seen("203.0.113.9", &["127.0.0.1"], ""), "203.0.113.9");
        assert_eq!(seen("203.0.113.9", &["127.0.0.1"], "10.0.0.0/8"), "203.0.113.9");
    }

    #[test]
    fn the_right_most_untrusted_address_is_the_client() {
        let trusted = "10.0.0.0/8, 2001:db8::/32";
        let of = |forwarded: &[&str]| seen("10.0.0.1", forwarded, trusted);
        assert_eq!(of(&[]), "10.0.0.1");
        assert_eq!(of(&["198.51.100.4"]), "198.51.100.4");
        assert_eq!(of(&["127.0.0.1, 198.51.100.4, 10.2.2.2"]), "198.51.100.4");
        assert_eq!(of(&["127.0.0.1", "198.51.100.4", "10.2.2.2"]), "198.51.100.4");
        assert_eq!(of(&["10.3.3.3, 10.2.2.2"]), "10.3.3.3");
        assert_eq!(of(&["198.51.100.4:5123"]), "198.51.100.4");
        assert_eq!(of(&["[2001:dead::5]:443, 2001:db8::9"]), "2001:dead::5");
        assert_eq!(of(&["::ffff:198.51.100.4"]), "198.51.100.4");
        assert_eq!(seen("::ffff:10.0.0.1", &["198.51.100.4"], trusted), "198.51.100.4");
    }

    #[test]
    fn an_invalid_entry_ends_the_walk() {
        assert_eq!(seen("10.0.0.1", &["198.51.100.4, unknown"], "10.0.0.0/8"), "10.0.0.1");
        assert_eq!(seen("10.0.0.1", &["127.0.0.1, ;, 10.2.2.2"], "10.0.0.0/8"), "10.2.2.2");
        assert_eq!(seen("10.0.0.1", &["evil, 198.51.100.4"], "10.0.0.0/8"), "198.51.100.4");
    }

    fn forged() -> impl Strategy<Value = String> {
        let entry = prop_oneof![
            any::<IpAddr>().prop_map(|ip| ip.to_string()),
            any::<SocketAddr>().prop_map(|address| address.to_string()),
            "[ -~]{0,20}",
        ];
        proptest::collection::vec(entry, 0..6).prop_map(|entries| entries.join(","))
    }

    proptest! {
        #[test]
        fn a_forged_header_never_wins_from_an_untrusted_peer(
            peer: IpAddr,
            forged in proptest::collection::vec(forged(), 0..3),
        ) {
            let trusted = Networks::parse("10.0.0.0/8,fd00::/8").unwrap();
            prop_assume!(!trusted.contains(peer));
            let mut headers = HeaderMap::new();
            for value in &forged {
                headers.append(FORWARDED_FOR, HeaderValue::from_str(value).unwrap());
            }
            prop_assert_eq!(client_ip(peer, &headers, &trusted), peer.to_canonical());
        }

        #[test]
        fn what_the_client_wrote_before_the_proxy_never_wins(
            client: IpAddr,
            forged in forged(),
        ) {
            let trusted = Networks::parse("10.0.0.0/8,fd00::/8").unwrap();
            prop_assume!(!trusted.contains(client));
            let mut headers = HeaderMap::new();
            let value = format!("{forged},{client}, 10.1.1.1");
            headers.append(FORWARDED_FOR, HeaderValue::from_str(&value).unwrap());
            let peer = "10.0.0.1".parse().unwrap();
            prop_assert_eq!(client_ip(peer, &headers, &trusted), client.to_canonical());
        }
    }
}
