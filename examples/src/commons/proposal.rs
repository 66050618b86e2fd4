//! Proposals and their votes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::law::Rule;

/// How long a proposal is open for votes, in days.
pub(super) const VOTING_DAYS: i64 = 3;
/// The most open proposals.
pub(super) const MAX_OPEN_PROPOSALS: usize = 5;

/// A proposal, as stored in its document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Proposal {
    pub(super) id: i64,
    pub(super) author: i64,
    pub(super) title: String,
    pub(super) rule: Rule,
    /// The day on which it was proposed.
    pub(super) put_on: i64,
    /// The votes by agent; true is yes.
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

    /// Whether there are enough votes for `living` agents.
    pub(super) fn has_quorum(&self, living: usize) -> bool {
        self.votes.len() >= quorum(living)
    }
}

/// The least number of votes that decide: a fifth of the living agents, but at least two.
pub(super) fn quorum(living: usize) -> usize {
    living.div_ceil(5).max(2.min(living))
}
