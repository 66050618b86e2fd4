//! Lists of networks, for the allowlist and the trusted proxies.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

/// A list of IPs and CIDRs, v4 and v6.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks(Vec<IpNet>);

impl Networks {
    /// Parses a comma-separated list.
    ///
    /// # Errors
    /// Returns the first entry that is neither an IP address nor a CIDR.
    pub fn parse(text: &str) -> Result<Self, String> {
        let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        let networks = entries.map(|entry| network(entry).ok_or_else(|| entry.to_owned()));
        networks.collect::<Result<_, _>>().map(Self)
    }

    /// Whether the list is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a network contains `ip`. A v4-mapped v6 address counts as v4.
    pub fn contains(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.0.iter().any(|network| network.contains(&ip))
    }
}

fn network(text: &str) -> Option<IpNet> {
    let network = match text.parse::<IpNet>() {
        Ok(network) => network,
        Err(_) => IpNet::from(text.parse::<IpAddr>().ok()?),
    };
    Some(canonical(network))
}

/// Converts a network of v4-mapped v6 addresses to v4.
fn canonical(network: IpNet) -> IpNet {
    let IpNet::V6(mapped) = network else { return network };
    let v4 = mapped.addr().to_ipv4_mapped();
    let length = mapped.prefix_len().checked_sub(96);
    match v4.zip(length).map(|(v4, length)| Ipv4Net::new(v4, length)) {
        Some(Ok(v4)) => IpNet::V4(v4),
        _ => network,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contains_single_addresses_and_ranges_of_both_families() {
        let networks = Networks::parse("10.0.0.7/8, 192.0.2.1 ,2001:db8::/32,::1").unwrap();
        for inside in ["10.255.0.1", "192.0.2.1", "2001:db8:1::5", "::1", "::ffff:10.1.2.3"] {
            assert!(networks.contains(inside.parse().unwrap()), "{inside}");
        }
        for outside in ["11.0.0.1", "192.0.2.2", "2001:db9::1", "::2"] {
            assert!(!networks.contains(outside.parse().unwrap()), "{outside}");
        }
    }

    #[test]
    fn understands_ranges_of_mapped_addresses() {
        let networks = Networks::parse("::ffff:10.0.0.0/104").unwrap();
        assert!(networks.contains("10.9.9.9".parse().unwrap()));
        assert!(!networks.contains("11.0.0.1".parse().unwrap()));
    }

    #[test]
    fn says_which_entry_is_no_network() {
        assert_eq!(Networks::parse("10.0.0.0/8,10.0.0.0/33"), Err("10.0.0.0/33".to_owned()));
        assert_eq!(Networks::parse("localhost"), Err("localhost".to_owned()));
        assert!(Networks::parse(" , ").unwrap().is_empty());
    }
}
