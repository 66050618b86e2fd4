//! `simops-cli`: simops from a terminal.
//!
//! Each command asks a [`target::Target`] (a database or a server) for what its arguments say, and
//! [`print`](mod@print) shows the result. The rules are the library's.

mod cli;
mod commands;
mod database;
mod exit;
mod globals;
mod logs;
mod print;
mod progress;
mod signal;
mod target;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use simops_database::env_file;
use tracing_subscriber::filter::{LevelFilter, Targets};

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
    // Before the first thread starts, because it sets environment variables.
    let file_variables = env_file::load(Path::new(".env"))?;
    let (globals, command) = cli::parse(file_variables)?;
    let level = if command.is_long_running() { LevelFilter::INFO } else { LevelFilter::ERROR };
    let filter = globals.simops_log.clone().unwrap_or_else(|| Targets::new().with_default(level));
    logs::begin(filter, globals.simops_log_format);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("the runtime cannot start: {error}")))?;
    let result = runtime.block_on(commands::run(&globals, command, cli::command));
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}
