//! The whole society, loaded from and stored as documents.
//!
//! `society` holds the day, counters, laws and the common pool; `agent/007` an agent;
//! `proposal/00012` a proposal; `forum` the latest posts.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use simops::store::Documents;
use simops::{Error, ErrorKind, Result};

use super::agent::Agent;
use super::forum::Forum;
use super::law::{Law, Rule};
use super::proposal::Proposal;
use super::rng::{Purpose, SeededRng};
use super::stock::{Resource, Stock};

const SOCIETY: &str = "society";
const FORUM: &str = "forum";
const AGENT: &str = "agent/";
const PROPOSAL: &str = "proposal/";

/// How long a kind of weather lasts, in days.
const WEATHER_DAYS: i64 = 3;

/// The weather, which affects harvests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weather {
    Drought,
    Fair,
    Plenty,
}

impl Weather {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Drought => "drought",
            Self::Fair => "fair",
            Self::Plenty => "plenty",
        }
    }
}

/// The common state of the society.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Common {
    /// The seed of all random numbers.
    pub(super) seed: u64,
    /// The day, counted from 1.
    pub(super) day: i64,
    /// Turns taken today.
    pub(super) turns_today: i64,
    /// The initial number of agents; the society grows back to it.
    pub(super) founders: u32,
    pub(super) next_agent: i64,
    pub(super) next_proposal: i64,
    pub(super) next_law: i64,
    pub(super) next_post: i64,
    /// Agents that have died.
    pub(super) died: u32,
    /// The goods in the common pool.
    pub(super) pool: Stock,
    /// The laws in force.
    pub(super) laws: Vec<Law>,
}

/// The whole society.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Society {
    pub(super) common: Common,
    pub(super) agents: BTreeMap<i64, Agent>,
    pub(super) proposals: BTreeMap<i64, Proposal>,
    pub(super) forum: Forum,
}

impl Society {
    /// A society on its first day.
    pub(super) fn new(founders: u32, seed: u64) -> Self {
        let numbers = 1..=i64::from(founders);
        Self {
            common: Common {
                seed,
                day: 1,
                turns_today: 0,
                founders,
                next_agent: i64::from(founders) + 1,
                next_proposal: 1,
                next_law: 1,
                next_post: 1,
                died: 0,
                pool: Stock { food: founders.div_ceil(5), energy: 0, materials: 0 },
                laws: Vec::new(),
            },
            agents: numbers.map(|number| (number, Agent::new(number, seed, 0))).collect(),
            proposals: BTreeMap::new(),
            forum: Forum::default(),
        }
    }

    /// Loads the society from `documents`.
    ///
    /// # Errors
    /// `Unusable` with the name of a document that is missing or cannot be parsed.
    pub(super) fn load(documents: &Documents) -> Result<Self> {
        Ok(Self {
            common: load_document(documents, SOCIETY)?,
            agents: load_documents(documents, AGENT, |agent: &Agent| agent.number)?,
            proposals: load_documents(documents, PROPOSAL, |proposal: &Proposal| proposal.id)?,
            forum: load_document(documents, FORUM)?,
        })
    }

    /// All documents of the society.
    ///
    /// # Errors
    /// `Internal` if a document cannot be converted to JSON.
    pub(super) fn documents(&self) -> Result<Documents> {
        self.changes(None)
    }

    /// The documents that differ from those of `before`; null for those that are removed.
    ///
    /// # Errors
    /// `Internal` if a document cannot be converted to JSON.
    pub(super) fn changes_from(&self, before: &Self) -> Result<Documents> {
        self.changes(Some(before))
    }

    fn changes(&self, before: Option<&Self>) -> Result<Documents> {
        let mut documents = Documents::new();
        if before.is_none_or(|before| before.common != self.common) {
            documents.insert(SOCIETY.to_owned(), json_of(&self.common)?);
        }
        if before.is_none_or(|before| before.forum != self.forum) {
            documents.insert(FORUM.to_owned(), json_of(&self.forum)?);
        }
        let agent_name = |number: i64| format!("{AGENT}{number:03}");
        let proposal_name = |id: i64| format!("{PROPOSAL}{id:05}");
        add_changes(&mut documents, agent_name, before.map(|b| &b.agents), &self.agents)?;
        add_changes(&mut documents, proposal_name, before.map(|b| &b.proposals), &self.proposals)?;
        Ok(documents)
    }

    /// The living agents in turn order: by turns taken, then by number.
    pub(super) fn turn_order(&self) -> Vec<i64> {
        let mut order: Vec<_> = self.living().map(|agent| (agent.turns, agent.number)).collect();
        order.sort_unstable();
        order.into_iter().map(|(_, number)| number).collect()
    }

    /// Agents that are not dead.
    pub(super) fn living(&self) -> impl Iterator<Item = &Agent> {
        self.agents.values().filter(|agent| !agent.is_dead())
    }

    pub(super) fn living_mut(&mut self) -> impl Iterator<Item = &mut Agent> {
        self.agents.values_mut().filter(|agent| !agent.is_dead())
    }

    /// The agent with that number, dead or alive.
    pub(super) fn agent(&self, number: i64) -> Result<&Agent> {
        self.agents.get(&number).ok_or_else(|| Error::rejected(format!("no agent {number}")))
    }

    pub(super) fn agent_mut(&mut self, number: i64) -> Result<&mut Agent> {
        self.agents.get_mut(&number).ok_or_else(|| Error::rejected(format!("no agent {number}")))
    }

    /// The open proposals, oldest first.
    pub(super) fn open_proposals(&self) -> impl Iterator<Item = &Proposal> {
        self.proposals.values().filter(|proposal| proposal.is_open())
    }

    /// Whether a rule of the same kind and resource is in force or proposed.
    pub(super) fn has_similar_rule(&self, rule: Rule) -> bool {
        self.common.laws.iter().any(|law| law.rule.conflicts_with(rule))
            || self.open_proposals().any(|proposal| proposal.rule.conflicts_with(rule))
    }

    /// The first cap that the agent exceeds: law id, resource, and amount beyond the cap.
    pub(super) fn cap_violation(&self, agent: &Agent) -> Option<(i64, Resource, u32)> {
        self.common.laws.iter().find_map(|law| match law.rule {
            Rule::Cap { resource, limit } if agent.has(resource) > limit => {
                Some((law.id, resource, agent.has(resource) - limit))
            }
            _ => None,
        })
    }

    /// Today's weather.
    pub(super) fn weather(&self) -> Weather {
        let period = self.common.day.div_euclid(WEATHER_DAYS);
        let draw = |period| SeededRng::new(self.common.seed, Purpose::Weather, period, 0).below(3);
        match (draw(period), draw(period - 1)) {
            // Never two droughts in a row.
            (0, 0) => Weather::Fair,
            (0, _) => Weather::Drought,
            (1, _) => Weather::Plenty,
            _ => Weather::Fair,
        }
    }
}

/// Adds the documents of items that are new, changed or removed.
fn add_changes<T: Serialize + PartialEq>(
    documents: &mut Documents,
    name: impl Fn(i64) -> String,
    before: Option<&BTreeMap<i64, T>>,
    after: &BTreeMap<i64, T>,
) -> Result<()> {
    for (id, item) in after {
        if before.and_then(|before| before.get(id)) != Some(item) {
            documents.insert(name(*id), json_of(item)?);
        }
    }
    let removed = before.into_iter().flat_map(BTreeMap::keys).filter(|id| !after.contains_key(id));
    documents.extend(removed.map(|id| (name(*id), Value::Null)));
    Ok(())
}

fn load_document<T: DeserializeOwned>(documents: &Documents, name: &str) -> Result<T> {
    documents
        .get(name)
        .map_or_else(|| Err(invalid_document(name)), |document| parse(name, document))
}

fn load_documents<T: DeserializeOwned>(
    documents: &Documents,
    prefix: &str,
    id: impl Fn(&T) -> i64,
) -> Result<BTreeMap<i64, T>> {
    let named = documents.iter().filter(|(name, _)| name.starts_with(prefix));
    named.map(|(name, document)| parse(name, document).map(|item| (id(&item), item))).collect()
}

fn parse<T: DeserializeOwned>(name: &str, document: &Value) -> Result<T> {
    T::deserialize(document).map_err(|error| invalid_document(name).with_source(error))
}

fn invalid_document(name: &str) -> Error {
    let detail = format!("the document {name} is missing or does not belong to the world commons");
    Error::new(ErrorKind::Unusable, detail)
}

fn json_of<T: Serialize>(item: &T) -> Result<Value> {
    serde_json::to_value(item).map_err(|error| {
        Error::internal("the world cannot be converted to JSON").with_source(error)
    })
}
