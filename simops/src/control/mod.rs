//! Control state: one small aggregate with a generation.
//!
//! [`state`] is what is, [`decide()`] turns (state, command, time) into a [`change::Change`] or a
//! rejection, [`audit`] chains the rows that say who changed what, and [`presence`] derives what
//! hosts have confirmed; [`alerts`] and [`digests`] decide changes of alerts and digests. All of it is pure; a store makes a change true in one commit.

pub mod alerts;
pub mod audit;
pub mod change;
pub mod decide;
pub mod digests;
mod patch;
pub mod presence;
pub mod state;

pub use audit::{AuditHead, AuditRow};
pub use change::Change;
pub use decide::{Command, Context, decide};
pub use presence::{HostReport, HostState, RunState};
pub use state::{ControlState, Environment, RunGate};
