//! Arguments that several commands share.

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;
use simops::run::{Labels, RunSelection};
use simops::{AgentId, Clock, SystemClock};

use crate::exit::Failure;

/// A page of a list.
#[derive(Args, Serialize)]
pub(crate) struct PageArgs {
    /// The greatest number of rows, 1 to 500
    #[arg(long, value_name = "N", default_value_t = 50, allow_negative_numbers = true)]
    pub(super) limit: i64,
    /// Continue where an earlier page ended: its next_cursor
    #[arg(long)]
    pub(super) cursor: Option<String>,
}

/// Runs, by id, group and labels.
#[derive(Args)]
pub(crate) struct SelectionArgs {
    /// Only the run with this id
    #[arg(long, value_name = "ID")]
    pub(super) run_id: Option<String>,
    #[command(flatten)]
    pub(super) group: GroupArgs,
}

/// Runs, by group and labels.
#[derive(Args)]
pub(crate) struct GroupArgs {
    /// Only runs of this group
    #[arg(long, value_name = "ID")]
    pub(super) group_id: Option<String>,
    /// Only runs with this label; given several times, only runs with all of them
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = label)]
    pub(super) labels: Vec<(String, String)>,
}

impl SelectionArgs {
    pub(super) fn selection(self) -> Result<RunSelection, Failure> {
        Ok(RunSelection { run_id: self.run_id, ..self.group.selection()? })
    }
}

impl GroupArgs {
    pub(super) fn selection(self) -> Result<RunSelection, Failure> {
        let labels = labels(self.labels)?;
        Ok(RunSelection { run_id: None, group_id: self.group_id, labels })
    }
}

/// Labels by name.
pub(super) fn labels(given: Vec<(String, String)>) -> Result<Labels, Failure> {
    let mut labels = Labels::new();
    for (name, value) in given {
        if labels.insert(name.clone(), value).is_some() {
            return Err(Failure::usage(format!("--label {name} is given twice")));
        }
    }
    Ok(labels)
}

/// A label's name and value.
pub(super) fn label(text: &str) -> Result<(String, String), String> {
    assignment(text).map_err(|_| "must be of the form NAME=VALUE".to_owned())
}

/// The moment that an argument like `7d` or `2026-03-01` names.
pub(super) fn since(text: &str) -> Result<Timestamp, String> {
    let moment = simops::ops::since(text, SystemClock.now());
    // clap names the argument already.
    moment.map_err(|error| error.fields().iter().map(|field| field.message.as_str()).collect())
}

/// The agent that a number or name means.
pub(super) fn agent_id(text: &str) -> Result<AgentId, String> {
    let agent = text.parse::<AgentId>();
    agent.map_err(|error| error.fields().iter().map(|field| field.message.as_str()).collect())
}

/// A setting and the text of its value.
pub(super) fn assignment(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => {
            Ok((key.trim().to_owned(), value.trim().to_owned()))
        }
        _ => Err("must be of the form KEY=VALUE".to_owned()),
    }
}
