//! Distribution of wealth among living agents.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::AgentId;
use crate::event::Event;
use crate::number::to_f64;

/// The inventory of each living agent: amounts by resource.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Inventories(BTreeMap<AgentId, BTreeMap<String, f64>>);

/// Totals of all resources and the share of the richest agents.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Concentration {
    /// The total amount owned by living agents, by resource.
    pub resource_totals: BTreeMap<String, f64>,
    /// The richest agent's share of all resources; null if no agent owns anything.
    pub top1_share: Option<f64>,
    /// The share of the ten richest agents.
    pub top10_share: Option<f64>,
}

impl Inventories {
    /// Reads an [`inventory_snapshot`](crate::event::kind::INVENTORY_SNAPSHOT) event; `None` if it has
    /// no list of inventories. Entries without the number or name of an agent are ignored.
    pub fn of_event(event: &Event) -> Option<Self> {
        let entries = event.metadata.get("inventories")?.as_array()?;
        let owned = entries.iter().filter_map(|entry| {
            let named = ["agent_id", "agent"].map(|field| entry.get(field).and_then(agent_id));
            let agent = named.into_iter().flatten().next()?;
            Some((agent, amounts(entry)))
        });
        Some(Self(owned.collect()))
    }

    /// Reads the documents of a world; `None` if it has no agent documents. An agent document is
    /// named `agent/…` and has the fields `number` (or name), `stock` (amounts by resource) and `state`. Agents
    /// in state `dead` are ignored.
    pub fn of_documents<'a>(
        documents: impl IntoIterator<Item = (&'a String, &'a Value)>,
    ) -> Option<Self> {
        let agents = documents.into_iter().filter(|(name, _)| name.starts_with("agent/"));
        let mut agents = agents.filter_map(|(_, agent)| {
            Some((agent_id(agent.get("number")?)?, agent.get("state"), agent.get("stock")?))
        });
        let first = agents.next()?;
        let all = std::iter::once(first).chain(agents);
        let living = all.filter(|(_, state, _)| state.and_then(Value::as_str) != Some("dead"));
        Some(Self(living.map(|(number, _, stock)| (number, amounts(stock))).collect()))
    }

    /// The number of living agents.
    pub fn living_agents(&self) -> i64 {
        self.0.len().try_into().unwrap_or(i64::MAX)
    }

    /// Whether an agent is alive.
    pub fn is_living(&self, agent: &AgentId) -> bool {
        self.0.contains_key(agent)
    }

    /// The Gini coefficient of the agents' wealth, which is the sum of all their amounts; `None`
    /// without agents.
    pub fn gini(&self) -> Option<f64> {
        gini_of(&[self])
    }

    /// The totals and the shares of the richest agents.
    pub fn concentration(&self) -> Concentration {
        Concentration::of(&[self])
    }

    fn wealth(&self) -> impl Iterator<Item = f64> {
        self.0.values().map(|owned| owned.values().sum())
    }
}

impl Concentration {
    /// The totals and the shares of the richest agents of several runs, each with its inventories. Agents
    /// of different runs are different agents.
    pub(crate) fn of(runs: &[&Inventories]) -> Self {
        let mut resource_totals = BTreeMap::new();
        for (resource, amount) in runs.iter().flat_map(|owned| owned.0.values().flatten()) {
            *resource_totals.entry(resource.clone()).or_default() += amount;
        }
        let mut wealth: Vec<f64> = runs.iter().flat_map(|owned| owned.wealth()).collect();
        wealth.sort_by(|a, b| b.total_cmp(a));
        let whole: f64 = wealth.iter().sum();
        let share = |richest: usize| {
            let part: f64 = wealth.iter().take(richest).sum();
            (whole > 0.0).then(|| part / whole)
        };
        Self { resource_totals, top1_share: share(1), top10_share: share(10) }
    }
}

/// The Gini coefficient of the wealth of the agents of several runs; `None` without agents.
pub(crate) fn gini_of(runs: &[&Inventories]) -> Option<f64> {
    let wealth: Vec<f64> = runs.iter().flat_map(|owned| owned.wealth()).collect();
    gini(&wealth)
}

/// The agent that a value of JSON names, by its number or name.
fn agent_id(value: &Value) -> Option<AgentId> {
    AgentId::deserialize(value).ok()
}

/// All numeric fields except the agent's. Negative values and other types are ignored.
fn amounts(entry: &Value) -> BTreeMap<String, f64> {
    let fields = entry.as_object().into_iter().flatten();
    let owned = fields
        .filter(|(name, _)| !matches!(name.as_str(), "agent_id" | "agent"))
        .filter_map(|(name, value)| {
            let amount = value.as_f64().filter(|amount| amount.is_finite() && *amount >= 0.0)?;
            Some((name.clone(), amount))
        });
    owned.collect()
}

/// The Gini coefficient of non-negative amounts: 0 if all are equal, close to 1 if one has everything;
/// `None` for an empty slice.
pub(crate) fn gini(amounts: &[f64]) -> Option<f64> {
    if amounts.is_empty() {
        return None;
    }
    let mut sorted = amounts.to_vec();
    sorted.sort_by(f64::total_cmp);
    let whole: f64 = sorted.iter().sum();
    if whole <= 0.0 {
        return Some(0.0);
    }
    let n = to_f64(sorted.len());
    let weighted: f64 =
        (1_i64..).zip(&sorted).map(|(rank, x)| (2.0 * to_f64(rank) - n - 1.0) * x).sum();
    Some((weighted / (n * whole)).clamp(0.0, 1.0))
}
