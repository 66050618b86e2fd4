//! Decides which addresses a message may be sent to: only public ones, unless an operator allows a
//! host by name. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The allowed destinations.
#[derive(Debug, Clone, Default)]
pub struct Guard {
    /// Hosts that are allowed at any address.
    pub allowed_hosts: Vec<String>,
    /// Whether loopback addresses are allowed; for development.
    pub allow_loopback: bool,
}

impl Guard {
    /// Whether messages may be sent to `host` at `address`.
    pub fn allows(&self, host: &str, address: IpAddr) -> bool {
        let host = host.trim_end_matches('.');
        let is_listed = self.allowed_hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(host));
        let address = address.to_canonical();
        is_listed || is_public(address) || (self.allow_loopback && address.is_loopback())
    }
}

/// Whether an address is public, that is, globally routable.
pub(super) fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(v4: Ipv4Addr) -> bool {
    let [a, b, c, _] = v4.octets();
    let internal = v4.is_loopback()
        || v4.is_private()
        || v4.is_link_local()
        || v4.is_multicast()
        || v4.is_documentation()
        // "This network"; carrier-grade NAT; protocol assignments; benchmarking; reserved.
        || a == 0
        || (a == 100 && b & 0xc0 == 64)
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && b & 0xfe == 18)
        || a >= 240;
    !internal
}

fn is_public_v6(v6: Ipv6Addr) -> bool {
    let segments = v6.segments();
    // Only global unicast addresses are public.
    let global = segments[0] & 0xe000 == 0x2000;
    // Except documentation addresses, and those that embed an IPv4 address (6to4, Teredo).
    let documentation = segments[0] == 0x2001 && segments[1] == 0x0db8 || segments[0] == 0x3fff;
    let wrapped = segments[0] == 0x2002 || (segments[0] == 0x2001 && segments[1] < 0x0200);
    global && !documentation && !wrapped
}
