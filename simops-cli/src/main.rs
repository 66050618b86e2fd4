//! `simops-cli`: simops from a terminal.
//!
//! Arguments become a [`request::Request`], a [`target::Target`] (a database or a server) answers
//! it, and the answer is printed as JSON. Rules live in the library, not here.

mod args;
mod commands;
mod database;
mod exit;
mod logs;
mod print;
mod progress;
mod request;
mod signal;
mod target;

use std::process::ExitCode;
use std::time::Duration;

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
    logs::begin(&invocation);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("the runtime cannot start: {error}")))?;
    let result = runtime.block_on(commands::run(invocation));
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}
