//! What the latest window says of the society as a whole.

use serde::{Deserialize, Serialize};

use super::votes::Coalitions;
use super::wealth::Inventories;
use super::window::{count, governance_participants, ratio};
use crate::event::EventTally;
use crate::event::category;

/// Figures of the latest window. Null: there is nothing to compute it from.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct Emergence {
    /// Agents that live at its end.
    pub living_agents: Option<i64>,
    /// Agents that proposed, voted or governed otherwise in it.
    pub governance_participants: i64,
    /// The share of the living that did.
    pub governance_participation_rate: Option<f64>,
    /// Gini coefficient of what the living own, over all resources: 0 equal, towards 1 unequal.
    pub inequality_gini: Option<f64>,
    /// How much it has changed since the window before.
    pub inequality_trend: Option<f64>,
    /// Pairs of agents who voted alike in at least 70 % of at least 2 shared votes.
    pub coalition_edges: i64,
    /// Edges that are in this window or in the one before but not in both, over those in either.
    pub coalition_churn: Option<f64>,
    /// Events of agents against each other.
    pub conflict_events: i64,
    /// Per action.
    pub conflict_rate: Option<f64>,
    /// Events of agents for each other.
    pub cooperation_events: i64,
    /// Per action.
    pub cooperation_rate: Option<f64>,
}

impl Emergence {
    /// The figures of a window with these events and coalitions, at whose end the living own
    /// `owned`, and at whose begin they owned `before`.
    pub fn of(
        tallies: &[EventTally],
        coalitions: Coalitions,
        owned: Option<&Inventories>,
        before: Option<&Inventories>,
    ) -> Self {
        let actions = count(tallies, |class| class.mode.is_some());
        let about = |word: &str| count(tallies, |class| class.category == word);
        let (conflict, cooperation) = (about(category::CONFLICT), about(category::COOPERATION));
        let taking_part = governance_participants(tallies);
        let number = |agents: usize| i64::try_from(agents).unwrap_or(i64::MAX);
        let living = owned.map(Inventories::living_agents);
        let gini = owned.and_then(Inventories::gini);
        let gini_before = before.and_then(Inventories::gini);
        Self {
            living_agents: living,
            governance_participants: number(taking_part.len()),
            governance_participation_rate: owned.and_then(|owned| {
                // Who took part may have died since.
                let alive = taking_part.iter().filter(|agent| owned.is_living(**agent)).count();
                ratio(number(alive), owned.living_agents())
            }),
            inequality_gini: gini,
            inequality_trend: gini.zip(gini_before).map(|(now, before)| now - before),
            coalition_edges: coalitions.edges,
            coalition_churn: coalitions.churn(),
            conflict_events: conflict,
            conflict_rate: ratio(conflict, actions),
            cooperation_events: cooperation,
            cooperation_rate: ratio(cooperation, actions),
        }
    }
}
