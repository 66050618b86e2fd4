//! `agent`: turns of the reference world on request.

use std::sync::Arc;

use clap::{Args, Subcommand};
use simops::control::Write;
use simops::llm::LlmArgs;
use simops_examples::commons::{self, Commons};

use crate::args::Globals;
use crate::commands::{book_the_rest, models, on_database_only};
use crate::database;
use crate::exit::Failure;
use crate::print;
use crate::target::Direct;

/// `agent …`.
#[derive(Subcommand)]
pub(crate) enum AgentCommand {
    /// Let one agent take one turn in the current run
    #[command(after_help = "\
Examples:
  simops-cli agent once --agent 7 --dry-run    (shows what it would do, changes nothing)
  simops-cli agent once --agent 7

With a model provider the agent asks it. That call is paid for and booked in a dry run, too.")]
    Once(OnceArgs),
}

/// `agent once`.
#[derive(Args)]
pub(crate) struct OnceArgs {
    /// The agent's number
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..))]
    agent: i64,
    /// Only show what it would do
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    models: LlmArgs,
}

/// Runs `agent …`.
pub(crate) async fn run(globals: &Globals, command: AgentCommand) -> Result<(), Failure> {
    let AgentCommand::Once(args) = command;
    on_database_only(globals, "agent once")?;
    let models = models(&args.models)?;
    let direct = Direct::open(globals).await?;
    let permit = match args.dry_run {
        true => None,
        false => Some(direct.writer().await?.permit(Write::TakeTurn)?),
    };
    let (store, registry) = (direct.ops().store(), &direct.ops().options().registry);
    let counter = match models.providers.is_empty() {
        true => None,
        false => Some(database::counter(store, globals).await?),
    };
    let clock = direct.ops().clock();
    let router = counter.clone().map(|counter| models.router(counter, Arc::clone(clock)));
    let router = router.transpose()?.flatten();
    let commons = Commons::default().with_router(router.clone());
    let report = commons::once(&**store, &commons, registry, args.agent, permit).await;
    book_the_rest(router.as_ref()).await;
    if let Some(counter) = counter {
        counter.close().await;
    }
    print::json(&report?)
}
