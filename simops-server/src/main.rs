//! The simops server binary.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Parser;
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
    read_env_file(Path::new(".env"))?;
    let config = Config::resolve(&Args::parse(), |name| std::env::var(name).ok())?;
    logs::init(&config.log, config.log_format)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.context("cannot start the runtime")?.block_on(async {
        let shutdown = shutdown().context("cannot listen for signals")?;
        Ok(start(config, std::io::stdout(), shutdown).await?)
    })
}

/// Sets the variables of the file that the environment does not set.
fn read_env_file(path: &Path) -> anyhow::Result<()> {
    match dotenvy::from_path(path) {
        Ok(()) => Ok(()),
        Err(error) if error.not_found() => Ok(()),
        // The line is not shown: it may hold a secret.
        Err(dotenvy::Error::LineParse(..)) => bail!(".env has a line that is not NAME=value"),
        Err(error) => Err(error).context(".env cannot be read"),
    }
}
