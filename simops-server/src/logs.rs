//! Logs on stderr, as text or JSON.

use std::io::{IsTerminal, stderr};

use simops::{Error, Result};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::layer;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Text for a person.
    Text,
    /// One JSON object per line.
    Json,
}

/// Installs the process-wide logger and a panic hook that logs.
///
/// # Errors
/// `Invalid` if `filter` is not a list of levels and `TARGET=LEVEL` pairs; `Internal` if a logger
/// is installed already.
pub fn init(filter: &str, format: LogFormat) -> Result<()> {
    let targets: Targets = filter.parse().map_err(|_| {
        let allowed = "must be a level (error, warn, info, debug, trace, off) or TARGET=LEVEL,…";
        Error::invalid("SIMOPS_LOG", format!("{filter:?} is not allowed; {allowed}"))
    })?;
    let registry = tracing_subscriber::registry().with(targets);
    let layer = layer().with_writer(stderr);
    let initialised = match format {
        LogFormat::Text => registry.with(layer.with_ansi(stderr().is_terminal())).try_init(),
        LogFormat::Json => registry.with(layer.json().flatten_event(true)).try_init(),
    };
    initialised
        .map_err(|error| Error::internal("a logger is installed already").with_source(error))?;
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        tracing::error!(code = "panic", place, "panic: {}", panic.payload_as_str().unwrap_or("?"));
    }));
    Ok(())
}
