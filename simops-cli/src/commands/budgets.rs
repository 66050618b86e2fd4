//! `budgets`: limits on what calls may use.

use clap::Subcommand;

use simops::ops::{PutBudget, ReasonBody};
use simops::settings::is_name;

use crate::exit::Failure;
use crate::globals::Globals;
use crate::print::{self, Output};
use crate::target::{get, post, read, write};

const COLUMNS: &[&str] = &[
    "id",
    "scope",
    "key",
    "window",
    "unit",
    "soft",
    "hard",
    "spent",
    "reserved",
    "left",
    "resets_at",
    "forecast",
];

#[derive(Subcommand)]
pub(crate) enum BudgetsCommand {
    /// List all budgets with what is used of them, those of the settings among them
    #[command(after_help = "\
Of a budget that counts each value of its key or each run by itself, the table shows the use of which
most was used; -o json shows more of them.")]
    List,
    /// Define a budget, or change the one of that id
    #[command(after_help = "\
Examples:
  simops-cli budgets set team-a --scope group --key team-a --window lifetime --unit usd --hard 40
  simops-cli budgets set each-run --scope run --key '*' --window run --unit calls --hard 5000
  simops-cli budgets set each-agent --scope agent --key '*' --window day --unit tokens --hard 200000
  simops-cli budgets set team-a --hard 60      # the rest stays
  simops-cli budgets set free --scope model --key '*:free' --window day --unit calls --hard 900

What was used before counts. A budget of the scope deployment, group or run that is spent ends the runs
whose calls it refuses; one of an agent, provider or model refuses their calls only. A limit that would
end a run at once needs --force. The budgets of the settings change with `simops-cli config set`.")]
    Set {
        /// The budget
        id: String,
        #[command(flatten)]
        put: PutBudget,
    },
    /// Delete a budget, with what is known of its use
    #[command(after_help = "\
Examples:
  simops-cli budgets delete team-a --reason 'the study is over'")]
    Delete {
        /// The budget
        id: String,
        #[command(flatten)]
        why: ReasonBody,
    },
}

pub(crate) async fn run(globals: &Globals, command: BudgetsCommand) -> Result<(), Failure> {
    let output = match command {
        BudgetsCommand::List => {
            let budgets = read(globals, get("budgets"), async |ops| ops.budgets().await).await?;
            Output::list(budgets, COLUMNS)
        }
        BudgetsCommand::Set { id, put } => {
            if !is_name(&id, 64) {
                let allowed = "letters, digits, _, : and -, at most 64";
                return Err(Failure::usage(format!(
                    "the id of a budget has {allowed}, not {id:?}"
                )));
            }
            let route = post("budgets", &put).named("budget", &id).put();
            let set = write(globals, route, async |w| w.put_budget(&id, &put).await).await?;
            Output::record(set.clone()).with_rows(vec![set], COLUMNS)
        }
        BudgetsCommand::Delete { id, why } => {
            let route = post("budgets", &why).named("budget", &id).delete();
            let reason = why.reason.as_deref();
            Output::record(
                write(globals, route, async |w| w.delete_budget(&id, reason).await).await?,
            )
        }
    };
    print::show(&output, globals.output)
}
