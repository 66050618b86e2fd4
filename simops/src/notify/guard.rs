//! Which addresses a message may go to: none inside, unless an operator allows the host by name. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What may be reached.
#[derive(Debug, Clone, Default)]
pub struct Guard {
    /// Hosts that may be anywhere.
    pub allowed_hosts: Vec<String>,
    /// Whether this machine itself may be reached: in development.
    pub allow_loopback: bool,
}

impl Guard {
    /// Whether `host`, which is at `address`, may be reached.
    pub fn allows(&self, host: &str, address: IpAddr) -> bool {
        let host = host.trim_end_matches('.');
        let named = self.allowed_hosts.iter().any(|known| known.eq_ignore_ascii_case(host));
        let address = address.to_canonical();
        named || is_public(address) || (self.allow_loopback && address.is_loopback())
    }
}

/// Whether an address is one of the open Internet.
pub fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(v4: Ipv4Addr) -> bool {
    let [a, b, c, _] = v4.octets();
    let inside = v4.is_loopback()
        || v4.is_private()
        || v4.is_link_local()
        || v4.is_multicast()
        || v4.is_documentation()
        // "This network"; shared by carriers; protocol assignments; benchmarks; reserved.
        || a == 0
        || (a == 100 && b & 0xc0 == 64)
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && b & 0xfe == 18)
        || a >= 240;
    !inside
}

fn is_public_v6(v6: Ipv6Addr) -> bool {
    let segments = v6.segments();
    // Of what is assigned, only global unicast is public.
    let global = segments[0] & 0xe000 == 0x2000;
    // Documentation; and what wraps a v4 address or another network: Teredo and 6to4.
    let documentation = segments[0] == 0x2001 && segments[1] == 0x0db8 || segments[0] == 0x3fff;
    let wrapped = segments[0] == 0x2002 || (segments[0] == 0x2001 && segments[1] < 0x0200);
    global && !documentation && !wrapped
}
