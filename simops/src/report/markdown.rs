//! A report as Markdown.

use super::RunReport;
use crate::digest::markdown::{escaped, named};

impl RunReport {
    /// The report as Markdown, ended by a line break.
    pub fn markdown(&self) -> String {
        let run = &self.run;
        let mut lines = vec![
            format!("# Run {}", named(&run.run_id)),
            String::new(),
            format!("- Mode: {}", run.mode.as_str()),
            format!("- Protocol: {}", named(&run.protocol_version)),
            format!(
                "- Condition: {}",
                run.condition_name.as_deref().map_or("none".to_owned(), named)
            ),
            format!("- Began: {}, by {}", run.started_at, escaped(&run.started_by)),
            match run.ended_at {
                Some(ended) => format!(
                    "- Ended: {ended}, {}",
                    run.end_reason.as_deref().map_or("no reason given".to_owned(), escaped)
                ),
                None => "- Ended: not yet; this report is provisional".to_owned(),
            },
            format!("- Duration: {} s", self.duration_seconds),
        ];
        let counts = [
            ("Agents carried over", run.carryover_agent_count),
            ("New agents", run.fresh_agent_count),
        ];
        lines.extend(run.parent_run_id.iter().map(|id| format!("- Parent run: {}", named(id))));
        let mirror = run.mirror_control_run_id.iter();
        lines.extend(mirror.map(|id| format!("- Mirror of run: {}", named(id))));
        lines.extend(counts.iter().filter_map(|(what, n)| n.map(|n| format!("- {what}: {n}"))));
        if run.protocol_deviation || run.deviation_reason.is_some() {
            let reason =
                run.deviation_reason.as_deref().map_or("no reason given".to_owned(), escaped);
            lines.push(format!("- Protocol deviation: {reason}"));
        }
        let mut section = |heading: &str, items: Vec<String>| {
            lines.extend([String::new(), format!("## {heading}"), String::new()]);
            let nothing = if items.is_empty() { vec!["- None.".to_owned()] } else { items };
            lines.extend(nothing);
        };
        let spend = &self.spend;
        let mut money = vec![
            format!(
                "- {:.4} USD for {} calls, {} of them failed",
                spend.cost_usd, spend.calls, spend.failed_calls
            ),
            format!("- {} tokens sent, {} received", spend.input_tokens, spend.output_tokens),
            format!("- A thousand actions cost {} USD", figure(self.cost_per_thousand_actions_usd)),
        ];
        money.extend(self.models.iter().map(|model| {
            let name = format!("{}/{}", model.provider, model.model);
            format!("- {}: {} calls, {:.4} USD", escaped(&name), model.calls, model.cost_usd)
        }));
        section("Spend", money);
        let failed = self.failure_windows.iter().map(|stretch| {
            let (failed, calls) = (stretch.failed_calls, stretch.calls);
            format!(
                "- {} ({} min): {failed} of {calls} calls failed",
                stretch.begin, stretch.minutes
            )
        });
        let errors = self
            .errors
            .iter()
            .map(|error| format!("- {}: {}", named(&error.error_type), error.calls));
        section("Failed calls", failed.chain(errors).collect());
        let activity = &self.activity;
        let mut acted = vec![
            format!(
                "- {} events, {} actions by {} agents",
                activity.total_events, activity.total_actions, activity.active_agents
            ),
            format!(
                "- {} about governance, {} for each other, {} against each other",
                activity.governance_events, activity.cooperation_events, activity.conflict_events
            ),
            format!(
                "- {} not possible, {} enforced",
                activity.invalid_actions, activity.enforcement_events
            ),
        ];
        acted.extend(
            activity
                .by_type
                .iter()
                .take(10)
                .map(|c| format!("- {}: {}", named(&c.event_type), c.events)),
        );
        section("Activity", acted);
        let society = &self.emergence;
        section(
            "Society",
            vec![
                format!(
                    "- Living at the end: {}",
                    society.living_agents.map_or("unknown".to_owned(), |n| n.to_string())
                ),
                format!("- Inequality (Gini): {}", figure(society.inequality_gini)),
                format!(
                    "- Took part in governance: {}",
                    figure(society.governance_participation_rate)
                ),
                format!(
                    "- Coalition edges: {}, churn {}",
                    society.coalition_edges,
                    figure(society.coalition_churn)
                ),
            ],
        );
        section(
            "Visitors",
            self.kpis
                .iter()
                .map(|day| {
                    format!(
                        "- {}: {} landing visitors, {} of a run, replays completed {}",
                        day.day_key,
                        day.landing_view_visitors,
                        day.run_detail_visitors,
                        figure(day.replay_completion_rate)
                    )
                })
                .collect(),
        );
        section(
            "Stop conditions at the end",
            self.guardrails
                .iter()
                .map(|c| {
                    let tripped = if c.tripped { ", reached" } else { "" };
                    format!("- {}: {} of {}{tripped}", named(&c.condition), c.observed, c.threshold)
                })
                .collect(),
        );
        lines.join("\n") + "\n"
    }
}

fn figure(value: Option<f64>) -> String {
    value.map_or("unknown".to_owned(), |value| format!("{value:.4}"))
}
