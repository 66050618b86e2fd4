//! The simops server binary.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use simops_database::env_file;
use simops_server::config::{Args, Config};
use simops_server::{logs, shutdown, start};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let line = format!("{error:#}").replace(['\n', '\r'], " ");
            let _ = writeln!(std::io::stderr(), "simops-server: {line}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    // Before the first thread starts, because it sets environment variables.
    let file_variables = env_file::load(Path::new(".env"))?;
    let config = Config::resolve(&Args::parse(), |name| std::env::var(name).ok())?;
    file_variables.check_providers(&config.models.providers)?;
    file_variables.check_database(&config.database)?;
    logs::init(&config.log, config.log_format)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.context("cannot start the runtime")?.block_on(async {
        let shutdown = shutdown().context("cannot listen for signals")?;
        Ok(start(config, std::io::stdout(), shutdown).await?)
    })
}
