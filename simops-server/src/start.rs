//! Starts the server from its configuration and shuts it down.

use std::io::{ErrorKind, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use simops::control::Environment;
use simops::jobs::Timers;
use simops::llm::Router;
use simops::notify::DeliveryTimer;
use simops::ops::{DeleteExpiredResponses, EvaluateAlerts, Ops, ReportWriter, WeeklyDigest};
use simops::usage::{keep_expiring, open_counter};
use simops::{Clock, Error, Result, SystemClock};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::{info, warn};

use crate::access::{MetricsAccess, Token};
use crate::application::Application;
use crate::config::{Config, HostKind};
use crate::serve::serve;
use crate::worker;

/// Connections that wait to be accepted, if the system allows as many. Of those beyond, clients learn
/// nothing for seconds.
const BACKLOG: u32 = 16_384;
/// Time from the signal to the end of the process.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(9);
/// Time to record model calls in flight. Later their leases expire into ledger rows.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(3);

/// Runs a server until `shutdown` completes. Writes the address of the console to `out`, and the
/// token if one was generated.
///
/// # Errors
/// Says in one line why the server cannot start: the address, the database or Redis is unavailable
/// or unusable.
pub async fn start(
    mut config: Config,
    mut out: impl Write,
    shutdown: impl Future<Output = ()>,
) -> Result<()> {
    let listener = bind("SIMOPS_LISTEN", &config.listen)?;
    let address = listener
        .local_addr()
        .map_err(|error| Error::unavailable("the listen address is unknown").with_source(error))?;
    // It may take a while: of several processes that start at once, one migrates the database.
    let mut shutdown = pin!(shutdown);
    let store = tokio::select! {
        opened = config.database.open() => opened?,
        () = &mut shutdown => return Ok(()),
    };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let redis_url = config.redis_url.as_deref();
    let counter = open_counter(store.clone(), redis_url, Arc::clone(&clock)).await?;
    let ops = Ops::new(Arc::clone(&store), Arc::clone(&clock), config.ops.clone());
    let ops = Arc::new(ops.with_counter(Arc::clone(&counter)));
    ops.system().mark_production().await?;
    let generated = generated_token(&mut config)?;
    if config.ops.environment == Environment::Production {
        warn_of_exposure(&config, address);
    }
    let app = Application::new(Arc::clone(&ops), config.access.clone(), config.ingest.clone());

    let metrics = match config.access.metrics {
        MetricsAccess::Address(address) => Some(bind("METRICS_ACCESS", &[address])?),
        MetricsAccess::Open | MetricsAccess::Token => None,
    };

    let (stop, stopping) = watch::channel(false);
    if let Some(listener) = metrics {
        let (app, mut stopping) = (app.metrics_only(), stopping.clone());
        tokio::spawn(async move {
            let shutdown = async { drop(stopping.wait_for(|stopping| *stopping).await) };
            serve(listener, app, shutdown).await;
        });
    }
    let deliver = DeliveryTimer::new(Arc::clone(&store), Arc::clone(&clock), config.sinks.clone());
    let timers = Timers::new(Arc::clone(&store))
        .with(Arc::new(EvaluateAlerts(Arc::clone(&ops))))
        .with(Arc::new(deliver))
        .with(Arc::new(WeeklyDigest(Arc::clone(&ops))))
        .with(Arc::new(DeleteExpiredResponses(Arc::clone(&ops))))
        .with(Arc::new(ReportWriter::new(Arc::clone(&ops))));
    let timers = spawn_timers(timers, stop.subscribe());
    let (router, worker) = match config.host {
        HostKind::None => (None, None),
        HostKind::Commons => {
            let agents = Arc::clone(&store);
            let router = config.models.router(Arc::clone(&counter), agents, Arc::clone(&clock))?;
            let made = worker::commons(&config, store, &counter, &clock, router.clone());
            (router, Some(worker::spawn(made, stopping)))
        }
    };
    // Standard output may be closed.
    let _ = announce(&mut out, address, generated.as_deref());
    info!(%address, environment = config.ops.environment.as_str(), version = simops::VERSION, "serving");

    let (shutdown_began, shutting_down) = tokio::sync::oneshot::channel();
    let served = serve(listener, app, async {
        shutdown.await;
        let _ = shutdown_began.send(());
    });
    let end = async {
        served.await;
        stop.send_replace(true);
        let _ = timers.await;
        if let Some(worker) = worker {
            let _ = worker.await;
        }
        if let Some(router) = router {
            flush_pending(&router).await;
        }
        counter.close().await;
    };
    tokio::select! {
        () = end => info!("stopped"),
        () = shutdown_timeout(shutting_down) => warn!(code = "shutdown_timeout", "shutdown timed out"),
        // Also without a worker here: the leases of crashed processes must expire, and runs of foreign
        // hosts have limits, too.
        () = keep_expiring(&*counter, &*clock) => {}
        () = ops.system().keep_enforcing_run_limits() => {}
        () = ops.system().keep_counting_budgets() => {}
    }
    Ok(())
}

/// Runs each timer while this process holds its lease, until `stopping` is true.
fn spawn_timers(timers: Timers, mut stopping: watch::Receiver<bool>) -> JoinHandle<()> {
    tokio::spawn(timers.run(async move {
        // An error means that the sender is dropped, which is also a shutdown.
        let _ = stopping.wait_for(|stopping| *stopping).await;
    }))
}

/// Waits for model calls in flight to be recorded.
async fn flush_pending(router: &Router) {
    if let Err(pending) = router.flush(FLUSH_TIMEOUT).await {
        warn!(
            code = "calls_not_recorded",
            pending, "model calls not recorded; their leases will expire"
        );
    }
}

async fn shutdown_timeout(shutting_down: tokio::sync::oneshot::Receiver<()>) {
    match shutting_down.await {
        Ok(()) => tokio::time::sleep(SHUTDOWN_TIMEOUT).await,
        // The server stopped without a signal.
        Err(_) => std::future::pending().await,
    }
}

/// Listens on `address`.
fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Listens on the first of `addresses` that can be bound. `name` is the setting they come from.
fn bind(name: &str, addresses: &[SocketAddr]) -> Result<TcpListener> {
    let mut bound = Err(ErrorKind::AddrNotAvailable.into());
    for address in addresses {
        bound = listen(*address);
        if bound.is_ok() {
            break;
        }
    }
    bound.map_err(|error| {
        let address = addresses.first().map(ToString::to_string).unwrap_or_default();
        let why = match error.kind() {
            ErrorKind::AddrInUse => "is in use by another program".to_owned(),
            ErrorKind::AddrNotAvailable => "is not an address of this machine".to_owned(),
            ErrorKind::PermissionDenied => {
                "requires a permission that this process lacks".to_owned()
            }
            _ => format!("cannot be bound ({error})"),
        };
        let text = format!("{name}: {address} {why}; choose another ADDRESS:PORT");
        Error::unavailable(text).with_source(error)
    })
}

/// Generates a token in development if none is configured, and returns its text.
fn generated_token(config: &mut Config) -> Result<Option<String>> {
    let wanted = config.ops.environment == Environment::Development && config.access.enabled;
    if !wanted || config.access.token.is_some() {
        return Ok(None);
    }
    let text = Token::generate().map_err(|error| {
        Error::unavailable("no token can be generated; set ADMIN_API_TOKEN").with_source(error)
    })?;
    config.access.token = Some(Token::new(&text));
    Ok(Some(text))
}

/// Names what makes the admin API of a server in production easy to reach, or useless.
fn warn_of_exposure(config: &Config, address: SocketAddr) {
    let access = &config.access;
    if !address.ip().is_loopback() {
        warn!(
            code = "listens_beyond_loopback",
            %address,
            "SIMOPS_LISTEN is reachable from other machines: put a proxy with TLS in front of it"
        );
    }
    if access.enabled && access.allowlist.is_empty() {
        warn!(
            code = "no_allowlist",
            "ADMIN_IP_ALLOWLIST is empty: any address may read with the token, and writes are refused"
        );
    }
    if access.enabled && access.token.is_none() {
        warn!(code = "no_token", "ADMIN_API_TOKEN is not set: admin paths return 503");
    }
}

fn announce(out: &mut impl Write, address: SocketAddr, token: Option<&str>) -> std::io::Result<()> {
    let mut shown = address;
    match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => shown.set_ip(Ipv4Addr::LOCALHOST.into()),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => shown.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    writeln!(out, "Console  http://{shown}/ops")?;
    if let Some(token) = token {
        writeln!(out, "Token    {token}")?;
    }
    out.flush()
}
