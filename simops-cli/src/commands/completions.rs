//! `completions`: what a shell needs to complete commands.

use clap::Args;
use clap_complete::Shell;

use crate::args;
use crate::exit::Failure;
use crate::print;

/// `completions`.
#[derive(Args)]
#[command(after_help = "\
Examples:
  simops-cli completions bash > ~/.local/share/bash-completion/completions/simops-cli
  simops-cli completions fish > ~/.config/fish/completions/simops-cli.fish")]
pub(crate) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

/// Prints the script.
pub(crate) fn run(args: &CompletionsArgs) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut args::command(), "simops-cli", &mut script);
    print::raw(&script)
}
