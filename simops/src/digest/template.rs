//! The locked template of digests: which claims they make, and the links to their evidence.
//!
//! Every change of the wording or of a number format requires a new [`TEMPLATE_VERSION`], so that texts
//! of one version can be compared byte by byte. A test compares the text with a stored copy.

use super::evidence::{Evidence, EvidenceRun};
use super::markdown::{Link, encoded, escaped, named};
use super::{EvidenceCounts, Verification};
use crate::Result;
use crate::event::{EventWindow, kind};
use crate::run::{RunSelection, SelectedRuns};

/// The version of the template.
pub const TEMPLATE_VERSION: &str = "weekly-brief-v2";
/// The version of the template of digests that cover only some runs.
pub const RUNS_TEMPLATE_VERSION: &str = "runs-brief-v1";

const API: &str = "/api/admin";
/// The maximum number of event types or quotes in a list.
const MAX_LISTED: usize = 5;

/// The content of a digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Brief {
    /// The title, which contains the anchor date.
    pub title: String,
    /// A summary of one or two sentences.
    pub summary: String,
    /// The five sections.
    pub sections: Vec<Section>,
    head: Vec<String>,
}

/// A section of a digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// The heading.
    pub heading: &'static str,
    /// The claims.
    pub claims: Vec<Claim>,
}

/// A claim with its evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The claim as Markdown.
    pub text: String,
    /// Links to the evidence; never empty.
    pub evidence: Vec<Link>,
}

impl Brief {
    /// Writes the digest of `evidence`.
    ///
    /// # Errors
    /// Returns `Invalid` if the period exceeds the representable times.
    pub fn of(evidence: &Evidence) -> Result<Self> {
        let links = Links::of(evidence)?;
        let activity = &evidence.activity;
        let period = &evidence.period;
        let run = evidence.run.as_ref();
        let run_id = run.map_or("none".to_owned(), |run| named(&run.run_id));
        let state = evidence.verification.as_str();
        let covered = evidence.runs.as_ref().map(covered);
        let kind = if covered.is_some() { "Runs brief" } else { "Weekly brief" };
        let agents = if covered.is_some() { "agents of these runs" } else { "agents" };
        let head = [
            format!("- Run: {run_id}"),
            format!("- Verification: {state}"),
            format!("- Days: {} to {} (UTC)", period.first_day, period.last_day),
            format!("- Template: {}", template_of(evidence)),
        ];
        let covered = covered.map(|covered| format!("- Covers only: {covered}"));
        Ok(Self {
            title: format!("{kind} {}", evidence.anchor_date),
            head: covered.into_iter().chain(head).collect(),
            summary: format!(
                "From {} to {} (UTC) {agents} took {} ({}, {}) and made {} at a cost of {} USD. The \
                 evidence is {state}.",
                period.first_day,
                period.last_day,
                many(activity.total_actions, "action"),
                many(activity.total_events, "event"),
                many(activity.active_agents, "active agent"),
                many(evidence.calls.calls, "model call"),
                money(evidence.calls.cost_usd),
            ),
            sections: vec![
                context(evidence, &links),
                participation(evidence, &links),
                governance(evidence, &links),
                survival(evidence, &links),
                confidence(evidence, &links),
            ],
        })
    }

    /// Formats the digest as Markdown. The text ends with a line break.
    pub fn markdown(&self) -> String {
        let mut lines = vec![format!("# {}", self.title), String::new()];
        lines.extend(self.head.iter().cloned());
        lines.extend([String::new(), self.summary.clone()]);
        for section in &self.sections {
            lines.extend([String::new(), format!("## {}", section.heading), String::new()]);
            for claim in &section.claims {
                let evidence: Vec<_> = claim.evidence.iter().map(Link::markdown).collect();
                lines.push(format!("- Claim: {}", claim.text));
                lines.push(format!("  Evidence: {}", evidence.join(", ")));
            }
        }
        lines.join("\n") + "\n"
    }
}

/// The version of the template for a digest of `evidence`.
pub(crate) fn template_of(evidence: &Evidence) -> &'static str {
    if evidence.runs.is_some() { RUNS_TEMPLATE_VERSION } else { TEMPLATE_VERSION }
}

/// The runs that a digest covers, in words.
fn covered(runs: &SelectedRuns) -> String {
    let RunSelection { run_id, group_id, labels } = &runs.selection;
    let mut words = Vec::new();
    words.extend(run_id.iter().map(|run_id| format!("run {}", named(run_id))));
    words.extend(group_id.iter().map(|group_id| format!("group {}", named(group_id))));
    words.extend(
        labels.iter().map(|(name, value)| format!("label {}: {}", named(name), escaped(value))),
    );
    format!("{} ({})", words.join(", "), many(runs.selected, "run"))
}

fn context(evidence: &Evidence, links: &Links<'_>) -> Section {
    let mut claims = Vec::new();
    if let Some(runs) = &evidence.runs {
        let text = format!("This brief covers only {}.", covered(runs));
        claims.push(Claim::new(text, [links.runs(runs)]));
    }
    match &evidence.run {
        Some(run) => {
            let (mode, protocol) = (named(&run.mode), named(&run.protocol_version));
            let condition = run.condition_name.as_deref().map_or("none".to_owned(), named);
            claims.push(Claim::new(
                format!(
                    "Run {} (mode {mode}, protocol {protocol}, condition {condition}) started at {}.",
                    named(&run.run_id),
                    run.started_at
                ),
                [links.run(run)],
            ));
            if let Some(ended_at) = run.ended_at {
                let reason =
                    run.end_reason.as_deref().map_or("no reason given".to_owned(), escaped);
                let text = format!("The run ended at {ended_at}: {reason}.");
                claims.push(Claim::new(text, [links.run(run)]));
            }
            claims.push(Claim::new(
                format!(
                    "{} and {} of this run are recorded in the period; this brief is {}.",
                    many(run.events, "event"),
                    many(run.calls, "model call"),
                    evidence.verification.as_str()
                ),
                [links.activity(Some(run)), links.calls(Some(run)), links.all()],
            ));
        }
        None => {
            let none = if evidence.runs.is_some() { "None of these runs" } else { "No run" };
            let text = format!("{none} has records in the period; this brief is unverified.");
            claims.push(Claim::new(text, [links.all()]));
        }
    }
    Section { heading: "Run context and verification", claims }
}

fn participation(evidence: &Evidence, links: &Links<'_>) -> Section {
    let activity = &evidence.activity;
    let mut claims = vec![
        Claim::new(
            format!(
                "{} of {} were actions, taken by {}.",
                activity.total_actions,
                many(activity.total_events, "event"),
                many(activity.active_agents, "agent")
            ),
            [links.activity(None)],
        ),
        Claim::new(
            format!(
                "The entropy of action types was {:.3} bits; the most active agent took {} of the actions.",
                activity.action_entropy_bits,
                percent(activity.top_agent_share)
            ),
            [links.activity(None)],
        ),
    ];
    let acted = activity.by_type.iter().filter(|count| count.actions > 0);
    for count in acted.take(MAX_LISTED) {
        let text = format!("{}: {}.", named(&count.event_type), many(count.actions, "action"));
        claims.push(Claim::new(text, [links.events(&count.event_type), links.activity(None)]));
    }
    Section { heading: "Participation and activity", claims }
}

fn governance(evidence: &Evidence, links: &Links<'_>) -> Section {
    let activity = &evidence.activity;
    let proposals = activity.of_type(kind::PROPOSAL_CREATED);
    let votes = activity.of_type(kind::VOTE_CAST);
    let mut claims = vec![
        Claim::new(
            format!(
                "{} created and {} cast; {} took part in governance.",
                many(proposals, "proposal"),
                many(votes, "vote"),
                many(activity.governance_participants, "agent")
            ),
            [
                links.events(kind::PROPOSAL_CREATED),
                links.events(kind::VOTE_CAST),
                links.activity(None),
            ],
        ),
        Claim::new(
            format!(
                "{} and {}; rules were enforced {}.",
                many(activity.cooperation_events, "cooperation event"),
                many(activity.conflict_events, "conflict event"),
                many(activity.enforcement_events, "time")
            ),
            [links.activity(None)],
        ),
    ];
    for quote in evidence.proposals.iter().take(MAX_LISTED) {
        let text = format!("Proposal: {}", escaped(&quote.text));
        claims.push(Claim::new(text, [links.event(quote.event_id)]));
    }
    Section { heading: "Governance and coordination", claims }
}

fn survival(evidence: &Evidence, links: &Links<'_>) -> Section {
    let mut claims = Vec::new();
    if let Some(population) = &evidence.population {
        let gini = population.inequality_gini.map_or("unknown".to_owned(), |g| format!("{g:.3}"));
        let of_run = evidence.run.as_ref().filter(|_| evidence.runs.is_some());
        let of_run = of_run.map_or(String::new(), |run| format!(" in run {}", named(&run.run_id)));
        claims.push(Claim::new(
            format!(
                "{} alive{of_run} at {}; the Gini coefficient of their wealth was {gini}.",
                were(population.living_agents, "agent"),
                population.at
            ),
            [links.event(population.event_id)],
        ));
    }
    let survival = &evidence.activity.survival;
    if survival.is_empty() {
        let text = "No survival events are recorded.".to_owned();
        claims.push(Claim::new(text, [links.activity(None)]));
    }
    for count in survival.iter().take(MAX_LISTED) {
        let text = format!("{}: {}.", named(&count.event_type), many(count.events, "event"));
        claims.push(Claim::new(text, [links.events(&count.event_type), links.activity(None)]));
    }
    Section { heading: "Survival pressure", claims }
}

fn confidence(evidence: &Evidence, links: &Links<'_>) -> Section {
    let (calls, activity) = (&evidence.calls, &evidence.activity);
    let share = |part, whole| percent(crate::number::ratio(part, whole));
    let mut claims = vec![
        Claim::new(
            format!(
                "{} of {} failed ({}); all calls cost {} USD.",
                calls.failed_calls,
                many(calls.calls, "model call"),
                share(calls.failed_calls, calls.calls),
                money(calls.cost_usd)
            ),
            [links.calls(None)],
        ),
        Claim::new(
            format!(
                "{} invalid ({} of all actions).",
                were(activity.invalid_actions, "action"),
                share(activity.invalid_actions, activity.total_actions)
            ),
            [links.activity(None)],
        ),
        Claim::new(
            "Next check: verify the audit trail.".to_owned(),
            [Link::to("audit verification", format!("{API}/audit/verify"))],
        ),
    ];
    if evidence.verification != Verification::Verified {
        claims.push(Claim::new(
            "Next check: find out why events or model calls of a run are missing.".to_owned(),
            [links.all()],
        ));
    }
    Section { heading: "Confidence and next checks", claims }
}

impl Claim {
    fn new<const N: usize>(text: String, evidence: [Link; N]) -> Self {
        let mut evidence = Vec::from(evidence);
        evidence.dedup();
        Self { text, evidence }
    }
}

impl Evidence {
    /// The counts for the evidence check.
    pub fn observed(&self) -> EvidenceCounts {
        EvidenceCounts { total_events: self.activity.total_events, llm_calls: self.calls.calls }
    }
}

/// Links to the evidence of a period.
struct Links<'a> {
    evidence: &'a Evidence,
    window: EventWindow,
}

impl<'a> Links<'a> {
    fn of(evidence: &'a Evidence) -> Result<Self> {
        Ok(Self { evidence, window: evidence.period.window()? })
    }

    fn all(&self) -> Link {
        let link = Link::to("all figures", format!("{API}/digest/evidence"))
            .with("anchor_date", self.evidence.anchor_date)
            .with("lookback_days", self.evidence.lookback_days);
        self.selecting(link)
    }

    /// The link with the selection of the runs that the digest covers.
    fn selecting(&self, link: Link) -> Link {
        match &self.evidence.runs {
            Some(runs) => selecting(link, &runs.selection),
            None => link,
        }
    }

    /// The runs that the digest covers.
    fn runs(&self, runs: &SelectedRuns) -> Link {
        match &runs.selection.run_id {
            Some(run_id) => Link::to("run", format!("{API}/runs/{}", encoded(run_id))),
            None => selecting(Link::to("runs", format!("{API}/runs")), &runs.selection),
        }
    }

    fn run(&self, run: &EvidenceRun) -> Link {
        Link::to("run", format!("{API}/runs/{}", encoded(&run.run_id)))
    }

    fn activity(&self, run: Option<&EvidenceRun>) -> Link {
        self.days("activity", "activity", run)
    }

    fn calls(&self, run: Option<&EvidenceRun>) -> Link {
        self.days("model calls", "usage/summary", run)
    }

    fn days(&self, label: &str, path: &str, run: Option<&EvidenceRun>) -> Link {
        let link = Link::to(label, format!("{API}/{path}"))
            .with("first_day", self.evidence.period.first_day)
            .with("last_day", self.evidence.period.last_day);
        match run {
            Some(run) => {
                Link { label: format!("{label} of the run"), ..link.with("run_id", &run.run_id) }
            }
            None => self.selecting(link),
        }
    }

    /// The events of a type. Those of several runs cannot be listed: their number is in the activity.
    fn events(&self, event_type: &str) -> Link {
        let run_id = match &self.evidence.runs {
            Some(runs) if runs.selection.run_id.is_none() => return self.activity(None),
            Some(runs) => runs.selection.run_id.as_ref(),
            None => None,
        };
        let link = Link::to(format!("{} events", named(event_type)), format!("{API}/events"))
            .with("type", event_type);
        let link = run_id.into_iter().fold(link, |link, run_id| link.with("run_id", run_id));
        link.with("after", self.window.after).with("until", self.window.until)
    }

    fn event(&self, id: i64) -> Link {
        Link::to(format!("event {id}"), format!("{API}/events/{id}"))
    }
}

fn selecting(link: Link, selection: &RunSelection) -> Link {
    let RunSelection { run_id, group_id, .. } = selection;
    let link = run_id.iter().fold(link, |link, run_id| link.with("run_id", run_id));
    let link = group_id.iter().fold(link, |link, group_id| link.with("group_id", group_id));
    selection.label_filters().fold(link, |link, label| link.with("label", label))
}

fn many(count: i64, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

fn were(count: i64, noun: &str) -> String {
    format!("{} {}", many(count, noun), if count == 1 { "was" } else { "were" })
}

fn percent(share: Option<f64>) -> String {
    share.map_or("none".to_owned(), |share| format!("{:.1} %", share * 100.0))
}

fn money(dollars: f64) -> String {
    format!("{dollars:.4}")
}
