//! Finds the server that counts. Sentinels or nodes of a cluster are asked before each new
//! connection, because a failover changes the answer.

use ::redis::aio::MultiplexedConnection;
use ::redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionInfo, ErrorKind, FromRedisValue, RedisError,
    Value, cmd,
};

use super::address::{Address, Kind, as_anyone, in_first_database, sibling};

type Result<T> = std::result::Result<T, RedisError>;

/// The server that holds `tag`, a hash tag in braces.
///
/// # Errors
/// The error of the last node that was asked, if no node knows the server.
pub(super) async fn locate(
    address: &Address,
    tag: &str,
    config: &AsyncConnectionConfig,
) -> Result<ConnectionInfo> {
    let mut failed = None;
    for node in &address.nodes {
        let located = match &address.kind {
            Kind::Server => return Ok(node.clone()),
            Kind::Sentinels(master) => by_sentinel(node, master, config).await,
            Kind::Cluster => by_cluster(node, tag, config).await,
        };
        match located {
            Ok(server) => return Ok(server),
            Err(error) => failed = Some(error),
        }
    }
    Err(failed.unwrap_or_else(|| unknown("no node is named", String::new())))
}

/// A connection to the server at `info`.
pub(super) async fn connect(
    info: ConnectionInfo,
    config: &AsyncConnectionConfig,
) -> Result<MultiplexedConnection> {
    Client::open(info)?.get_multiplexed_async_connection_with_config(config).await
}

async fn by_sentinel(
    node: &ConnectionInfo,
    master: &str,
    config: &AsyncConnectionConfig,
) -> Result<ConnectionInfo> {
    let mut ask = cmd("SENTINEL");
    ask.arg("get-master-addr-by-name").arg(master);
    let master_at: Option<(String, u16)> = match answer(as_anyone(node), &ask, config).await {
        // Some sentinels require the password.
        Err(error) if error.code() == Some("NOAUTH") => {
            answer(in_first_database(node), &ask, config).await?
        }
        answered => answered?,
    };
    let (host, port) =
        master_at.ok_or_else(|| unknown("the sentinels know no master", master.to_owned()))?;
    Ok(sibling(node, &host, port))
}

async fn by_cluster(
    node: &ConnectionInfo,
    tag: &str,
    config: &AsyncConnectionConfig,
) -> Result<ConnectionInfo> {
    let mut connection = connect(node.clone(), config).await?;
    let mut ask = ::redis::pipe();
    ask.cmd("CLUSTER").arg("KEYSLOT").arg(tag).cmd("CLUSTER").arg("SLOTS");
    let (slot, ranges): (i64, Vec<Vec<Value>>) = ask.query_async(&mut connection).await?;
    for range in ranges {
        let [first, last, owner, ..] = range.as_slice() else { continue };
        let (first, last) = (i64::from_redis_value_ref(first)?, i64::from_redis_value_ref(last)?);
        if (first..=last).contains(&slot) {
            let Value::Array(owner) = owner else { break };
            let [host, port, ..] = owner.as_slice() else { break };
            let host = Option::<String>::from_redis_value_ref(host)?.unwrap_or_default();
            let port = u16::from_redis_value_ref(port)?;
            // A node that does not know its own name is the one that was asked.
            let own = matches!(host.as_str(), "" | "?");
            return Ok(if own { node.clone() } else { sibling(node, &host, port) });
        }
    }
    Err(unknown("no node of the cluster owns the slot", slot.to_string()))
}

async fn answer<T: FromRedisValue>(
    node: ConnectionInfo,
    ask: &Cmd,
    config: &AsyncConnectionConfig,
) -> Result<T> {
    ask.query_async(&mut connect(node, config).await?).await
}

fn unknown(what: &'static str, detail: String) -> RedisError {
    (ErrorKind::InvalidClientConfig, what, detail).into()
}
