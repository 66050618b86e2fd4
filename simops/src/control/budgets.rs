//! Rules for changes of budgets.

use serde_json::{Number, Value, json};

use super::{Change, Context, ControlState};
use crate::alert::AlertRecords;
use crate::event::{NewEvent, kind};
use crate::usage::budget_spec::MAX_BUDGETS;
use crate::usage::{Budget, BudgetChange, Budgets};
use crate::{Error, Result};

/// The audit key of a change of a budget, before its id.
const BUDGET: &str = "BUDGET:";

/// An open run whose next call a budget would refuse.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct WouldEnd {
    /// The run.
    pub run_id: String,
    /// What was used, in the unit of the budget.
    pub spent: Number,
}

/// Defines `budget`, or changes the one of its id.
///
/// # Errors
/// Returns `Conflict` for one that would end a run at once, unless that is forced, and beyond the
/// largest number of budgets.
pub(crate) fn put(
    state: &ControlState,
    known: &Budgets,
    budget: &Budget,
    would_end: Option<&WouldEnd>,
    context: &Context<'_>,
) -> Result<Change> {
    let before = known.get(&budget.id);
    if before.is_none() && known.list.len() >= MAX_BUDGETS {
        return Err(Error::conflict(format!(
            "there are {MAX_BUDGETS} budgets already; delete some"
        )));
    }
    if let Some(WouldEnd { run_id, spent }) = would_end {
        return Err(Error::conflict(format!(
            "run {run_id} has used {spent} {} of it already, so that it would end at once; set force to \
             do so",
            budget.unit.as_str()
        )));
    }
    if before.is_some_and(|before| before.shown() == budget.shown()) {
        return Ok(Change::none(state, context));
    }
    let text =
        format!("Budget {} was {}", budget.id, if before.is_some() { "changed" } else { "set" });
    let old = before.map_or(Value::Null, Budget::shown);
    Ok(of(state, BudgetChange::Put(budget.clone()), (old, budget.shown()), text, context))
}

/// Deletes a budget with what is known of its use.
pub(crate) fn delete(state: &ControlState, budget: &Budget, context: &Context<'_>) -> Change {
    let text = format!("Budget {} was deleted", budget.id);
    let change = BudgetChange::Delete(budget.id.clone());
    of(state, change, (budget.shown(), Value::Null), text, context)
}

fn of(
    state: &ControlState,
    change: BudgetChange,
    (old, new): (Value, Value),
    text: String,
    context: &Context<'_>,
) -> Change {
    let id = match &change {
        BudgetChange::Put(budget) => &budget.id,
        BudgetChange::Delete(id) => id,
    };
    let event = NewEvent::new(kind::SETTINGS_CHANGED, text, context.now);
    let event = event.with("budget", json!(id)).with("value", new.clone());
    let event = event.with("changed_by", context.actor);
    let values = vec![(format!("{BUDGET}{id}"), old, new)];
    let records = AlertRecords::default();
    let budgets = vec![change];
    Change { budgets, ..Change::of_records(state, values, vec![event], records, context) }
}
