//! `completions`: a shell's completion script.

use clap::Args;
use clap_complete::Shell;

use crate::exit::Failure;
use crate::print;

#[derive(Args)]
#[command(after_help = "\
Examples:
  simops-cli completions bash > ~/.local/share/bash-completion/completions/simops-cli
  simops-cli completions fish > ~/.config/fish/completions/simops-cli.fish")]
pub(crate) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

const NAME: &str = "simops-cli";
/// The generator for bash spells a name with a dash in two ways, so that its script would complete
/// only the first word.
const NAME_FOR_BASH: &str = "simops_cli";

/// Prints the script that completes `command`.
pub(crate) fn run(args: &CompletionsArgs, mut command: clap::Command) -> Result<(), Failure> {
    let name = if args.shell == Shell::Bash { NAME_FOR_BASH } else { NAME };
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, name, &mut script);
    if args.shell == Shell::Bash {
        let registered = format!("default {NAME_FOR_BASH}\n");
        let text = String::from_utf8_lossy(&script);
        script = text.replace(&registered, &format!("default {NAME}\n")).into_bytes();
    }
    print::raw(&script)
}
