//! Formats a run report as Markdown.

use super::RunReport;
use crate::digest::markdown::{escaped, named};

/// The number of event types in the list of activity.
const MAX_EVENT_TYPES: usize = 10;

impl RunReport {
    /// Formats the report as Markdown. The text ends with a line break.
    pub fn markdown(&self) -> String {
        let mut lines = vec![format!("# Run {}", named(&self.run.run_id)), String::new()];
        lines.extend(self.head());
        for (heading, items) in [
            ("Spend", self.spend_items()),
            ("Failed calls", self.failure_items()),
            ("Activity", self.activity_items()),
            ("Society", self.society_items()),
            ("Visitors", self.visitor_items()),
            ("Stop conditions at the end", self.guardrail_items()),
        ] {
            lines.extend([String::new(), format!("## {heading}"), String::new()]);
            lines.extend(if items.is_empty() { vec!["- None.".to_owned()] } else { items });
        }
        lines.join("\n") + "\n"
    }

    fn head(&self) -> Vec<String> {
        let run = &self.run;
        let condition = run.condition_name.as_deref().map_or("none".to_owned(), named);
        let reason = run.end_reason.as_deref().map_or("no reason given".to_owned(), escaped);
        let mut lines = vec![
            format!("- Mode: {}", run.mode.as_str()),
            format!("- Protocol: {}", named(&run.protocol_version)),
            format!("- Condition: {condition}"),
            format!("- Started: {} by {}", run.started_at, escaped(&run.started_by)),
            match run.ended_at {
                Some(ended) => format!("- Ended: {ended}, {reason}"),
                None => "- Ended: the run is open; this report is provisional".to_owned(),
            },
            format!("- Duration: {} s", self.duration_seconds),
        ];
        let counts = [
            ("Agents carried over", run.carryover_agent_count),
            ("New agents", run.fresh_agent_count),
        ];
        lines.extend(run.group_id.iter().map(|id| format!("- Group: {}", named(id))));
        let labels = run.labels.iter();
        let labels = labels.map(|(name, value)| format!("{}: {}", named(name), escaped(value)));
        let labels = labels.collect::<Vec<_>>().join(", ");
        lines.extend((!labels.is_empty()).then(|| format!("- Labels: {labels}")));
        lines.extend(run.parent_run_id.iter().map(|id| format!("- Parent run: {}", named(id))));
        let mirror = run.mirror_control_run_id.iter();
        lines.extend(mirror.map(|id| format!("- Mirror of run: {}", named(id))));
        lines.extend(counts.iter().filter_map(|(what, n)| n.map(|n| format!("- {what}: {n}"))));
        if run.protocol_deviation || run.deviation_reason.is_some() {
            let reason =
                run.deviation_reason.as_deref().map_or("no reason given".to_owned(), escaped);
            lines.push(format!("- Protocol deviation: {reason}"));
        }
        lines
    }

    fn spend_items(&self) -> Vec<String> {
        let spend = &self.spend;
        let per_thousand = value_or_unknown(self.cost_per_thousand_actions_usd);
        let mut items = vec![
            format!(
                "- {:.4} USD for {} calls ({} failed)",
                spend.cost_usd, spend.calls, spend.failed_calls
            ),
            format!("- {} input tokens, {} output tokens", spend.input_tokens, spend.output_tokens),
            format!("- Cost per 1,000 actions: {per_thousand} USD"),
        ];
        items.extend(self.models.iter().map(|model| {
            let name = format!("{}/{}", model.provider, model.model);
            format!("- {}: {} calls, {:.4} USD", escaped(&name), model.calls, model.cost_usd)
        }));
        items
    }

    fn failure_items(&self) -> Vec<String> {
        let windows = self.failure_windows.iter().map(|window| {
            let (failed, calls) = (window.failed_calls, window.calls);
            format!("- {} ({} min): {failed} of {calls} calls failed", window.begin, window.minutes)
        });
        let errors = self.errors.iter();
        let errors = errors.map(|error| format!("- {}: {}", named(&error.error_type), error.calls));
        windows.chain(errors).collect()
    }

    fn activity_items(&self) -> Vec<String> {
        let activity = &self.activity;
        let mut items = vec![
            format!(
                "- {} events, {} actions by {} agents",
                activity.total_events, activity.total_actions, activity.active_agents
            ),
            format!(
                "- {} governance events, {} cooperation events, {} conflict events",
                activity.governance_events, activity.cooperation_events, activity.conflict_events
            ),
            format!(
                "- {} invalid actions, {} enforcement events",
                activity.invalid_actions, activity.enforcement_events
            ),
        ];
        let types = activity.by_type.iter().take(MAX_EVENT_TYPES);
        items
            .extend(types.map(|count| format!("- {}: {}", named(&count.event_type), count.events)));
        items
    }

    fn society_items(&self) -> Vec<String> {
        let society = &self.emergence;
        let living = society.living_agents.map_or("unknown".to_owned(), |n| n.to_string());
        let participation = value_or_unknown(society.governance_participation_rate);
        let churn = value_or_unknown(society.coalition_churn);
        vec![
            format!("- Living agents at the end: {living}"),
            format!("- Inequality (Gini): {}", value_or_unknown(society.inequality_gini)),
            format!("- Governance participation rate: {participation}"),
            format!("- Coalition edges: {}, churn {churn}", society.coalition_edges),
        ]
    }

    fn visitor_items(&self) -> Vec<String> {
        let days = self.kpis.iter().map(|day| {
            format!(
                "- {}: {} landing page visitors, {} run visitors, replay completion rate {}",
                day.day_key,
                day.landing_view_visitors,
                day.run_detail_visitors,
                value_or_unknown(day.replay_completion_rate)
            )
        });
        days.collect()
    }

    fn guardrail_items(&self) -> Vec<String> {
        let conditions = self.guardrails.iter().map(|c| {
            let met = if c.tripped { ", met" } else { "" };
            format!("- {}: {} (threshold {}){met}", named(&c.condition), c.observed, c.threshold)
        });
        conditions.collect()
    }
}

fn value_or_unknown(value: Option<f64>) -> String {
    value.map_or("unknown".to_owned(), |value| format!("{value:.4}"))
}
