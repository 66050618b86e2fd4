//! The command line: its definition, and what this process was called with. Flags win over the
//! environment, the environment over `.env`, and an empty variable counts as unset.

use clap::builder::Resettable;
use clap::{CommandFactory, FromArgMatches, Parser};
use simops_database::env_file::FileVariables;

use crate::commands::Command;
use crate::exit::Failure;
use crate::globals::Globals;

const EXAMPLES: &str = "\
Examples:
  simops-cli run status
  simops-cli run start --mode test --reset-world --reason 'first try'
  simops-cli --url https://sim.example.org run pause --reason 'cost check'
  simops-cli config set AGENT_LOOP_DELAY_SECONDS=120
  simops-cli guardrail backtest --since 7d
  simops-cli baseline --windows 24
  simops-cli worker --speed 20

A command works on the database of --database-url, or on the server of --url if one is given; one that
cannot run on a server refuses. The result goes to stdout, as a table on a terminal and as JSON in a
pipe; messages go to stderr. Exit codes: 0 done, 1 failed, 2 wrong usage.
A .env file in the working directory is read; the real environment wins over it. To a server that .env
names (SIMOPS_URL, GROQ_BASE_URL, HTTPS_PROXY), only a token or key is sent that .env holds, too.";

/// Operate simops: run controls, settings, audit trail, events, usage, agents and workers.
#[derive(Parser)]
#[command(name = "simops-cli", version, after_help = EXAMPLES, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

/// The arguments of this process: what a command works on, and the command. Help and wrong usage end it
/// here. `file_variables` are those that `.env` has set.
pub(crate) fn parse(file_variables: FileVariables) -> Result<(Globals, Command), Failure> {
    let matches = command().get_matches();
    let Cli { globals, command } =
        Cli::from_arg_matches(&matches).map_err(|error| Failure::usage(error.to_string()))?;
    Ok((globals.resolved(&matches, file_variables)?, command))
}

/// The command line's definition. Every command takes the flags of [`Globals`].
pub(crate) fn command() -> clap::Command {
    with_variables(Cli::command().mut_args(|arg| arg.global(true)))
}

/// Drops variables that are set but empty. Help shows no values: they may be secrets.
fn with_variables(command: clap::Command) -> clap::Command {
    let is_empty = |arg: &clap::Arg| {
        let value = arg.get_env().and_then(std::env::var_os);
        value.is_some_and(|value| value.to_string_lossy().trim().is_empty())
    };
    command
        .mut_args(|arg| {
            let arg = arg.hide_env_values(true);
            if is_empty(&arg) { arg.env(Resettable::Reset) } else { arg }
        })
        .mut_subcommands(with_variables)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_well_defined() {
        super::command().debug_assert();
    }
}
