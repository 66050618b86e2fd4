//! `agent`: turns of the reference world on request.

use std::sync::Arc;

use clap::Subcommand;
use simops::AgentId;
use simops::control::Write;
use simops::llm::LlmArgs;
use simops_examples::commons::{self, Commons};

use crate::commands::values::agent_id;
use crate::database;
use crate::exit::Failure;
use crate::globals::Globals;
use crate::print::{self, Output};
use crate::target::Direct;

#[derive(Subcommand)]
pub(crate) enum AgentCommand {
    /// Take one turn of one agent in the current run
    #[command(after_help = "\
Examples:
  simops-cli agent once --agent-id 7 --dry-run    (shows what it would do, changes nothing)
  simops-cli agent once --agent-id 7

With a model provider the agent asks it. Such a call is paid for and recorded in a dry run, too.")]
    Once {
        /// The agent's number
        #[arg(long, value_name = "N", conflicts_with = "agent_id",
              value_parser = clap::value_parser!(i64).range(1..))]
        agent: Option<i64>,
        /// The agent's number or name; the agents of the reference world are numbers
        #[arg(long, value_name = "ID", value_parser = agent_id)]
        agent_id: Option<AgentId>,
        /// Only show what it would do
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        models: LlmArgs,
    },
}

pub(crate) async fn run(globals: &Globals, command: AgentCommand) -> Result<(), Failure> {
    let AgentCommand::Once { agent, agent_id, dry_run, models } = command;
    let Some(agent) = agent_id.or(agent.map(AgentId::from)) else {
        return Err(Failure::usage("name the agent by --agent N or --agent-id ID"));
    };
    let on = globals.database_only("the turn is taken in this process, on the database")?;
    let models = globals.models(&models)?;
    let direct = Direct::open(on).await?;
    let permit = match dry_run {
        true => None,
        false => Some(direct.writer().await?.permit(Write::TakeTurn)?),
    };
    let (store, registry) = (direct.ops.store(), &direct.ops.options().registry);
    let counter = match models.providers.is_empty() {
        true => None,
        false => Some(database::counter(store, on).await?),
    };
    let clock = direct.ops.clock();
    let router =
        counter.clone().map(|counter| models.router(counter, store.clone(), Arc::clone(clock)));
    let router = router.transpose()?.flatten();
    let commons = Commons::default().with_router(router.clone());
    let report = commons::once(&**store, &commons, registry, &agent, permit).await;
    database::flush(router.as_ref()).await;
    if let Some(counter) = counter {
        counter.close().await;
    }
    print::show(&Output::record(report?), globals.output)
}
