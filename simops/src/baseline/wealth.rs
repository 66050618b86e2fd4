//! How what is owned is spread over the living.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::event::Event;

/// What each living agent owns, by resource.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Inventories(BTreeMap<i64, BTreeMap<String, f64>>);

/// Resources now: their totals, and how much the richest have of all of them.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Concentration {
    /// What the living own, by resource.
    pub resource_totals: BTreeMap<String, f64>,
    /// The richest agent's share of everything; null when nobody owns anything.
    pub top1_share: Option<f64>,
    /// The share of the ten richest.
    pub top10_share: Option<f64>,
}

impl Inventories {
    /// What an [`inventory_snapshot`](crate::event::kind::INVENTORY_SNAPSHOT) says; `None` when it
    /// carries no list of inventories. An entry without an agent is left out.
    pub fn of_event(event: &Event) -> Option<Self> {
        let entries = event.metadata.get("inventories")?.as_array()?;
        let owned = entries.iter().filter_map(|entry| {
            let agent = entry.get("agent_id")?.as_i64()?;
            Some((agent, amounts(entry)))
        });
        Some(Self(owned.collect()))
    }

    /// What the documents of a world say: each named `agent/…` is an agent with its `number`; it owns
    /// what its `stock` says, and does not live when its `state` is `dead`. `None` when there is no
    /// such document.
    pub fn of_documents<'a>(
        documents: impl IntoIterator<Item = (&'a String, &'a Value)>,
    ) -> Option<Self> {
        let agents = documents.into_iter().filter(|(name, _)| name.starts_with("agent/"));
        let mut agents = agents.filter_map(|(_, agent)| {
            Some((agent.get("number")?.as_i64()?, agent.get("state"), agent.get("stock")?))
        });
        let first = agents.next()?;
        let all = std::iter::once(first).chain(agents);
        let living = all.filter(|(_, state, _)| state.and_then(Value::as_str) != Some("dead"));
        Some(Self(living.map(|(number, _, stock)| (number, amounts(stock))).collect()))
    }

    /// How many live.
    pub fn living_agents(&self) -> i64 {
        self.0.len().try_into().unwrap_or(i64::MAX)
    }

    /// Whether an agent lives.
    pub fn is_living(&self, agent: i64) -> bool {
        self.0.contains_key(&agent)
    }

    /// How unequal the living are in what they own together of all resources; `None` without any.
    pub fn gini(&self) -> Option<f64> {
        gini(&self.wealth())
    }

    /// Totals and the shares of the richest.
    pub fn concentration(&self) -> Concentration {
        let mut resource_totals = BTreeMap::new();
        for (resource, amount) in self.0.values().flatten() {
            *resource_totals.entry(resource.clone()).or_default() += amount;
        }
        let mut wealth = self.wealth();
        wealth.sort_by(|a, b| b.total_cmp(a));
        let whole: f64 = wealth.iter().sum();
        let share = |richest: usize| {
            let part: f64 = wealth.iter().take(richest).sum();
            (whole > 0.0).then(|| part / whole)
        };
        Concentration { resource_totals, top1_share: share(1), top10_share: share(10) }
    }

    fn wealth(&self) -> Vec<f64> {
        self.0.values().map(|owned| owned.values().sum()).collect()
    }
}

/// Every number beside the agent's own. What is below nothing, or no number at all, is not owned.
fn amounts(entry: &Value) -> BTreeMap<String, f64> {
    let fields = entry.as_object().into_iter().flatten();
    let owned = fields.filter(|(name, _)| *name != "agent_id").filter_map(|(name, value)| {
        let amount = value.as_f64().filter(|amount| amount.is_finite() && *amount >= 0.0)?;
        Some((name.clone(), amount))
    });
    owned.collect()
}

/// The Gini coefficient of amounts that are not negative: 0 when all are equal, towards 1 when one
/// has everything; `None` of none.
///
/// Half the mean difference of all pairs over the mean, computed from the sorted amounts.
pub fn gini(amounts: &[f64]) -> Option<f64> {
    if amounts.is_empty() {
        return None;
    }
    let mut sorted = amounts.to_vec();
    sorted.sort_by(f64::total_cmp);
    let whole: f64 = sorted.iter().sum();
    if whole <= 0.0 {
        return Some(0.0);
    }
    let n = count(sorted.len());
    let weighted: f64 = (1..).zip(&sorted).map(|(rank, x)| (2.0 * count(rank) - n - 1.0) * x).sum();
    Some((weighted / (n * whole)).clamp(0.0, 1.0))
}

#[expect(clippy::cast_precision_loss, reason = "agents are fewer than 2^52")]
fn count(count: usize) -> f64 {
    count as f64
}
