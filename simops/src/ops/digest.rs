//! Digests: created by a person or once a week, listed, published, discarded.

use std::path::Path;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::records::MAX_PAGE;
use super::selection::Selected;
use super::{Listing, Ops, SystemWriter, Writer, blocking, bounded, cursor_position};
use crate::clock::day_of;
use crate::control::Write;
use crate::control::digests::IfExists;
use crate::digest::evidence::{EvidenceRun, Population, Quote, events_of_run, tallies_by_run};
use crate::digest::{
    Digest, DigestStatus, Evidence, EvidenceCheck, Period, Verification, evidence,
};
use crate::event::kind;
use crate::event::{DayTally, EventWindow};
use crate::execute::{Intent, WritePermit, found};
use crate::run::{Labels, RunRecord, RunSelection, SelectedRuns};
use crate::store::RunFilter;
use crate::{Error, Result, baseline, output};

const LOOKBACK_DAYS: i64 = 7;
pub(super) const MAX_DAYS: i64 = 90;
/// Proposals that a digest may quote.
const QUOTES: usize = 5;
/// Runs read at a time to find the run that a digest covers.
const RUNS: usize = 100;

/// `POST digest`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct DigestOptions {
    /// The number of days that it covers, 1 to 90; 7 when absent.
    pub lookback_days: Option<i64>,
    /// The last of these days (UTC, `YYYY-MM-DD`); today when absent.
    pub anchor_date: Option<String>,
    /// Create another digest when the date has one of the same runs.
    pub allow_duplicate_anchor: Option<bool>,
    /// Cover only the run with this id.
    pub run_id: Option<String>,
    /// Cover only runs of this group.
    pub group_id: Option<String>,
    /// Cover only runs with all of these labels: values by name.
    #[cfg_attr(feature = "openapi", schema(value_type = std::collections::BTreeMap<String, String>))]
    pub labels: Labels,
}

/// Response of `POST digest`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DigestResponse {
    /// Its name.
    pub slug: String,
    /// Whether it was created now.
    pub created: bool,
    /// `created`, `existing` or `insufficient_evidence`.
    pub status: String,
    /// The status as a sentence.
    pub message: String,
    /// Whether the evidence is sufficient.
    pub evidence_gate: EvidenceCheck,
    /// Its title; null when there is none.
    pub title: Option<String>,
    /// The runs that it covers; absent when it covers everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runs: Option<SelectedRuns>,
    /// The run that it is about.
    pub evidence_run_id: Option<String>,
    /// The file of its text.
    pub digest_markdown_path: Option<String>,
    /// The template of its text.
    pub digest_template_version: String,
    /// `verified`, `partial` or `unverified`.
    pub verification: Verification,
    /// Its status: `draft`, `published` or `discarded`.
    pub draft_status: Option<DigestStatus>,
    /// Its text.
    pub markdown: Option<String>,
}

/// `GET activity`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ActivityResponse {
    /// The days.
    #[serde(flatten)]
    pub period: Period,
    /// The run, when only its events count.
    pub run_id: Option<String>,
    /// The runs whose events count; absent when all do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runs: Option<SelectedRuns>,
    /// What happened.
    #[serde(flatten)]
    pub activity: evidence::ActivitySummary,
}

/// `GET usage/summary`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CallsResponse {
    /// The days.
    #[serde(flatten)]
    pub period: Period,
    /// The run, when only its calls count.
    pub run_id: Option<String>,
    /// The runs whose calls count; absent when all do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runs: Option<SelectedRuns>,
    /// The model calls.
    #[serde(flatten)]
    pub calls: evidence::CallSummary,
}

impl Writer<'_> {
    /// Creates the digest of some days, of everything or of some runs, unless the evidence is insufficient
    /// or the anchor date has a digest of the same. The text is also written to the output folder.
    ///
    /// # Errors
    /// Returns `Forbidden` when the gate is closed, `Invalid` for days out of bounds and too many runs,
    /// `NotFound` for a selection without runs, and `Unavailable` naming the file that cannot be written: the digest is stored nevertheless.
    pub async fn create_digest(&self, options: &DigestOptions) -> Result<DigestResponse> {
        let permit = self.permit(Write::CreateDigest)?;
        let if_exists = match options.allow_duplicate_anchor {
            Some(true) => IfExists::CreateAnother,
            _ => IfExists::ReturnUndiscarded,
        };
        let days = options.lookback_days.unwrap_or(LOOKBACK_DAYS);
        let anchor = options.anchor_date.as_deref().filter(|text| !text.trim().is_empty());
        let anchor = self.ops.anchor(anchor)?;
        let selection = options.selection();
        self.ops.create_digest(&permit, (anchor, days), &selection, if_exists).await
    }

    /// Publishes or discards a digest.
    ///
    /// # Errors
    /// Returns `Forbidden` when the gate is closed, `NotFound` for an unknown digest, and `Conflict`
    /// for one that was discarded or has no text.
    pub async fn set_digest_status(
        &self,
        slug: &str,
        to: DigestStatus,
        reason: Option<&str>,
    ) -> Result<Digest> {
        let write = match to {
            DigestStatus::Published => Write::PublishDigest,
            _ => Write::DiscardDigest,
        };
        let permit = self.permit_for(write, reason)?;
        let intent = Intent::SetDigestStatus(slug.to_owned(), to);
        let executor = &self.ops.executor;
        let stored = executor.execute(&permit, &intent, |_, change| change.digest.clone());
        stored.await?.ok_or_else(missing)
    }
}

impl SystemWriter<'_> {
    /// Creates the digest that is due now, if its date has none. When the evidence is insufficient, a
    /// row that says so is stored instead, once; a later digest of the date replaces it.
    ///
    /// # Errors
    /// As [`Writer::create_digest`], except that the write gate does not apply.
    pub async fn scheduled_digest(self) -> Result<Option<DigestResponse>> {
        let ops = self.ops;
        let Some(anchor) = ops.options.digest_schedule.due(ops.clock.now()) else {
            return Ok(None);
        };
        let existing = ops.store.digests_of(anchor).await?;
        let is_weekly = |digest: &&Digest| digest.runs.is_none();
        let mut weekly = existing.iter().filter(is_weekly);
        if weekly.any(|digest| digest.status != DigestStatus::InsufficientEvidence) {
            return Ok(None);
        }
        let permit = WritePermit::system("weekly_digest");
        let (days, all) = ((anchor, LOOKBACK_DAYS), RunSelection::default());
        ops.create_digest(&permit, days, &all, IfExists::ReturnAny).await.map(Some)
    }
}

impl Ops {
    async fn create_digest(
        &self,
        permit: &WritePermit,
        (anchor, days): (Date, i64),
        selection: &RunSelection,
        if_exists: IfExists,
    ) -> Result<DigestResponse> {
        let evidence = self.evidence(anchor, days, selection).await?;
        let gate = EvidenceCheck::evaluate(self.options.digest_gate, evidence.observed());
        let digest = Digest::of(&evidence, gate.clone())?;
        let folder = &self.options.output_folder;
        if !gate.passed && permit.write().is_some() {
            let digest = Digest { slug: digest.first_slug(), ..digest };
            let answer = DigestResponse::of(&digest, false, gate, folder);
            return self.executor.once(permit, async { Ok(answer) }).await;
        }
        let intent = Intent::CreateDigest(Box::new(digest), if_exists);
        let answer = self.executor.execute(permit, &intent, |_, change| {
            let created = gate.passed && !change.is_empty();
            let digest = change.digest.as_ref();
            digest.map(|digest| DigestResponse::of(digest, created, gate.clone(), folder))
        });
        let answer = answer.await?.ok_or_else(missing)?;
        if let (Some(path), Some(text)) = (&answer.digest_markdown_path, &answer.markdown) {
            let (path, text) = (path.clone(), text.clone());
            blocking(move || output::replace(Path::new(&path), text.as_bytes())).await?;
        }
        Ok(answer)
    }

    /// The evidence for a digest of these days: of the runs selected, or of everything.
    ///
    /// # Errors
    /// Returns `Invalid` for days out of bounds and too many runs, `NotFound` for a selection without runs,
    /// and an error when the database cannot be read.
    pub async fn evidence(
        &self,
        anchor: Date,
        lookback_days: i64,
        selection: &RunSelection,
    ) -> Result<Evidence> {
        bounded("lookback_days", lookback_days, MAX_DAYS)?;
        let period = Period::until(anchor, lookback_days)?;
        let window = period.window()?;
        let selected = self.selected(selection).await?;
        let selected = selected.as_ref();
        let days = self.days_of(selected, period).await?;
        let run = match selected {
            Some(selected) => self.evidence_run_of(&selected.runs, window, &days).await?.newest(),
            None => self.evidence_run(window, &days).await?,
        };
        let of_run = match (selected, &run) {
            (None, _) => Some(None),
            (Some(_), Some(run)) => Some(Some(run.run_id.as_str())),
            (Some(_), None) => None,
        };
        let snapshot = match of_run {
            Some(run_id) => {
                self.store.last_event(run_id, kind::INVENTORY_SNAPSHOT, window.until).await?
            }
            None => None,
        };
        let snapshot = snapshot.filter(|event| window.contains(event.created_at));
        let population = snapshot.and_then(|event| {
            let owned = baseline::Inventories::of_event(&event)?;
            Some(Population {
                event_id: event.id,
                at: event.created_at,
                living_agents: owned.living_agents(),
                inequality_gini: owned.gini(),
            })
        });
        let (run_calls, run_events) = run.as_ref().map_or((0, 0), |run| (run.calls, run.events));
        Ok(Evidence {
            anchor_date: anchor,
            lookback_days,
            period,
            runs: selected.map(|selected| selected.summary.clone()),
            verification: Verification::of(run_calls, run_events),
            activity: activity_of(selected, &days),
            calls: self.calls_of(selected, window).await?,
            population,
            proposals: self.first_proposals(selected, window).await?,
            run,
        })
    }

    /// The event counts of some days: of the runs selected, or of everything.
    async fn days_of(&self, selected: Option<&Selected>, period: Period) -> Result<Vec<DayTally>> {
        let Period { first_day, last_day } = period;
        match selected {
            Some(selected) => {
                self.store.tally_days_of_runs(&selected.ids(), first_day, last_day).await
            }
            None => self.store.tally_days(first_day, last_day).await,
        }
    }

    /// The first proposals of a period.
    async fn first_proposals(
        &self,
        selected: Option<&Selected>,
        window: EventWindow,
    ) -> Result<Vec<Quote>> {
        let run_ids: Vec<Option<&str>> = match selected {
            Some(selected) => selected.runs.iter().map(|run| Some(run.run_id.as_str())).collect(),
            None => vec![None],
        };
        let mut proposals = Vec::new();
        for run_id in run_ids {
            let created = kind::PROPOSAL_CREATED;
            proposals
                .extend(self.store.events_of_type(run_id, window, created, None, QUOTES).await?);
        }
        proposals.sort_by_key(|event| (event.created_at, event.id));
        let quotes = proposals.into_iter().take(QUOTES);
        Ok(quotes.map(|event| Quote { event_id: event.id, text: event.description }).collect())
    }

    /// The newest of `runs` that was open in the period and has calls or events in it, and the newest
    /// that was open.
    async fn evidence_run_of(
        &self,
        runs: &[RunRecord],
        window: EventWindow,
        days: &[DayTally],
    ) -> Result<FoundRun> {
        let mut found = FoundRun::default();
        for run in runs.iter().filter(|run| was_open(run, window)) {
            let calls = self.store.tally_calls(Some(&run.run_id), window).await?;
            let calls = evidence::CallSummary::of(&calls).calls;
            let events = events_of_run(days, &run.run_id);
            let run = EvidenceRun::of(run, window.until, events, calls);
            if calls > 0 || events > 0 {
                found.with_records = Some(run);
                break;
            }
            found.without = found.without.or(Some(run));
        }
        Ok(found)
    }

    /// The newest run that was open in the period and has calls or events in it; without one, the
    /// newest run that was open.
    async fn evidence_run(
        &self,
        window: EventWindow,
        days: &[DayTally],
    ) -> Result<Option<EvidenceRun>> {
        let (mut before, mut found) = (None, FoundRun::default());
        loop {
            let page = self.store.runs(&RunFilter::page(before, RUNS)).await?;
            let of_page = self.evidence_run_of(&page.items, window, days).await?;
            found.without = found.without.or(of_page.without);
            before = page.next;
            if of_page.with_records.is_some() || before.is_none() {
                return Ok(of_page.with_records.or(found.without));
            }
        }
    }

    /// The activity of some days, of the runs selected or of everything.
    ///
    /// # Errors
    /// Returns `Invalid` for days out of bounds and too many runs, `NotFound` for a selection without runs,
    /// and an error when the database cannot be read.
    pub async fn activity(
        &self,
        first_day: &str,
        last_day: &str,
        selection: &RunSelection,
    ) -> Result<ActivityResponse> {
        let period = days("first_day", first_day, "last_day", last_day)?;
        let selected = self.selected(selection).await?;
        let selected = selected.as_ref();
        let activity = activity_of(selected, &self.days_of(selected, period).await?);
        let runs = selected.map(|selected| selected.summary.clone());
        Ok(ActivityResponse { period, run_id: run_of(runs.as_ref()), runs, activity })
    }

    /// The model calls of some days, of the runs selected or of everything.
    ///
    /// # Errors
    /// As [`Ops::activity`].
    pub async fn calls_summary(
        &self,
        first_day: &str,
        last_day: &str,
        selection: &RunSelection,
    ) -> Result<CallsResponse> {
        let period = days("first_day", first_day, "last_day", last_day)?;
        let selected = self.selected(selection).await?;
        let calls = self.calls_of(selected.as_ref(), period.window()?).await?;
        let runs = selected.map(|selected| selected.summary);
        Ok(CallsResponse { period, run_id: run_of(runs.as_ref()), runs, calls })
    }

    /// The evidence for a digest, with the parameters of a request.
    ///
    /// # Errors
    /// As [`Ops::evidence`].
    pub async fn evidence_of(
        &self,
        anchor: Option<&str>,
        days: i64,
        selection: &RunSelection,
    ) -> Result<Evidence> {
        self.evidence(self.anchor(anchor)?, days, selection).await
    }

    /// The anchor date of a request; today without one.
    fn anchor(&self, date: Option<&str>) -> Result<Date> {
        date.map_or_else(|| Ok(day_of(self.clock.now())), |text| day("anchor_date", text))
    }

    /// A page of the digests, newest first.
    ///
    /// # Errors
    /// Returns `Invalid` for a limit outside 1 to 500, a malformed cursor and an unknown status.
    pub async fn digests(
        &self,
        status: Option<&str>,
        limit: i64,
        cursor: Option<&str>,
    ) -> Result<Listing<Digest>> {
        let status = status.filter(|text| !text.is_empty()).map(DigestStatus::parse);
        if status == Some(None) {
            let known = "must be one of draft, published, discarded, insufficient_evidence";
            return Err(Error::invalid("status", known));
        }
        let limit = bounded("limit", limit, MAX_PAGE)?;
        let page = self.store.digests(status.flatten(), cursor_position(cursor)?, limit).await?;
        Ok(page.into())
    }

    /// One digest.
    ///
    /// # Errors
    /// Returns `NotFound` for an unknown slug.
    pub async fn digest_named(&self, slug: &str) -> Result<Digest> {
        found("digest", slug, self.store.digest(slug).await?)
    }
}

/// The run that a digest is about, among those looked at.
#[derive(Default)]
struct FoundRun {
    with_records: Option<EvidenceRun>,
    without: Option<EvidenceRun>,
}

impl FoundRun {
    fn newest(self) -> Option<EvidenceRun> {
        self.with_records.or(self.without)
    }
}

impl DigestOptions {
    fn selection(&self) -> RunSelection {
        let Self { run_id, group_id, labels, .. } = self.clone();
        RunSelection { run_id, group_id, labels }
    }
}

fn activity_of(selected: Option<&Selected>, days: &[DayTally]) -> evidence::ActivitySummary {
    match selected {
        Some(_) => evidence::ActivitySummary::of_runs(&tallies_by_run(days)),
        None => evidence::ActivitySummary::of(days, None),
    }
}

fn run_of(runs: Option<&SelectedRuns>) -> Option<String> {
    runs?.selection.run_id.clone()
}

fn was_open(run: &RunRecord, window: EventWindow) -> bool {
    run.started_at <= window.until && run.ended_at.is_none_or(|ended| ended > window.after)
}

fn missing() -> Error {
    Error::internal("a digest was neither stored nor found")
}

impl DigestResponse {
    /// The response about a digest that was created, that exists, or that lacks evidence.
    fn of(digest: &Digest, created: bool, gate: EvidenceCheck, folder: &Path) -> Self {
        let Digest { slug, status, .. } = digest;
        let has_text = *status != DigestStatus::InsufficientEvidence;
        let (outcome, message) = match (has_text, created) {
            (false, _) => ("insufficient_evidence", gate.message.clone()),
            (true, true) => ("created", format!("Digest {slug} was created.")),
            (true, false) => {
                ("existing", format!("The date has a digest: {slug} ({}).", status.as_str()))
            }
        };
        let path = folder.join("digest").join(format!("{slug}.md"));
        Self {
            slug: slug.clone(),
            created,
            status: outcome.to_owned(),
            message,
            evidence_gate: gate,
            title: has_text.then(|| digest.title.clone()),
            runs: digest.runs.clone(),
            evidence_run_id: digest.evidence_run_id.clone(),
            digest_markdown_path: has_text.then(|| path.display().to_string()),
            digest_template_version: digest.template_version.clone(),
            verification: digest.verification,
            draft_status: has_text.then_some(*status),
            markdown: has_text.then(|| digest.markdown.clone()),
        }
    }
}

fn days(first: &str, first_day: &str, last: &str, last_day: &str) -> Result<Period> {
    let (first_day, last_day) = (day(first, first_day)?, day(last, last_day)?);
    let length = last_day.duration_since(first_day).as_hours() / 24 + 1;
    if !(1..=MAX_DAYS).contains(&length) {
        let message = format!("must lie 0 to {} days after {first}", MAX_DAYS - 1);
        return Err(Error::invalid(last, message));
    }
    Ok(Period { first_day, last_day })
}

fn day(field: &str, text: &str) -> Result<Date> {
    let text = text.trim();
    // The parser also accepts a date that is followed by a time.
    let date = text.parse().ok().filter(|_| text.len() == "2026-03-01".len());
    date.ok_or_else(|| Error::invalid(field, "must be a date such as 2026-03-01"))
}
