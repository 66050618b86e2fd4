//! The database, its schema, clock and pool, and Redis.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::SignedDuration;
use simops::SystemClock;
use simops::store::RunStore;
use simops::usage::open_counter;
use simops_database::{Kind, ServerInfo};

use super::Report;
use crate::database::open_to_read;
use crate::exit::Failure;
use crate::globals::OnDatabase;

/// Clocks that differ by more make reports hard to read.
const SKEW: SignedDuration = SignedDuration::from_secs(2);
/// Hosts whose clocks differ by more seem lost to others.
const GREAT_SKEW: SignedDuration = SignedDuration::from_secs(10);
/// A write that takes longer slows every turn.
const SLOW: Duration = Duration::from_millis(200);
/// A log that has grown while something read for long.
const LARGE_LOG_BYTES: u64 = 256 << 20;
/// Open files that a server with few visitors needs.
const FEW_FILES: u64 = 1_024;
/// Processes that a small deployment has.
const PROCESSES: i64 = 4;

/// Returns whether the database is marked as production; one that cannot be read is not.
///
/// # Errors
/// When the address itself is wrong.
pub(super) async fn examine(report: &mut Report, on: OnDatabase<'_>) -> Result<bool, Failure> {
    let database = on.database()?;
    let opened = match database.kind() {
        Kind::Postgres => database.open_with_info().await.map_err(Failure::from),
        Kind::Sqlite | Kind::SqliteMemory => {
            open_to_read(&database).await.map(|store| (store, None))
        }
    };
    let (store, examination) = match opened {
        Ok(opened) => opened,
        Err(failure) => {
            let advice = "see DATABASE_URL: is the server up, reachable from here, and does the \
                          database exist?";
            report.failed("database", failure.to_string(), advice);
            return Ok(false);
        }
    };
    report.ok("database", format!("{} opens", store.backend()));
    writes(report, &store).await;
    disk(report, &store);
    open_files(report);
    if let Some(examination) = examination {
        server(report, &examination);
    }
    redis(report, &store, on.0.redis_url.as_deref()).await;
    Ok(store.load().await.is_ok_and(|control| control.production_mark))
}

fn disk(report: &mut Report, store: &Arc<dyn RunStore>) {
    let Some(disk) = store.disk_space() else {
        let found = "not known: the database does not tell its free space";
        report.ok("disk", found);
        return;
    };
    let mib = |bytes: u64| bytes >> 20;
    let (free, total, log) = (mib(disk.free_bytes), mib(disk.total_bytes), mib(disk.log_bytes));
    let found = format!("{free} of {total} MiB free; the log has {log} MiB");
    if disk.room(disk.default_reserve()) == 0 {
        let advice = "delete other files, or enlarge the disk: visitors' events are refused, so that \
                      run control can be recorded";
        report.warning("disk", found, advice);
    } else if disk.log_bytes > LARGE_LOG_BYTES {
        report.warning("disk", found, "a long read keeps the log from shrinking; find what reads");
    } else {
        report.ok("disk", found);
    }
}

/// The limit of this process is that of a server that is started in the same way.
fn open_files(report: &mut Report) {
    let limits = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let open = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    let limit = limits.maximum.or(limits.current);
    let limit = limit.unwrap_or(u64::MAX);
    let found = format!("{open} of {limit} in use by this command; a server may use as many");
    if limit < FEW_FILES {
        let advice = "raise it (LimitNOFILE of systemd, ulimit -n): each connection takes one";
        report.warning("open files", found, advice);
    } else {
        report.ok("open files", found);
    }
}

async fn writes(report: &mut Report, store: &Arc<dyn RunStore>) {
    let asked = Instant::now();
    let pinged = store.ping().await;
    let took = asked.elapsed();
    match pinged {
        Ok(()) if took < SLOW => report.ok("writes", format!("answered in {took:.1?}")),
        Ok(()) => report.warning(
            "writes",
            format!("answered in {took:.1?}"),
            "every turn waits for that: move the database closer, or give it a faster disk",
        ),
        Err(error) => report.failed("writes", error.to_string(), "check its disk and its rights"),
    }
}

fn server(report: &mut Report, found: &ServerInfo) {
    let ServerInfo { server_version, schema_version, .. } = found;
    report.ok("migrations", format!("schema {schema_version} on Postgres {server_version}"));
    let ahead = found.clock_ahead;
    let skew = format!("the database is {ahead:#} ahead of this machine");
    let advice = "let every machine follow a time server (chrony, systemd-timesyncd)";
    match ahead.abs() {
        far if far >= GREAT_SKEW => report.failed("clock", skew, advice),
        far if far >= SKEW => report.warning("clock", skew, advice),
        _ => report.ok("clock", format!("within {SKEW:#} of the database's")),
    }
    let (pool, all) = (i64::from(found.pool_connections), found.server_connections);
    // One more listens.
    let wanted = (pool + 1) * PROCESSES;
    let used = found.server_connections_used;
    let connections = format!(
        "{used} of {all} connections of the server in use; a process takes up to {}",
        pool + 1
    );
    if found.pooled || wanted <= all {
        report.ok("pool", connections);
    } else {
        let advice = format!(
            "{PROCESSES} processes may want {wanted}: lower DATABASE_MAX_CONNECTIONS, raise the \
             server's max_connections, or put PgBouncer between"
        );
        report.warning("pool", connections, advice);
    }
    match (found.pooled, found.notified) {
        (false, _) => report.ok("pooler", "none in transaction mode; changes are notified"),
        (true, true) => {
            report.ok("pooler", "in transaction mode; notifications use a connection of their own");
        }
        (true, false) => report.warning(
            "pooler",
            "in transaction mode; changes are polled ten times a second",
            "set DATABASE_DIRECT_URL to the address past the pooler",
        ),
    }
    if found.durable {
        report.ok("durability", "what is acknowledged is on disk");
    } else {
        report.failed(
            "durability",
            "fsync or synchronous_commit is off: a power cut loses acknowledged writes",
            "turn both on in the server's configuration",
        );
    }
    let mib = found.bytes / (1 << 20);
    report.ok(
        "size",
        format!("{mib} MiB; `simops-cli prune --older-than 90d --dry-run` counts the rows that it could delete"),
    );
}

async fn redis(report: &mut Report, store: &Arc<dyn RunStore>, url: Option<&str>) {
    let Some(url) = url else {
        report.ok("redis", "none: calls are counted in the database");
        return;
    };
    let advice = "see REDIS_URL: until Redis is back, calls are counted in the database";
    let counter = open_counter(Arc::clone(store) as _, Some(url), Arc::new(SystemClock)).await;
    match counter {
        Ok(counter) => {
            let health = counter.health();
            counter.close().await;
            match health.last_error {
                Some(error) => report.failed("redis", error, advice),
                None => report.ok("redis", format!("calls are counted in {}", health.backend)),
            }
        }
        Err(error) => report.failed("redis", error.to_string(), advice),
    }
}
