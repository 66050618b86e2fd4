//! Logs on stderr: text for a person, or one JSON object per line.

use std::io::IsTerminal;

use simops::{Error, Result};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::layer;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::LogFormat;

/// Begins to log what `filter` lets through, panics included.
///
/// # Errors
/// `Invalid` for a filter that is none; `Internal` when something logs already.
pub fn begin(filter: &str, format: LogFormat) -> Result<()> {
    let targets: Targets = filter.parse().map_err(|_| {
        let allowed = "must be a level (error, warn, info, debug, trace, off) or TARGET=LEVEL,…";
        Error::invalid("SIMOPS_LOG", format!("{filter:?} is not allowed; {allowed}"))
    })?;
    let registry = tracing_subscriber::registry().with(targets);
    let begun = match format {
        LogFormat::Text => {
            let colours = std::io::stderr().is_terminal();
            registry.with(layer().with_writer(std::io::stderr).with_ansi(colours)).try_init()
        }
        LogFormat::Json => {
            let json = layer().json().flatten_event(true).with_writer(std::io::stderr);
            registry.with(json).try_init()
        }
    };
    begun.map_err(|error| Error::internal("logging has begun already").with_source(error))?;
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        tracing::error!(place, "panic: {}", panic.payload_as_str().unwrap_or("?"));
    }));
    Ok(())
}
