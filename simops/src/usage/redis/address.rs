//! The Redis that a URL names: one server, the master that sentinels name, or a node of a cluster.

use ::redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo};

use crate::{Error, Result};

/// The address of a Redis.
#[derive(Debug, Clone)]
pub(crate) struct Address {
    pub(super) kind: Kind,
    /// The server, or the nodes that know it.
    pub(super) nodes: Vec<ConnectionInfo>,
}

/// What the nodes of an address are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// The server itself.
    Server,
    /// Sentinels, which know the master of this name.
    Sentinels(String),
    /// Some nodes of a cluster, which know the others.
    Cluster,
}

impl Address {
    /// Parses a URL: `redis://` names a server, `redis-sentinel://` sentinels, `redis-cluster://` a
    /// cluster; `rediss` in place of `redis` means TLS.
    ///
    /// # Errors
    /// `Invalid` if the URL has another form. The message does not repeat it, because it may contain
    /// a password.
    pub(crate) fn parse(url: &str) -> Result<Self> {
        read(url.trim()).ok_or_else(|| {
            Error::invalid(
                "REDIS_URL",
                "must be redis://[[user]:password@]host[:port][/database], or with several hosts \
                 redis-sentinel://[[user]:password@]host:port,host:port/master[/database] or \
                 redis-cluster://[[user]:password@]host:port,host:port; rediss for TLS",
            )
        })
    }

    /// The hosts, without secrets.
    pub(crate) fn shown(&self) -> String {
        let nodes: Vec<_> = self.nodes.iter().map(|node| node.addr().to_string()).collect();
        let nodes = nodes.join(",");
        match &self.kind {
            Kind::Sentinels(master) => format!("{master} of {nodes}"),
            Kind::Server | Kind::Cluster => nodes,
        }
    }
}

fn read(url: &str) -> Option<Address> {
    let (scheme, rest) = url.split_once("://")?;
    let (scheme, kind) = match scheme.split_once('-') {
        None => {
            let nodes = vec![url.into_connection_info().ok()?];
            return Some(Address { kind: Kind::Server, nodes });
        }
        Some((scheme @ ("redis" | "rediss"), kind)) => (scheme, kind),
        Some(_) => return None,
    };
    let (credentials, rest) = match rest.rsplit_once('@') {
        Some((credentials, rest)) => (format!("{credentials}@"), rest),
        None => (String::new(), rest),
    };
    let mut path = rest.split('/');
    let hosts = path.next()?.split(',');
    let path: Vec<_> = path.filter(|part| !part.is_empty()).collect();
    let (kind, database) = match (kind, path.as_slice()) {
        ("sentinel", [master]) => (Kind::Sentinels((*master).to_owned()), "0"),
        ("sentinel", [master, database]) => (Kind::Sentinels((*master).to_owned()), *database),
        // A cluster has only this database.
        ("cluster", [] | ["0"]) => (Kind::Cluster, "0"),
        _ => return None,
    };
    let node = |host: &str| {
        let url = format!("{scheme}://{credentials}{host}/{database}");
        let names_a_host = !host.trim().is_empty() && !host.starts_with(':');
        names_a_host.then(|| url.into_connection_info().ok()).flatten()
    };
    let nodes = hosts.map(node).collect::<Option<Vec<_>>>()?;
    Some(Address { kind, nodes })
}

/// Another node at `host`, reached like `node` and with its credentials.
pub(super) fn sibling(node: &ConnectionInfo, host: &str, port: u16) -> ConnectionInfo {
    let host = host.to_owned();
    let addr = match node.addr().clone() {
        ConnectionAddr::TcpTls { insecure, tls_params, .. } => {
            ConnectionAddr::TcpTls { host, port, insecure, tls_params }
        }
        ConnectionAddr::Tcp(..) | ConnectionAddr::Unix(_) | _ => ConnectionAddr::Tcp(host, port),
    };
    node.clone().set_addr(addr)
}

/// The same node without credentials: sentinels usually have none.
pub(super) fn as_anyone(node: &ConnectionInfo) -> ConnectionInfo {
    node.clone().set_redis_settings(RedisConnectionInfo::default())
}

/// The same node with its credentials, in database 0, which every server has.
pub(super) fn in_first_database(node: &ConnectionInfo) -> ConnectionInfo {
    node.clone().set_redis_settings(node.redis_settings().clone().set_db(0))
}

#[cfg(test)]
mod tests;
