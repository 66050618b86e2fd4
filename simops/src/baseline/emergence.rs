//! Metrics of a society as a whole: participation, inequality, coalitions, conflict and cooperation.

use serde::{Deserialize, Serialize};

use super::votes::Coalitions;
use super::wealth::Inventories;
use super::window::{count, governance_participants};
use crate::event::EventTally;
use crate::event::category;
use crate::number::ratio;

/// Metrics of the latest window. A metric is null if the events contain no data for it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct Emergence {
    /// The number of living agents at the end of the window.
    pub living_agents: Option<i64>,
    /// The number of agents with a governance action in the window.
    pub governance_participants: i64,
    /// The fraction of living agents with a governance action.
    pub governance_participation_rate: Option<f64>,
    /// The Gini coefficient of the living agents' wealth over all resources: 0 is full equality.
    pub inequality_gini: Option<f64>,
    /// The change of the Gini coefficient since the previous window.
    pub inequality_trend: Option<f64>,
    /// The number of pairs of agents that agree in at least 70 % of their common votes, of which
    /// there are at least two.
    pub coalition_edges: i64,
    /// Coalition edges that exist in only one of this window and the previous one, divided by those
    /// that exist in either.
    pub coalition_churn: Option<f64>,
    /// The number of conflict events.
    pub conflict_events: i64,
    /// Conflict events per action.
    pub conflict_rate: Option<f64>,
    /// The number of cooperation events.
    pub cooperation_events: i64,
    /// Cooperation events per action.
    pub cooperation_rate: Option<f64>,
}

impl Emergence {
    /// Computes the metrics of a window from its event counts and coalitions, and from the
    /// inventories at its end (`owned`) and at its start (`before`).
    pub fn of(
        tallies: &[EventTally],
        coalitions: Coalitions,
        owned: Option<&Inventories>,
        before: Option<&Inventories>,
    ) -> Self {
        let actions = count(tallies, |class| class.mode.is_some());
        let in_category = |name: &str| count(tallies, |class| class.category == name);
        let (conflict, cooperation) =
            (in_category(category::CONFLICT), in_category(category::COOPERATION));
        let participants = governance_participants(tallies);
        let number = |agents: usize| i64::try_from(agents).unwrap_or(i64::MAX);
        let living = owned.map(Inventories::living_agents);
        let gini = owned.and_then(Inventories::gini);
        let gini_before = before.and_then(Inventories::gini);
        Self {
            living_agents: living,
            governance_participants: number(participants.len()),
            governance_participation_rate: owned.and_then(|owned| {
                // A participant may have died since.
                let alive = participants.iter().filter(|agent| owned.is_living(**agent)).count();
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
