//! Logs on stderr, next to the messages: a worker logs what it does, other commands only errors.

use std::io::{IsTerminal, stderr};

use clap::ValueEnum;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::layer;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One object per line.
    Json,
}

/// Begins to log what `filter` lets through.
pub(crate) fn begin(filter: Targets, format: LogFormat) {
    let registry = tracing_subscriber::registry().with(filter);
    let layer = layer().with_writer(stderr).log_internal_errors(false);
    // It fails only when a logger is installed already, and none is.
    let _ = match format {
        LogFormat::Text => registry.with(layer.with_ansi(stderr().is_terminal())).try_init(),
        LogFormat::Json => registry.with(layer.json().flatten_event(true)).try_init(),
    };
}
