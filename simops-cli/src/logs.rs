//! Logs on stderr, beside the messages: a worker tells what it does, other commands what is wrong.

use std::io::{IsTerminal, stderr};

use clap::ValueEnum;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::layer;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::args::Invocation;

/// How a line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One object per line.
    Json,
}

/// Begins to log.
pub(crate) fn begin(invocation: &Invocation) {
    let is_worker = invocation.command.is_long_running();
    let level = if is_worker { LevelFilter::INFO } else { LevelFilter::ERROR };
    let filter = invocation.globals.log.clone();
    let filter = filter.unwrap_or_else(|| Targets::new().with_default(level));
    let registry = tracing_subscriber::registry().with(filter);
    let layer = layer().with_writer(stderr).log_internal_errors(false);
    // It fails only when something logs already, and nothing does.
    let _ = match invocation.globals.log_format {
        LogFormat::Text => registry.with(layer.with_ansi(stderr().is_terminal())).try_init(),
        LogFormat::Json => registry.with(layer.json().flatten_event(true)).try_init(),
    };
}
