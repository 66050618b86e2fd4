//! The connection to Redis: one, shared, and only to the expected server.
//!
//! It never reconnects automatically: a new connection may lead to another server, which must be
//! identified before it is trusted.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::{AsyncConnectionConfig, FromRedisValue, RedisError, ScriptInvocation};

use super::address::Address;
use super::locate::{connect, locate};
use crate::{Error, Result};

const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
const RESPONSE_TIMEOUT: Duration = Duration::from_millis(300);

/// A connection, and the server that it leads to.
struct Connected {
    connection: MultiplexedConnection,
    server: String,
}

pub(crate) struct Link {
    address: Address,
    /// The address, without secrets.
    pub(crate) shown: String,
    /// The hash tag of the keys.
    tag: String,
    config: AsyncConnectionConfig,
    current: Mutex<Option<Arc<Connected>>>,
    connecting: tokio::sync::Mutex<()>,
}

impl Link {
    /// A link to the server of `address` that holds `tag`. It is not connected yet.
    pub(super) fn new(address: Address, tag: String) -> Self {
        // This fails if the program has installed a provider already, which works as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(RESPONSE_TIMEOUT));
        let (current, connecting) = (Mutex::default(), tokio::sync::Mutex::default());
        Self { shown: address.shown(), address, tag, config, current, connecting }
    }

    /// The server that answers now, by a new connection.
    pub(crate) async fn server(&self) -> Result<String> {
        self.forget();
        Ok(self.connected().await?.server.clone())
    }

    /// Fails unless `server` answers, and is still a master.
    pub(crate) async fn check(&self, server: &str) -> Result<()> {
        let connected = self.to(server).await?;
        let now = identify(&mut connected.connection.clone()).await;
        match now {
            Ok(now) if now == server => Ok(()),
            Ok(_) => Err(self.replaced()),
            Err(error) => Err(self.failed(&error)),
        }
    }

    /// Runs a script on `server`. A connection that fails is replaced once.
    pub(super) async fn run<T: FromRedisValue>(
        &self,
        server: &str,
        call: &ScriptInvocation<'_>,
    ) -> Result<T> {
        let mut again = true;
        loop {
            let connected = self.to(server).await?;
            match call.invoke_async(&mut connected.connection.clone()).await {
                Ok(answer) => return Ok(answer),
                Err(error) => {
                    let failed = self.failed(&error);
                    if !std::mem::take(&mut again) || !is_of_connection(&error) {
                        return Err(failed);
                    }
                }
            }
        }
    }

    async fn to(&self, server: &str) -> Result<Arc<Connected>> {
        let connected = self.connected().await?;
        if connected.server == server { Ok(connected) } else { Err(self.replaced()) }
    }

    async fn connected(&self) -> Result<Arc<Connected>> {
        if let Some(connected) = self.locked().clone() {
            return Ok(connected);
        }
        let _one_at_a_time = self.connecting.lock().await;
        if let Some(connected) = self.locked().clone() {
            return Ok(connected);
        }
        let connecting = async {
            let server = locate(&self.address, &self.tag, &self.config).await?;
            let mut connection = connect(server, &self.config).await?;
            let server = identify(&mut connection).await?;
            Ok(Arc::new(Connected { connection, server }))
        };
        let connected = connecting.await.map_err(|error: RedisError| self.failed(&error))?;
        *self.locked() = Some(Arc::clone(&connected));
        Ok(connected)
    }

    fn forget(&self) {
        *self.locked() = None;
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, Option<Arc<Connected>>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn replaced(&self) -> Error {
        self.forget();
        let address = &self.shown;
        Error::unavailable(format!("Redis at {address} was restarted, or another server took over"))
    }

    fn failed(&self, error: &RedisError) -> Error {
        if is_of_connection(error) {
            self.forget();
        }
        let (address, why) = (&self.shown, why(error));
        Error::unavailable(format!("Redis at {address} {why}"))
    }
}

/// Whether a new connection may succeed.
fn is_of_connection(error: &RedisError) -> bool {
    error.is_io_error() || error.is_timeout() || error.is_connection_dropped()
}

fn why(error: &RedisError) -> String {
    if error.is_timeout() {
        return "does not answer in time".to_owned();
    }
    if error.is_connection_refusal() {
        return "refuses connections".to_owned();
    }
    if is_of_connection(error) {
        return format!("was cut off: {error}");
    }
    format!("fails: {error}")
}

/// Identifies a server by what changes when it is restarted, or when a replica takes over.
async fn identify(connection: &mut MultiplexedConnection) -> Result<String, RedisError> {
    let mut ask = ::redis::pipe();
    ask.cmd("INFO").arg("server").cmd("INFO").arg("replication");
    let (server, replication): (String, String) = ask.query_async(connection).await?;
    let field = |text: &str, name: &str| {
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        value.unwrap_or_default().trim().to_owned()
    };
    let role = field(&replication, "role");
    if role != "master" {
        let text = "it is a replica, which cannot be written";
        return Err((::redis::ErrorKind::InvalidClientConfig, text).into());
    }
    Ok(format!("{}.{}", field(&server, "run_id"), field(&replication, "master_replid")))
}
