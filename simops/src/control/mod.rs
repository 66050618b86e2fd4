//! Control state: one small aggregate with a generation.
//!
//! [`decide()`] turns [`state`], command and time into a [`change::Change`] or a rejection, [`audit`]
//! chains the audit rows, [`alerts`] and [`digests`] decide their changes, and [`presence`] derives the acknowledged run state. [`Write`] and
//! [`WriteRules`] say who may write. All of it is pure; a store applies a change in one commit.

pub mod alerts;
pub mod audit;
pub mod change;
pub mod decide;
pub mod digests;
mod patch;
pub mod presence;
pub mod state;
mod write;

pub use audit::{AuditHead, AuditRow};
pub use change::Change;
pub use decide::{Command, Context, decide};
pub use presence::{HostReport, HostState, RunState};
pub use state::{ControlState, Environment, RunGate};
pub use write::{Write, WriteGate, WritePolicy, WriteRules};
