//! Control state: one small aggregate with a generation.
//!
//! `decide` turns `state`, command and time into a [`change::Change`] or a rejection, `audit`
//! chains the audit rows, `limits` bounds runs, `alerts` and `digests` decide their changes, and `presence` derives the
//! acknowledged run state. [`Write`] and [`WriteRules`] say who may write. All of it is pure; a
//! store applies a change in one commit.

pub(crate) mod alerts;
pub(crate) mod audit;
pub(crate) mod budgets;
mod change;
pub(crate) mod decide;
pub(crate) mod digests;
pub(crate) mod limits;
mod patch;
pub(crate) mod presence;
mod state;
#[cfg(test)]
mod tests;
mod write;

pub use audit::{AuditHead, AuditRow};
pub use change::Change;
pub(crate) use change::Context;
pub(crate) use decide::{Command, Target, decide};
pub use presence::{HostReport, HostState, RunState};
pub use state::{ControlState, Environment};
pub use write::{Write, WriteGate, WritePolicy, WriteRules};
