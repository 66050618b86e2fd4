//! The agents that a run keeps apart: how many names clients can bring.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use crate::event::NewEvent;
use crate::store::AgentStore;
use crate::{AgentId, Result};

/// The most agents of a run that are kept apart, besides those that are numbers below it.
const MAX_AGENTS: usize = 100_000;
/// The most agents that a roster holds in memory, of all runs.
const MAX_CACHED: usize = 2 * MAX_AGENTS;

/// Bounds the agents of each run.
///
/// Some hosts put a new id into each call, and sums and budgets are kept per agent. So a run keeps apart
/// the numbers from 0 to 99,999, and 100,000 others: names, and other numbers, in order of their
/// appearance. Later ones are recorded as [`AgentId::OTHER`]. An agent that was kept stays, in every
/// process of the database. What belongs to no run has agents of its own.
///
/// The [`Worker`](crate::host::Worker) applies it to the events of turns, and a
/// [`Router`](crate::llm::Router) that was given one to calls. It holds those it has seen in memory, so
/// that only a new agent is looked up in the store.
pub struct AgentRoster {
    store: Arc<dyn AgentStore>,
    limit: usize,
    seen: Mutex<Seen>,
}

/// Agents that are kept, by run.
#[derive(Default)]
struct Seen {
    runs: HashMap<String, HashSet<AgentId>>,
    agents: usize,
}

impl AgentRoster {
    /// A roster of the agents in `store`.
    pub fn new(store: Arc<dyn AgentStore>) -> Self {
        Self::with_limit(store, MAX_AGENTS)
    }

    pub(crate) fn with_limit(store: Arc<dyn AgentStore>, limit: usize) -> Self {
        Self { store, limit, seen: Mutex::default() }
    }

    /// The id under which an agent of a run is recorded: its own, or [`AgentId::OTHER`].
    ///
    /// # Errors
    /// Returns the error of the store, which is asked about an agent that is new here.
    pub async fn recorded(&self, run_id: Option<&str>, agent: &AgentId) -> Result<AgentId> {
        if self.is_free(agent) {
            return Ok(agent.clone());
        }
        let run_id = run_id.unwrap_or_default();
        if self.has_seen(run_id, agent) {
            return Ok(agent.clone());
        }
        if !self.store.keep_agent(run_id, agent, self.limit).await? {
            return Ok(AgentId::other());
        }
        self.remember(run_id, agent);
        Ok(agent.clone())
    }

    /// Records events under the ids of [`recorded`](Self::recorded).
    ///
    /// # Errors
    /// As of [`recorded`](Self::recorded).
    pub async fn apply(&self, events: &mut [NewEvent]) -> Result<()> {
        for event in events {
            if let Some(agent) = &event.agent_id {
                event.agent_id = Some(self.recorded(event.run_id.as_deref(), agent).await?);
            }
        }
        Ok(())
    }

    /// Whether an agent takes no place: there are not many of its kind.
    fn is_free(&self, agent: &AgentId) -> bool {
        match agent.number() {
            Some(number) => usize::try_from(number).is_ok_and(|number| number < self.limit),
            None => *agent == AgentId::other(),
        }
    }

    /// Whether an agent is known to be kept.
    fn has_seen(&self, run_id: &str, agent: &AgentId) -> bool {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.runs.get(run_id).is_some_and(|kept| kept.contains(agent))
    }

    fn remember(&self, run_id: &str, agent: &AgentId) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.agents >= MAX_CACHED {
            *seen = Seen::default();
        }
        let kept = seen.runs.entry(run_id.to_owned()).or_default();
        let is_new = kept.insert(agent.clone());
        seen.agents += usize::from(is_new);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::*;
    use crate::testing::MemoryStore;

    fn block_on<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
    }

    proptest! {
        /// As with one set per run, through any number of processes.
        #[test]
        fn a_run_keeps_the_first_agents_apart(
            agents in prop::collection::vec((0..3_usize, prop::option::of(0..2_u8), -2..9_i64), 0..80),
        ) {
            const LIMIT: usize = 4;
            let store = Arc::new(MemoryStore::new());
            let rosters =
                [0; 3].map(|_| AgentRoster::with_limit(store.clone(), LIMIT));
            let mut kept = HashMap::<Option<String>, BTreeSet<AgentId>>::new();
            for (process, run, number) in agents {
                let run = run.map(|run| format!("run-{run}"));
                let agent = match number % 3 {
                    0 => AgentId::from(format!("Agent {number}")),
                    _ => AgentId::from(number),
                };
                let recorded = rosters[process].recorded(run.as_deref(), &agent);
                let recorded = block_on(recorded).unwrap();
                let of_run = kept.entry(run).or_default();
                let is_free = agent.number().is_some_and(|number| (0..4).contains(&number));
                if is_free || of_run.contains(&agent) || of_run.len() < LIMIT {
                    prop_assert_eq!(&recorded, &agent);
                    if !is_free {
                        of_run.insert(agent);
                    }
                } else {
                    prop_assert_eq!(recorded, AgentId::other());
                }
            }
        }
    }

    #[test]
    fn events_of_agents_beyond_the_limit_are_those_of_the_others() {
        let roster = AgentRoster::with_limit(Arc::new(MemoryStore::new()), 1);
        let event = || NewEvent::new("said", "", Timestamp::UNIX_EPOCH).in_run(Some("r"));
        let agents = ["Ann", "Bob", "_other", "0", "Ann"];
        let mut events: Vec<_> = agents.map(|agent| event().of_agent(agent)).into();
        events.push(event());
        block_on(roster.apply(&mut events)).unwrap();
        let recorded = events.iter().map(|event| event.agent_id.as_ref().map(AgentId::to_string));
        let expected = ["Ann", "_other", "_other", "0", "Ann"].map(|agent| Some(agent.to_owned()));
        assert!(recorded.eq(expected.into_iter().chain([None])), "{events:?}");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let roster = AgentRoster::new(Arc::new(MemoryStore::new()));
        for n in 0..MAX_CACHED + 10 {
            roster.remember("r", &AgentId::from(format!("Agent {n}")));
        }
        assert!(roster.seen.lock().unwrap().agents <= MAX_CACHED);
    }
}
