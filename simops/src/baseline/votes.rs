//! Who votes alike: coalitions as pairs of agents, and how they change.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::event::Event;

/// A pair needs so many votes on the same proposals.
pub const MIN_SHARED_VOTES: u32 = 2;
/// And so many of a hundred of them alike.
pub const MIN_AGREEMENT_PERCENT: u32 = 70;

/// The votes of a window, to be compared pair by pair.
///
/// Kept as bits, one per proposal and one per answer to it, so that a pair costs a few instructions
/// and nothing is held per pair.
#[derive(Debug, Clone, Default)]
pub struct Votes {
    proposals: BTreeMap<String, usize>,
    answers: BTreeMap<(usize, String), usize>,
    // The answer of each agent to each proposal: the last one counts.
    cast: BTreeMap<i64, BTreeMap<usize, usize>>,
}

/// Edges of two windows compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Coalitions {
    /// Pairs that vote alike now.
    pub edges: i64,
    /// Pairs that do so in one of the windows only.
    pub changed: i64,
    /// Pairs that do so in either.
    pub union: i64,
}

impl Coalitions {
    /// Changed edges over all edges of both windows; `None` when there are none.
    pub fn churn(&self) -> Option<f64> {
        super::window::ratio(self.changed, self.union)
    }
}

impl Votes {
    /// Counts a `vote_cast` event. One without agent, proposal or vote says nothing.
    pub fn add(&mut self, event: &Event) {
        let said = |name: &str| event.metadata.get(name).filter(|value| !value.is_null());
        if let (Some(agent), Some(proposal), Some(vote)) =
            (event.agent_id, said("proposal_id"), said("vote"))
        {
            self.cast(agent, event.run_id.as_deref(), proposal, vote);
        }
    }

    fn cast(&mut self, agent: i64, run_id: Option<&str>, proposal: &Value, vote: &Value) {
        // Proposals of different worlds may have the same number.
        let proposal = format!("{}/{proposal}", run_id.unwrap_or_default());
        let next = self.proposals.len();
        let proposal = *self.proposals.entry(proposal).or_insert(next);
        let next = self.answers.len();
        let answer = *self.answers.entry((proposal, vote.to_string())).or_insert(next);
        self.cast.entry(agent).or_default().insert(proposal, answer);
    }

    /// The pairs that vote alike in `self`, against those of the window `before`.
    pub fn coalitions(&self, before: &Self) -> Coalitions {
        let agents: BTreeSet<i64> = self.cast.keys().chain(before.cast.keys()).copied().collect();
        let agent_votes = |votes: &Self| -> Vec<AgentVotes> {
            agents.iter().map(|agent| votes.agent_votes(*agent)).collect()
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

    fn agent_votes(&self, agent: i64) -> AgentVotes {
        let mut agent_votes = AgentVotes {
            proposals: Bits::of(self.proposals.len()),
            answers: Bits::of(self.answers.len()),
        };
        for (proposal, answer) in self.cast.get(&agent).into_iter().flatten() {
            agent_votes.proposals.set(*proposal);
            agent_votes.answers.set(*answer);
        }
        agent_votes
    }
}

/// Which proposals an agent voted on, and how.
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
