//! Proposals: a rule before the assembly, and who voted how.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::law::Rule;

/// For so many days a proposal can be voted on.
pub(super) const OPEN_FOR: i64 = 3;
/// The assembly has at most so many proposals before it.
pub(super) const MOST_OPEN: usize = 5;

/// A proposal, as its document keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Proposal {
    pub(super) id: i64,
    pub(super) author: i64,
    pub(super) title: String,
    pub(super) rule: Rule,
    /// The day it was put.
    pub(super) put_on: i64,
    /// Yes or no, by agent.
    pub(super) votes: BTreeMap<i64, bool>,
    /// Whether it passed; `None` while it is open.
    pub(super) passed: Option<bool>,
}

impl Proposal {
    pub(super) fn is_open(&self) -> bool {
        self.passed.is_none()
    }

    /// Votes for and against.
    pub(super) fn tally(&self) -> (usize, usize) {
        let yes = self.votes.values().filter(|yes| **yes).count();
        (yes, self.votes.len() - yes)
    }

    /// Whether the votes are enough to decide among `living` agents.
    pub(super) fn has_quorum(&self, living: usize) -> bool {
        self.votes.len() >= quorum(living)
    }
}

/// So many votes decide: a fifth of the living, and never fewer than two.
pub(super) fn quorum(living: usize) -> usize {
    living.div_ceil(5).max(2.min(living))
}
