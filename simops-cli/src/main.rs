//! `simops-cli`: simops from a terminal.
//!
//! Arguments become a [`request::Request`], a [`target::Target`] (a database or a server) answers
//! it, and the answer is printed as JSON. Rules live in the library, not here.

mod args;
mod commands;
mod database;
mod exit;
mod print;
mod request;
mod signal;
mod target;

use std::process::ExitCode;
use std::time::Duration;

use tracing_subscriber::EnvFilter;

use crate::args::Invocation;
use crate::exit::Failure;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            print::failure(&failure);
            failure.code()
        }
    }
}

fn run() -> Result<(), Failure> {
    args::read_dotenv()?;
    let invocation = args::parse()?;
    log_to_stderr(&invocation);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("the runtime cannot start: {error}")))?;
    let result = runtime.block_on(commands::run(invocation));
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

/// A worker tells what it does; other commands only what is wrong. `RUST_LOG` changes both.
fn log_to_stderr(invocation: &Invocation) {
    let level = if invocation.command.is_long_running() { "info" } else { "error" };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .log_internal_errors(false)
        .init();
}
