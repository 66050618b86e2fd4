//! Lists of runs: by group and label, with their figures, and as CSV.

use std::collections::{BTreeSet, HashMap};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::metrics::{Activity, Governance};
use super::records::MAX_PAGE;
use super::{Listing, Ops, bounded, cursor_position};
use crate::csv;
use crate::run::labels::parse_filter;
use crate::run::{MAX_LABELS, RunRecord};
use crate::store::{EventCount, RunFilter};
use crate::usage::CallTotals;
use crate::{Error, Result};

/// Which runs to list.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RunsQuery {
    /// Only of this group.
    pub group_id: Option<String>,
    /// Only with all of these labels, each as `NAME:VALUE`.
    pub labels: Vec<String>,
    /// Whether to add the figures of each run.
    pub figures: bool,
    /// The cursor of an earlier page.
    pub cursor: Option<String>,
    /// 1 to 500.
    pub limit: i64,
}

/// A run in a list: its registry row, and its figures if they were asked for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ListedRun {
    /// The registry row.
    #[serde(flatten)]
    pub run: RunRecord,
    /// Calls to models.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub llm: Option<CallTotals>,
    /// Actions and messages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activity: Option<Activity>,
    /// Proposals and votes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub governance: Option<Governance>,
}

impl RunsQuery {
    fn filter(&self) -> Result<RunFilter> {
        if self.labels.len() > MAX_LABELS {
            return Err(Error::invalid("label", format!("must be at most {MAX_LABELS}")));
        }
        let labels = self.labels.iter().map(|label| parse_filter("label", label));
        Ok(RunFilter {
            group_id: self.group_id.clone().filter(|text| !text.is_empty()),
            labels: labels.collect::<Result<_>>()?,
            before: cursor_position(self.cursor.as_deref())?,
            limit: bounded("limit", self.limit, MAX_PAGE)?,
        })
    }
}

impl Ops {
    /// A page of the run registry, newest start first.
    ///
    /// # Errors
    /// Returns `Invalid` for a limit outside 1 to 500, and for a malformed cursor or label.
    pub async fn runs(&self, query: &RunsQuery) -> Result<Listing<ListedRun>> {
        let page = self.store.runs(&query.filter()?).await?;
        let Listing { items, next_cursor } = Listing::from(page);
        if !query.figures {
            let listed = items.into_iter().map(|run| ListedRun { run, ..ListedRun::default() });
            return Ok(Listing { items: listed.collect(), next_cursor });
        }
        let run_ids: Vec<_> = items.iter().map(|run| run.run_id.clone()).collect();
        let mut figures = self.figures_of(&run_ids).await?;
        let with_figures = |run: RunRecord| {
            let (llm, counts) = figures.remove(&run.run_id).unwrap_or_default();
            let (activity, governance) = (Activity::of(&counts), Governance::of(&counts));
            ListedRun {
                run,
                llm: Some(llm),
                activity: Some(activity),
                governance: Some(governance),
            }
        };
        Ok(Listing { items: items.into_iter().map(with_figures).collect(), next_cursor })
    }

    /// The calls and event counts of runs, by name.
    pub(super) async fn figures_of(
        &self,
        run_ids: &[String],
    ) -> Result<HashMap<String, (CallTotals, Vec<EventCount>)>> {
        let mut figures = HashMap::<_, (CallTotals, Vec<EventCount>)>::new();
        for (run_id, calls) in self.store.llm_totals_by_run(run_ids).await? {
            figures.entry(run_id).or_default().0 = calls;
        }
        for (run_id, count) in self.store.count_events_by_run(run_ids).await? {
            figures.entry(run_id).or_default().1.push(count);
        }
        Ok(figures)
    }
}

/// The columns of the registry in CSV, in their order.
const REGISTRY: [&str; 28] = [
    "run_id",
    "group_id",
    "mode",
    "condition_name",
    "hypothesis_id",
    "season_id",
    "season_number",
    "parent_run_id",
    "mirror_control_run_id",
    "carryover_agent_count",
    "fresh_agent_count",
    "protocol_version",
    "protocol_deviation",
    "deviation_reason",
    "transfer_policy_version",
    "epoch_id",
    "run_class",
    "world_epoch",
    "started_at",
    "started_by",
    "start_reason",
    "ended_at",
    "end_reason",
    "ended_by",
    "host",
    "world",
    "limits",
    "limit_reached",
];

/// The objects with figures, and their columns.
const FIGURES: [(&str, &[&str]); 3] = [
    ("llm", &["calls", "success_calls", "fallback_calls", "total_tokens", "estimated_cost_usd"]),
    (
        "activity",
        &[
            "checkpoint_actions",
            "deterministic_actions",
            "proposal_actions",
            "vote_actions",
            "forum_actions",
            "forum_messages",
        ],
    ),
    ("governance", &["proposals_created", "active_proposals", "votes_cast"]),
];

impl Listing<ListedRun> {
    /// The runs as CSV with a header line: the registry, a column `label.NAME` for each label that any of
    /// them has, and the figures. Missing values are empty cells.
    pub fn csv(&self) -> String {
        let labels: BTreeSet<_> =
            self.items.iter().flat_map(|item| item.run.labels.keys()).collect();
        let mut header: Vec<_> = REGISTRY.map(String::from).into();
        header.extend(labels.iter().map(|name| format!("label.{name}")));
        let figures = || FIGURES.into_iter().flat_map(|(_, names)| names.iter().copied());
        header.extend(figures().map(String::from));
        let mut text = csv::line(&header);
        for item in &self.items {
            let row = serde_json::to_value(item).unwrap_or_default();
            let mut cells: Vec<_> = REGISTRY.iter().map(|name| formatted(&row[*name])).collect();
            cells.extend(labels.iter().map(|name| formatted(&row["labels"][name.as_str()])));
            for (object, names) in FIGURES {
                cells.extend(names.iter().map(|name| formatted(&row[object][*name])));
            }
            text.push_str(&csv::line(&cells));
        }
        text
    }
}

fn formatted(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => csv::cell(text),
        Value::Array(_) | Value::Object(_) => csv::cell(&value.to_string()),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Map;

    use super::*;
    use crate::run::RunLimits;

    #[test]
    fn limits_are_one_cell() {
        let limits = RunLimits { max_calls: Some(5), ..RunLimits::default() };
        let run = RunRecord { limits: Some(limits), ..RunRecord::default() };
        let text =
            Listing { items: vec![ListedRun { run, ..ListedRun::default() }], next_cursor: None }
                .csv();
        let json = serde_json::json!(limits).to_string();
        assert!(json.contains(','), "{json}");
        let cell = format!(",\"{}\",", json.replace('"', "\"\""));
        assert!(text.contains(&cell), "{cell} in {text}");
    }

    #[test]
    fn every_field_is_a_column() {
        let item = ListedRun {
            run: RunRecord { run_id: "r".to_owned(), ..RunRecord::default() },
            llm: Some(CallTotals::default()),
            activity: Some(Activity::default()),
            governance: Some(Governance::default()),
        };
        let row: Map<String, Value> =
            serde_json::from_value(serde_json::to_value(&item).unwrap_or_default())
                .unwrap_or_default();
        let text = Listing { items: vec![item], next_cursor: None }.csv();
        let header: Vec<_> = text.lines().next().unwrap_or_default().split(',').collect();
        for (name, value) in &row {
            // The mode has two names, and labels are columns by name.
            let fields = match value {
                Value::Object(fields) => fields.keys().collect(),
                _ if name == "run_mode" => vec![],
                _ => vec![name],
            };
            for field in fields {
                assert!(header.contains(&field.as_str()), "{field} is missing: {header:?}");
            }
        }
        assert_eq!(text.lines().nth(1).map(|line| line.split(',').count()), Some(header.len()));
    }
}
