//! The variables of [`LlmConfig`] as flags of a program (feature `clap`).

use std::collections::BTreeMap;

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};

use super::{LlmConfig, config, setup};
use crate::Result;

/// Flags and environment variables that configure model providers, for `#[command(flatten)]`.
///
/// Help texts show no values, because some of them are secrets.
#[derive(Clone, Default)]
pub struct LlmArgs(BTreeMap<String, String>);

impl LlmArgs {
    /// The configuration of the flags and of their variables. Keys are no flags: `environment` looks
    /// them up.
    ///
    /// # Errors
    /// Of [`LlmConfig::from_lookup`].
    pub fn config(&self, environment: impl Fn(&str) -> Option<String>) -> Result<LlmConfig> {
        LlmConfig::from_lookup(|name| match config::is_secret(name) {
            true => environment(name),
            false => self.0.get(name).cloned(),
        })
    }
}

/// Each variable with its help text.
fn variables() -> impl Iterator<Item = (String, String)> {
    let own = [
        (
            setup::PRICES,
            "A file of model prices that replaces the shipped ones (simops/src/usage/prices.json)",
        ),
        (
            setup::UNPRICED,
            "For a model without a price: fallback (0.50 and 1.50 USD per million tokens; default) \
             or refuse",
        ),
        (
            setup::RESERVATION,
            "What a call reserves of budgets in dollars: learned (what calls to its model have used, \
             with a margin; default) or bound (what it can cost at most)",
        ),
        (setup::STREAM, "Whether models stream their responses: true or false [false]"),
    ];
    config::variables().chain(own.map(|(name, help)| (name.to_owned(), help.to_owned())))
}

impl Args for LlmArgs {
    fn augment_args(command: Command) -> Command {
        variables().fold(command.next_help_heading("Models"), |command, (name, help)| {
            let flag = name.to_lowercase().replace('_', "-");
            let value = name.rsplit('_').next().unwrap_or_default().to_owned();
            let arg = Arg::new(&name).long(flag).env(&name).hide_env_values(true);
            command.arg(arg.value_name(value).help(help))
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for LlmArgs {
    fn from_arg_matches(matches: &ArgMatches) -> std::result::Result<Self, clap::Error> {
        let given = |(name, _): (String, String)| {
            let value = matches.get_one::<String>(&name)?.clone();
            Some((name, value))
        };
        Ok(Self(variables().filter_map(given).collect()))
    }

    fn update_from_arg_matches(
        &mut self,
        matches: &ArgMatches,
    ) -> std::result::Result<(), clap::Error> {
        self.0.extend(Self::from_arg_matches(matches)?.0);
        Ok(())
    }
}
