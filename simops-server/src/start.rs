//! From configuration to a running server, and to its end.

use std::io::{ErrorKind, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use simops::control::Environment;
use simops::jobs::Timers;
use simops::llm::Router;
use simops::notify::Deliver;
use simops::ops::{EvaluateAlerts, Ops, OpsOptions, ReportWriter, WeeklyDigest};
use simops::usage::expiry::keep_expiring;
use simops::usage::open_counter;
use simops::{Clock, Error, Result, SystemClock};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::{info, warn};

use crate::access::Token;
use crate::config::{Config, HostKind};
use crate::serve::serve;
use crate::{app, worker};

/// From the signal to the end, at most.
const END_WITHIN: Duration = Duration::from_secs(9);
/// Model calls under way get so long to be booked; after that their leases expire into rows.
const BOOK_WITHIN: Duration = Duration::from_secs(3);

/// Runs a server until `shutdown` completes. Says on `out` where the console is.
///
/// # Errors
/// One sentence about what keeps it from starting.
pub async fn start(
    mut config: Config,
    mut out: impl Write,
    shutdown: impl Future<Output = ()>,
) -> Result<()> {
    let listener = bind(&config.listen).await?;
    let address = listener.local_addr().map_err(|error| {
        Error::unavailable("the address listened on is unknown").with_source(error)
    })?;
    let store = config.database.open().await?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let redis_url = config.redis_url.as_deref();
    let counter = open_counter(store.clone(), redis_url, Arc::clone(&clock)).await?;
    let options = OpsOptions {
        environment: config.environment,
        write_enabled: config.write_enabled,
        registry: Arc::clone(&config.registry),
        output_folder: config.output_folder.clone(),
        alerts: config.alerts.clone(),
        digest_gate: config.digest_gate,
        digest_schedule: config.digest_schedule,
    };
    let ops = Arc::new(Ops::new(Arc::clone(&store), Arc::clone(&clock), options));
    let generated = generated_token(&mut config)?;
    let app = app(Arc::clone(&ops), config.access.clone(), config.ingest.clone())?;

    let (leave, leaving) = watch::channel(false);
    let deliver = Deliver::new(Arc::clone(&store), Arc::clone(&clock), config.sinks.clone());
    let timers = Timers::new(Arc::clone(&store))
        .with(Arc::new(EvaluateAlerts(Arc::clone(&ops))))
        .with(Arc::new(deliver))
        .with(Arc::new(WeeklyDigest(Arc::clone(&ops))))
        .with(Arc::new(ReportWriter::new(ops)));
    let timers = spawn_timers(timers, leave.subscribe());
    let router = match config.host {
        HostKind::None => None,
        HostKind::Commons => config.models.router(Arc::clone(&counter), Arc::clone(&clock))?,
    };
    let worker = match config.host {
        HostKind::None => None,
        HostKind::Commons => {
            let made = worker::commons(&config, store, &counter, &clock, router.clone());
            Some(worker::spawn(made, leaving))
        }
    };
    // Nobody may be there to read it.
    let _ = announce(&mut out, address, generated.as_deref());
    info!(%address, environment = config.environment.as_str(), version = simops::VERSION, "serving");

    let (began_to_end, ending) = tokio::sync::oneshot::channel();
    let served = serve(listener, app, async {
        shutdown.await;
        let _ = began_to_end.send(());
    });
    let end = async {
        served.await;
        leave.send_replace(true);
        let _ = timers.await;
        if let Some(worker) = worker {
            let _ = worker.await;
        }
        if let Some(router) = router {
            book_the_rest(&router).await;
        }
        counter.close().await;
    };
    tokio::select! {
        () = end => info!("ended"),
        () = too_late(ending) => warn!("the end took too long and was cut short"),
        // Also without a worker here: those of other processes may die.
        () = keep_expiring(&*counter, &*clock) => {}
    }
    Ok(())
}

/// Runs timers whenever this process has that duty, until it leaves.
fn spawn_timers(timers: Timers, mut leaving: watch::Receiver<bool>) -> JoinHandle<()> {
    tokio::spawn(timers.run(async move {
        // The sender's end means the same.
        let _ = leaving.wait_for(|leaving| *leaving).await;
    }))
}

/// Waits a while for model calls under way.
async fn book_the_rest(router: &Router) {
    if let Err(unbooked) = router.flush(BOOK_WITHIN).await {
        warn!(unbooked, "model calls were not booked in time; their leases will expire");
    }
}

async fn too_late(ending: tokio::sync::oneshot::Receiver<()>) {
    match ending.await {
        Ok(()) => tokio::time::sleep(END_WITHIN).await,
        // The server ended without a signal.
        Err(_) => std::future::pending().await,
    }
}

async fn bind(addresses: &[SocketAddr]) -> Result<TcpListener> {
    TcpListener::bind(addresses).await.map_err(|error| {
        let address = addresses.first().map(ToString::to_string).unwrap_or_default();
        let why = match error.kind() {
            ErrorKind::AddrInUse => "is in use by another program".to_owned(),
            ErrorKind::AddrNotAvailable => "is no address of this machine".to_owned(),
            ErrorKind::PermissionDenied => "needs a permission that is missing here".to_owned(),
            _ => format!("cannot be listened on ({error})"),
        };
        let text = format!("SIMOPS_LISTEN: {address} {why}; choose another ADDRESS:PORT");
        Error::unavailable(text).with_source(error)
    })
}

/// In development without a token, one is made; its text is told once.
fn generated_token(config: &mut Config) -> Result<Option<String>> {
    let wanted = config.environment == Environment::Development && config.access.enabled;
    if !wanted || config.access.token.is_some() {
        return Ok(None);
    }
    let text = Token::generate().map_err(|error| {
        Error::unavailable("no token can be generated; set ADMIN_API_TOKEN").with_source(error)
    })?;
    config.access.token = Some(Token::new(&text));
    Ok(Some(text))
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
