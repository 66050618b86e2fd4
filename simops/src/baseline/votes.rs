//! Coalitions: pairs of agents that vote alike, and how these pairs change.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::AgentId;
use crate::event::Event;

/// The minimum number of proposals on which both agents of a pair voted.
pub(crate) const MIN_SHARED_VOTES: u32 = 2;
/// The minimum percentage of equal votes on these proposals.
pub(crate) const MIN_AGREEMENT_PERCENT: u32 = 70;

/// The votes of a window.
///
/// For the comparison, each agent's votes are bit sets over proposals and over (proposal, vote)
/// combinations, so comparing a pair takes few instructions and no memory.
#[derive(Debug, Clone, Default)]
pub(crate) struct Votes {
    proposals: BTreeMap<String, usize>,
    answers: BTreeMap<(usize, String), usize>,
    // The last vote of each agent on each proposal.
    cast: BTreeMap<AgentId, BTreeMap<usize, usize>>,
}

/// The comparison of the coalition edges of two windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Coalitions {
    /// Pairs that agree in the later window.
    pub edges: i64,
    /// Pairs that agree in exactly one of the windows.
    pub changed: i64,
    /// Pairs that agree in at least one of the windows.
    pub union: i64,
}

impl Coalitions {
    /// Changed edges divided by all edges of both windows; `None` if there are none.
    pub fn churn(&self) -> Option<f64> {
        crate::number::ratio(self.changed, self.union)
    }
}

impl Votes {
    /// Adds a `vote_cast` event. An event without agent, proposal or vote is ignored.
    pub(crate) fn add(&mut self, event: &Event) {
        let field = |name: &str| event.metadata.get(name).filter(|value| !value.is_null());
        if let (Some(agent), Some(proposal), Some(vote)) =
            (&event.agent_id, field("proposal_id"), field("vote"))
        {
            self.cast(agent, event.run_id.as_deref(), proposal, vote);
        }
    }

    fn cast(&mut self, agent: &AgentId, run_id: Option<&str>, proposal: &Value, vote: &Value) {
        // Proposals of different runs can have the same id.
        let proposal = format!("{}/{proposal}", run_id.unwrap_or_default());
        let next = self.proposals.len();
        let proposal = *self.proposals.entry(proposal).or_insert(next);
        let next = self.answers.len();
        let answer = *self.answers.entry((proposal, vote.to_string())).or_insert(next);
        self.cast.entry(agent.clone()).or_default().insert(proposal, answer);
    }

    /// Compares the pairs that agree in `self` with those of the window `before`.
    pub(crate) fn coalitions(&self, before: &Self) -> Coalitions {
        let agents: BTreeSet<_> = self.cast.keys().chain(before.cast.keys()).collect();
        let agent_votes = |votes: &Self| -> Vec<AgentVotes> {
            agents.iter().map(|agent| votes.agent_votes(agent)).collect()
        };
        let (now, before) = (agent_votes(self), agent_votes(before));
        let mut found = Coalitions::default();
        for one in 0..now.len() {
            for other in 0..one {
                let is = now[one].agrees_with(&now[other]);
                let was = before[one].agrees_with(&before[other]);
                found.edges += i64::from(is);
                found.changed += i64::from(is != was);
                found.union += i64::from(is || was);
            }
        }
        found
    }

    fn agent_votes(&self, agent: &AgentId) -> AgentVotes {
        let mut agent_votes = AgentVotes {
            proposals: Bits::of(self.proposals.len()),
            answers: Bits::of(self.answers.len()),
        };
        for (proposal, answer) in self.cast.get(agent).into_iter().flatten() {
            agent_votes.proposals.set(*proposal);
            agent_votes.answers.set(*answer);
        }
        agent_votes
    }
}

/// The votes of one agent as bit sets.
struct AgentVotes {
    proposals: Bits,
    answers: Bits,
}

impl AgentVotes {
    fn agrees_with(&self, other: &Self) -> bool {
        let shared = self.proposals.common(&other.proposals);
        let alike = self.answers.common(&other.answers);
        shared >= MIN_SHARED_VOTES
            && u64::from(alike) * 100 >= u64::from(shared) * u64::from(MIN_AGREEMENT_PERCENT)
    }
}

struct Bits(Vec<u64>);

impl Bits {
    fn of(count: usize) -> Self {
        Self(vec![0; count.div_ceil(64)])
    }

    fn set(&mut self, index: usize) {
        if let Some(word) = self.0.get_mut(index / 64) {
            *word |= 1 << (index % 64);
        }
    }

    fn common(&self, other: &Self) -> u32 {
        self.0.iter().zip(&other.0).map(|(one, other)| (one & other).count_ones()).sum()
    }
}
