//! The whole society, read from and written to documents.
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
use super::chance::{Chance, Purpose};
use super::forum::Forum;
use super::law::{Law, Rule};
use super::proposal::Proposal;
use super::rules::Refusal;
use super::stock::{Resource, Stock};

const SOCIETY: &str = "society";
const FORUM: &str = "forum";
const AGENT: &str = "agent/";
const PROPOSAL: &str = "proposal/";

/// How long a kind of weather lasts, in days.
const WEATHER_LASTS: i64 = 3;

/// How the fields do.
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

/// What belongs to nobody alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Common {
    /// What chance depends on.
    pub(super) seed: u64,
    /// The day, counted from 1.
    pub(super) day: i64,
    /// Turns taken today.
    pub(super) turns_today: i64,
    /// How many agents the society began with, and grows back to.
    pub(super) founders: u32,
    pub(super) next_agent: i64,
    pub(super) next_proposal: i64,
    pub(super) next_law: i64,
    pub(super) next_post: i64,
    /// Agents that have died.
    pub(super) died: u32,
    /// What the society owns together.
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
    pub(super) fn founded(founders: u32, seed: u64) -> Self {
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
            agents: numbers.map(|number| (number, Agent::born(number, seed, 0))).collect(),
            proposals: BTreeMap::new(),
            forum: Forum::default(),
        }
    }

    /// The society that `documents` hold.
    ///
    /// # Errors
    /// `Unusable` naming the document that is missing or not of this world.
    pub(super) fn load(documents: &Documents) -> Result<Self> {
        Ok(Self {
            common: one(documents, SOCIETY)?,
            agents: all(documents, AGENT, |agent: &Agent| agent.number)?,
            proposals: all(documents, PROPOSAL, |proposal: &Proposal| proposal.id)?,
            forum: one(documents, FORUM)?,
        })
    }

    /// The society as documents.
    ///
    /// # Errors
    /// `Internal`, for what cannot be JSON.
    pub(super) fn documents(&self) -> Result<Documents> {
        let mut documents = Documents::new();
        documents.insert(SOCIETY.to_owned(), json_of(&self.common)?);
        documents.insert(FORUM.to_owned(), json_of(&self.forum)?);
        add_changes(&mut documents, agent_name, &BTreeMap::new(), &self.agents)?;
        add_changes(&mut documents, proposal_name, &BTreeMap::new(), &self.proposals)?;
        Ok(documents)
    }

    /// The documents that differ from those of `before`; null for those that are gone.
    ///
    /// # Errors
    /// `Internal`, for what cannot be JSON.
    pub(super) fn changes_from(&self, before: &Self) -> Result<Documents> {
        let mut documents = Documents::new();
        if self.common != before.common {
            documents.insert(SOCIETY.to_owned(), json_of(&self.common)?);
        }
        if self.forum != before.forum {
            documents.insert(FORUM.to_owned(), json_of(&self.forum)?);
        }
        add_changes(&mut documents, agent_name, &before.agents, &self.agents)?;
        add_changes(&mut documents, proposal_name, &before.proposals, &self.proposals)?;
        Ok(documents)
    }

    /// Who may act, longest waiting first: by turns taken, then by number.
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

    /// The agent of that number, dead or not.
    pub(super) fn agent(&self, number: i64) -> Result<&Agent, Refusal> {
        self.agents.get(&number).ok_or_else(|| Refusal::because(format!("no agent {number}")))
    }

    pub(super) fn agent_mut(&mut self, number: i64) -> Result<&mut Agent, Refusal> {
        self.agents.get_mut(&number).ok_or_else(|| Refusal::because(format!("no agent {number}")))
    }

    /// Proposals that can be voted on, oldest first.
    pub(super) fn open_proposals(&self) -> impl Iterator<Item = &Proposal> {
        self.proposals.values().filter(|proposal| proposal.is_open())
    }

    /// Whether such a rule is in force or before the assembly.
    pub(super) fn concerns_itself_with(&self, rule: Rule) -> bool {
        self.common.laws.iter().any(|law| law.rule.rivals(rule))
            || self.open_proposals().any(|proposal| proposal.rule.rivals(rule))
    }

    /// What an agent owns more than a law in force allows, and that law.
    pub(super) fn breach(&self, agent: &Agent) -> Option<(i64, Resource, u32)> {
        self.common.laws.iter().find_map(|law| match law.rule {
            Rule::Cap { resource, limit } if agent.has(resource) > limit => {
                Some((law.id, resource, agent.has(resource) - limit))
            }
            _ => None,
        })
    }

    /// Today's weather.
    pub(super) fn weather(&self) -> Weather {
        let period = self.common.day.div_euclid(WEATHER_LASTS);
        let drawn = |at| Chance::of(self.common.seed, Purpose::Weather, at, 0).below(3);
        match (drawn(period), drawn(period - 1)) {
            // Two droughts in a row would be a famine.
            (0, 0) => Weather::Fair,
            (0, _) => Weather::Drought,
            (1, _) => Weather::Plenty,
            _ => Weather::Fair,
        }
    }
}

fn agent_name(number: i64) -> String {
    format!("{AGENT}{number:03}")
}

fn proposal_name(id: i64) -> String {
    format!("{PROPOSAL}{id:05}")
}

/// Adds the items that are new, changed or gone, by name.
fn add_changes<T: Serialize + PartialEq>(
    documents: &mut Documents,
    name: impl Fn(i64) -> String,
    before: &BTreeMap<i64, T>,
    after: &BTreeMap<i64, T>,
) -> Result<()> {
    for (id, item) in after {
        if before.get(id) != Some(item) {
            documents.insert(name(*id), json_of(item)?);
        }
    }
    let gone = before.keys().filter(|id| !after.contains_key(id));
    documents.extend(gone.map(|id| (name(*id), Value::Null)));
    Ok(())
}

fn one<T: DeserializeOwned>(documents: &Documents, name: &str) -> Result<T> {
    documents.get(name).map_or_else(|| Err(foreign(name)), |document| read(name, document))
}

fn all<T: DeserializeOwned>(
    documents: &Documents,
    prefix: &str,
    id: impl Fn(&T) -> i64,
) -> Result<BTreeMap<i64, T>> {
    let named = documents.iter().filter(|(name, _)| name.starts_with(prefix));
    named.map(|(name, document)| read(name, document).map(|item| (id(&item), item))).collect()
}

fn read<T: DeserializeOwned>(name: &str, document: &Value) -> Result<T> {
    T::deserialize(document).map_err(|error| foreign(name).with_source(error))
}

fn foreign(name: &str) -> Error {
    let detail = format!("the document {name} is missing or not of the world commons");
    Error::new(ErrorKind::Unusable, detail)
}

fn json_of<T: Serialize>(item: &T) -> Result<Value> {
    serde_json::to_value(item)
        .map_err(|error| Error::internal("the world cannot be written").with_source(error))
}
