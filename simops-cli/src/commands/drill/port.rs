//! Addresses of servers that a drill stops and starts again.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use crate::exit::Failure;

/// Below the ports that Linux gives to outgoing connections (32768 and up), so that no connection
/// occupies the port while its server is stopped.
const FIRST: u16 = 10_000;
const COUNT: u16 = 20_000;

/// An address of this machine that no program listens on.
pub(super) fn free_address() -> Result<SocketAddr, Failure> {
    let start = std::process::id().wrapping_mul(61);
    let ports = (0..COUNT).map(|next| {
        let offset = start.wrapping_add(next.into()) % u32::from(COUNT);
        FIRST + u16::try_from(offset).unwrap_or(0)
    });
    let mut addresses = ports.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    let is_free = |address: &SocketAddr| TcpListener::bind(address).is_ok();
    addresses.find(is_free).ok_or_else(|| Failure::new("there is no free port"))
}
