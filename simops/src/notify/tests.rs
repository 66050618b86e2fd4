//! Addresses that may be reached, and signatures.

use std::net::IpAddr;

use crate::notify::guard::is_public;
use crate::notify::{Guard, SigningSecret};
use proptest::prelude::*;

proptest! {
    /// An address in another spelling is judged the same.
    #[test]
    fn a_wrapped_address_is_judged_as_what_it_wraps(v4: std::net::Ipv4Addr) {
        prop_assert_eq!(is_public(IpAddr::V4(v4)), is_public(IpAddr::V6(v4.to_ipv6_mapped())));
    }
}

#[test]
fn no_address_inside_is_public() {
    for inside in [
        "127.0.0.1",
        "127.8.8.8",
        "10.0.0.1",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "100.127.255.255",
        "0.0.0.0",
        "0.1.2.3",
        "224.0.0.1",
        "255.255.255.255",
        "240.0.0.1",
        "192.0.0.1",
        "198.18.0.1",
        "198.19.255.1",
        "203.0.113.1",
        "::",
        "::1",
        "fe80::1",
        "fc00::1",
        "fd12:3456::1",
        "ff02::1",
        "::ffff:10.0.0.1",
        "::ffff:127.0.0.1",
        "::127.0.0.1",
        "64:ff9b::a00:1",
        "2002:a00:1::1",
        "2001::1",
        "2001:db8::1",
    ] {
        assert!(!is_public(inside.parse().unwrap()), "{inside}");
    }
    for outside in [
        "1.1.1.1",
        "100.63.255.255",
        "100.128.0.1",
        "172.32.0.1",
        "198.20.0.1",
        "2606:4700::1111",
        "2a00:1450::1",
    ] {
        assert!(is_public(outside.parse().unwrap()), "{outside}");
    }
    let guard = Guard { allowed_hosts: vec!["Hooks.Internal".to_owned()], allow_loopback: true };
    let of = |host: &str, address: &str| guard.allows(host, address.parse().unwrap());
    assert!(of("hooks.internal.", "10.0.0.5") && of("localhost", "127.0.0.1"));
    assert!(!of("hooks.internal.example.org", "10.0.0.5") && !of("10.0.0.5", "10.0.0.5"));
}

#[test]
fn a_signature_is_that_of_the_scheme() {
    // The example of the specification's own test suite.
    let secret = SigningSecret::parse("", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    let signed =
        secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
    assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    assert!(SigningSecret::parse("S", "whsec_???").is_err());
    assert!(!format!("{secret:?}").contains("MfKQ"));
}
