//! Metrics of a society as a whole: participation, inequality, coalitions, conflict and cooperation.

use serde::{Deserialize, Serialize};

use super::votes::Coalitions;
use super::wealth::{Inventories, gini_of};
use super::window::{count, governance_participants};
use crate::event::category;
use crate::event::{EventClass, EventTally};
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

/// What the metrics of one society are computed from.
#[derive(Debug, Clone, Default)]
pub(crate) struct Society {
    /// The event counts of the window.
    pub tallies: Vec<EventTally>,
    /// The coalitions of its votes.
    pub coalitions: Coalitions,
    /// The inventories at its end.
    pub owned: Option<Inventories>,
    /// The inventories at its start.
    pub owned_before: Option<Inventories>,
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
        Self::of_societies(&[Society {
            tallies: tallies.to_vec(),
            coalitions,
            owned: owned.cloned(),
            owned_before: before.cloned(),
        }])
    }

    /// Computes the metrics of the societies of several runs together. Agents of different runs are
    /// different agents; the trend of inequality is that of the runs whose inventories are known at both
    /// ends of the window.
    pub(crate) fn of_societies(societies: &[Society]) -> Self {
        let count = |matches: &dyn Fn(&EventClass) -> bool| -> i64 {
            societies.iter().map(|society| count(&society.tallies, matches)).sum()
        };
        let actions = count(&|class| class.mode.is_some());
        let in_category = |name: &str| count(&|class| class.category == name);
        let (conflict, cooperation) =
            (in_category(category::CONFLICT), in_category(category::COOPERATION));
        let number = |agents: usize| i64::try_from(agents).unwrap_or(i64::MAX);
        let mut coalitions = Coalitions::default();
        let (mut participants, mut alive) = (0, 0);
        for society in societies {
            coalitions.edges += society.coalitions.edges;
            coalitions.changed += society.coalitions.changed;
            coalitions.union += society.coalitions.union;
            let governed = governance_participants(&society.tallies);
            participants += number(governed.len());
            // A participant may have died since.
            if let Some(owned) = &society.owned {
                alive += number(governed.iter().filter(|agent| owned.is_living(agent)).count());
            }
        }
        let owned: Vec<_> = societies.iter().filter_map(|society| society.owned.as_ref()).collect();
        let living: i64 = owned.iter().map(|owned| owned.living_agents()).sum();
        let both = societies.iter();
        let both = both.filter_map(|of| Some((of.owned.as_ref()?, of.owned_before.as_ref()?)));
        let (now, before): (Vec<_>, Vec<_>) = both.unzip();
        let gini_then = gini_of(&now).zip(gini_of(&before));
        Self {
            living_agents: (!owned.is_empty()).then_some(living),
            governance_participants: participants,
            governance_participation_rate: (!owned.is_empty())
                .then(|| ratio(alive, living))
                .flatten(),
            inequality_gini: gini_of(&owned),
            inequality_trend: gini_then.map(|(now, before)| now - before),
            coalition_edges: coalitions.edges,
            coalition_churn: coalitions.churn(),
            conflict_events: conflict,
            conflict_rate: ratio(conflict, actions),
            cooperation_events: cooperation,
            cooperation_rate: ratio(cooperation, actions),
        }
    }
}
