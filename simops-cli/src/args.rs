//! Arguments and environment, resolved: flags win over the environment, the environment over
//! `.env`, and an empty variable counts as unset.

use std::path::{Path, PathBuf};

use clap::builder::Resettable;
use clap::parser::ValueSource;
use clap::{Args, CommandFactory, FromArgMatches, Parser};
use simops::control::{Environment, WriteGate, WritePolicy};
use simops::ops::actor_name;
use simops_database::DatabaseArgs;
use tracing_subscriber::filter::Targets;

use crate::commands::Command;
use crate::exit::Failure;
use crate::logs::LogFormat;

const EXAMPLES: &str = "\
Examples:
  simops-cli run status
  simops-cli run start --mode test --reset-world --reason 'first try'
  simops-cli --url https://sim.example.org run pause --reason 'cost check'
  simops-cli config set AGENT_LOOP_DELAY_SECONDS=120
  simops-cli guardrail backtest --since 7d
  simops-cli baseline --windows 24
  simops-cli worker --speed 20

A command works on the database of --database-url, or on the server of --url if one is given.
Answers are JSON on stdout, messages go to stderr. Exit codes: 0 done, 1 failed, 2 wrong usage.
A .env file in the working directory is read; the real environment wins over it.";

/// Operate simops: run controls, settings, audit trail, events, usage, agents and workers.
#[derive(Parser)]
#[command(name = "simops-cli", version, after_help = EXAMPLES, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

/// What every command takes. Texts that may hold a secret are checked later, where the message
/// does not quote them.
#[derive(Args)]
#[command(next_help_heading = "Target")]
pub(crate) struct Globals {
    #[command(flatten)]
    pub(crate) database: DatabaseArgs,

    /// Count model calls in this Redis, as the other processes of the database do
    #[arg(long, global = true, env = "REDIS_URL", hide_env_values = true, value_name = "URL")]
    pub(crate) redis_url: Option<String>,

    /// Work on this server instead of a database
    #[arg(long, global = true, env = "SIMOPS_URL", hide_env_values = true, value_name = "URL")]
    pub(crate) url: Option<String>,

    /// The server's admin token
    #[arg(long, global = true, env = "ADMIN_API_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,

    /// Who acts, for the audit trail [default: the OS user name]
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) actor: Option<String>,

    /// The environment: development or production. A database that a server or worker in production
    /// has opened is marked as production, whatever this says
    #[arg(
        long,
        global = true,
        env = "ENVIRONMENT",
        hide_env_values = true,
        value_name = "ENVIRONMENT",
        default_value = "development",
        value_parser = environment
    )]
    pub(crate) environment: Environment,

    /// The write gate: true, false or stop-only [default: true in development, false in production]
    #[arg(
        long,
        global = true,
        env = "ADMIN_WRITE_ENABLED",
        hide_env_values = true,
        value_name = "GATE",
        value_parser = WriteGate::parse
    )]
    pub(crate) admin_write_enabled: Option<WriteGate>,

    /// The folder that baselines and digests are written to
    #[arg(
        long,
        visible_alias = "output-dir",
        global = true,
        env = "SIMOPS_OUTPUT_DIR",
        hide_env_values = true,
        value_name = "FOLDER",
        default_value = "output"
    )]
    pub(crate) simops_output_dir: PathBuf,

    /// What is logged to stderr: error, info, TARGET=LEVEL,… [default: info for a worker, else error]
    #[arg(
        long,
        global = true,
        env = "SIMOPS_LOG",
        hide_env_values = true,
        value_name = "FILTER",
        help_heading = "Logs"
    )]
    pub(crate) log: Option<Targets>,

    /// How it is logged: text or json
    #[arg(
        long,
        global = true,
        env = "SIMOPS_LOG_FORMAT",
        hide_env_values = true,
        value_name = "FORMAT",
        help_heading = "Logs",
        default_value = "text",
        ignore_case = true
    )]
    pub(crate) log_format: LogFormat,

    /// Whether `url` stands on the command line rather than in the environment.
    #[arg(skip)]
    pub(crate) url_is_explicit: bool,
}

/// A command and what it works on.
pub(crate) struct Invocation {
    pub(crate) globals: Globals,
    pub(crate) command: Command,
}

/// Reads `.env` of the working directory. To be called before any thread starts.
pub(crate) fn read_dotenv() -> Result<(), Failure> {
    match dotenvy::from_path(Path::new(".env")) {
        Err(dotenvy::Error::Io(error)) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(dotenvy::Error::Io(error)) => Err(Failure::new(format!("cannot read .env: {error}"))),
        // The error quotes the line, which may hold a secret.
        Err(_) => Err(Failure::new("cannot read .env: a line is not of the form NAME=VALUE")),
        Ok(()) => Ok(()),
    }
}

/// The arguments of this process. Help and wrong usage end it here.
pub(crate) fn parse() -> Result<Invocation, Failure> {
    let matches = command().get_matches();
    let Cli { mut globals, command } =
        Cli::from_arg_matches(&matches).map_err(|error| Failure::usage(error.to_string()))?;
    globals.url_is_explicit = matches.value_source("url") == Some(ValueSource::CommandLine);
    Ok(Invocation { globals, command })
}

/// The command line's definition, without variables that are set but empty.
pub(crate) fn command() -> clap::Command {
    without_empty_variables(Cli::command())
}

fn without_empty_variables(command: clap::Command) -> clap::Command {
    let is_empty = |arg: &clap::Arg| {
        let value = arg.get_env().and_then(std::env::var_os);
        value.is_some_and(|value| value.to_string_lossy().trim().is_empty())
    };
    command
        .mut_args(|arg| if is_empty(&arg) { arg.env(Resettable::Reset) } else { arg })
        .mut_subcommands(without_empty_variables)
}

fn environment(text: &str) -> Result<Environment, String> {
    let known = [Environment::Development, Environment::Production];
    let named = known.into_iter().find(|known| text.trim().eq_ignore_ascii_case(known.as_str()));
    named.ok_or_else(|| "must be development or production".to_owned())
}

impl Globals {
    /// What flags and environment say about writes.
    pub(crate) fn write_policy(&self) -> WritePolicy {
        WritePolicy { environment: self.environment, gate: self.admin_write_enabled }
    }

    /// Who acts.
    pub(crate) fn actor(&self) -> Result<String, Failure> {
        let given = self.actor.clone().or_else(|| {
            let mut names = ["USER", "LOGNAME", "USERNAME"].into_iter();
            names.find_map(|name| std::env::var(name).ok().filter(|name| !name.trim().is_empty()))
        });
        actor_name("--actor", &given.unwrap_or_default())
            .map_err(|error| Failure::usage(error.detail()))
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_well_defined() {
        super::command().debug_assert();
    }
}
