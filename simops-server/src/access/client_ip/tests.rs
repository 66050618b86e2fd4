//! Which address is the client.

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
