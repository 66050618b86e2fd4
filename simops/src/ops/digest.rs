//! Digests: created by a person or once a week, listed, published, discarded.

use std::path::Path;

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::{Ops, SystemWriter, Writer, blocking, bounded, cursor_position};
use crate::clock::day_of;
use crate::control::Write;
use crate::control::digests::IfExists;
use crate::digest::evidence::{EvidenceRun, Population, Quote, events_of_run};
use crate::digest::record::slug_of;
use crate::digest::{
    Brief, Digest, DigestStatus, Evidence, EvidenceCheck, Period, TEMPLATE_VERSION, Verification,
    evidence,
};
use crate::event::kind;
use crate::event::{DayTally, EventWindow};
use crate::execute::{Intent, WritePermit};
use crate::run::RunRecord;
use crate::{Error, Result, baseline, output};

const LOOKBACK_DAYS: i64 = 7;
const MAX_DAYS: i64 = 90;
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
    /// Create another digest when the date has one.
    pub allow_duplicate_anchor: Option<bool>,
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
    /// The run that it covers.
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

/// `GET digests`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DigestsResponse {
    /// The digests, newest first.
    pub items: Vec<Digest>,
    /// The `cursor` of the next page; null on the last one.
    pub next_cursor: Option<String>,
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
    /// The model calls.
    #[serde(flatten)]
    pub calls: evidence::CallSummary,
}

impl Writer<'_> {
    /// Creates the digest of some days, unless the evidence is insufficient or the anchor date has a
    /// digest. The text is also written to the output folder.
    ///
    /// # Errors
    /// Returns `Forbidden` when the gate is closed, `Invalid` for days out of bounds, and
    /// `Unavailable` naming the file that cannot be written: the digest is stored nevertheless.
    pub async fn create_digest(&self, options: &DigestOptions) -> Result<DigestResponse> {
        let permit = self.permit(Write::CreateDigest)?;
        let if_exists = match options.allow_duplicate_anchor {
            Some(true) => IfExists::CreateAnother,
            _ => IfExists::ReturnUndiscarded,
        };
        let days = options.lookback_days.unwrap_or(LOOKBACK_DAYS);
        let anchor = match options.anchor_date.as_deref().filter(|text| !text.trim().is_empty()) {
            Some(text) => day("anchor_date", text)?,
            None => day_of(self.ops.clock.now()),
        };
        self.ops.create_digest(&permit, anchor, days, if_exists).await
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
        let stored = executor.execute_change(&permit, &intent, |_, change| change.digest.clone());
        stored.await?.ok_or_else(|| Error::internal("a digest was neither stored nor found"))
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
        if existing.iter().any(|digest| digest.status != DigestStatus::InsufficientEvidence) {
            return Ok(None);
        }
        let permit = WritePermit::system("weekly_digest");
        ops.create_digest(&permit, anchor, LOOKBACK_DAYS, IfExists::ReturnAny).await.map(Some)
    }
}

impl Ops {
    async fn create_digest(
        &self,
        permit: &WritePermit,
        anchor: Date,
        days: i64,
        if_exists: IfExists,
    ) -> Result<DigestResponse> {
        let evidence = self.evidence(anchor, days).await?;
        let gate = EvidenceCheck::evaluate(self.options.digest_gate, evidence.observed());
        if !gate.passed {
            let answer = insufficient(&evidence, gate.clone());
            if permit.write().is_some() {
                return self.executor.once(permit, async { Ok(answer) }).await;
            }
            let skipped = Digest::skipped(&evidence, gate);
            let intent = Intent::CreateDigest(Box::new(skipped), if_exists);
            return self.executor.execute(permit, &intent, |_, _| answer.clone()).await;
        }
        let brief = Brief::of(&evidence)?;
        let draft = Digest {
            slug: String::new(),
            anchor_date: anchor,
            lookback_days: days,
            status: DigestStatus::Draft,
            evidence_gate: Some(gate.clone()),
            title: brief.title.clone(),
            evidence_run_id: evidence.run.as_ref().map(|run| run.run_id.clone()),
            verification: evidence.verification,
            template_version: TEMPLATE_VERSION.to_owned(),
            markdown: brief.markdown(),
            created_at: Timestamp::UNIX_EPOCH,
            created_by: String::new(),
            updated_at: Timestamp::UNIX_EPOCH,
            updated_by: String::new(),
        };
        let folder = self.options.output_folder.clone();
        let intent = Intent::CreateDigest(Box::new(draft), if_exists);
        let answer = self
            .executor
            .execute_change(permit, &intent, |_, change| {
                let created = !change.is_empty();
                change.digest.as_ref().map(|draft| kept(draft, created, gate.clone(), &folder))
            })
            .await?;
        let answer =
            answer.ok_or_else(|| Error::internal("a digest was neither stored nor found"))?;
        if let (Some(path), Some(text)) = (&answer.digest_markdown_path, &answer.markdown) {
            let (path, text) = (path.clone(), text.clone());
            blocking(move || output::replace(Path::new(&path), text.as_bytes())).await?;
        }
        Ok(answer)
    }

    /// The evidence for a digest of these days.
    ///
    /// # Errors
    /// Returns `Invalid` for days out of bounds, and an error when the database cannot be read.
    pub async fn evidence(&self, anchor: Date, lookback_days: i64) -> Result<Evidence> {
        bounded("lookback_days", lookback_days, MAX_DAYS)?;
        let period = Period::until(anchor, lookback_days)?;
        let window = period.window()?;
        let days = self.store.tally_days(period.first_day, period.last_day).await?;
        let run = self.evidence_run(&period, &days).await?;
        let snapshot = self.store.last_event(kind::INVENTORY_SNAPSHOT, window.until).await?;
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
        let proposals =
            self.store.events_of_type(window, kind::PROPOSAL_CREATED, None, QUOTES).await?;
        let (run_calls, run_events) = run.as_ref().map_or((0, 0), |run| (run.calls, run.events));
        Ok(Evidence {
            anchor_date: anchor,
            lookback_days,
            period,
            verification: Verification::of(run_calls, run_events),
            activity: evidence::ActivitySummary::of(&days, None),
            calls: evidence::CallSummary::of(&self.store.tally_calls(None, window).await?),
            population,
            proposals: proposals
                .into_iter()
                .map(|event| Quote { event_id: event.id, text: event.description })
                .collect(),
            run,
        })
    }

    /// The newest run that was open in the period and has calls or events in it; without one, the
    /// newest run that was open.
    async fn evidence_run(
        &self,
        period: &Period,
        days: &[DayTally],
    ) -> Result<Option<EvidenceRun>> {
        let window = period.window()?;
        let (mut before, mut without_trace) = (None, None);
        loop {
            let page = self.store.runs(before, RUNS).await?;
            for run in page.items.iter().filter(|run| run.started_at <= window.until) {
                if !was_open(run, window) {
                    // One run is open at a time, so earlier runs ended before.
                    return Ok(without_trace);
                }
                let calls = self.store.tally_calls(Some(&run.run_id), window).await?;
                let calls = evidence::CallSummary::of(&calls).calls;
                let events = events_of_run(days, &run.run_id);
                let found = EvidenceRun::of(run, period, events, calls)?;
                if calls > 0 || events > 0 {
                    return Ok(Some(found));
                }
                without_trace = without_trace.or(Some(found));
            }
            before = page.next;
            if before.is_none() {
                return Ok(without_trace);
            }
        }
    }

    /// The activity of some days, of one run or of all.
    ///
    /// # Errors
    /// Returns `Invalid` for days out of bounds, and an error when the database cannot be read.
    pub async fn activity(
        &self,
        first_day: &str,
        last_day: &str,
        run_id: Option<&str>,
    ) -> Result<ActivityResponse> {
        let period = days("first_day", first_day, "last_day", last_day)?;
        let tallies = self.store.tally_days(period.first_day, period.last_day).await?;
        let activity = evidence::ActivitySummary::of(&tallies, run_id);
        Ok(ActivityResponse { period, run_id: run_id.map(str::to_owned), activity })
    }

    /// The model calls of some days, of one run or of all.
    ///
    /// # Errors
    /// Returns `Invalid` for days out of bounds, and an error when the database cannot be read.
    pub async fn calls_summary(
        &self,
        first_day: &str,
        last_day: &str,
        run_id: Option<&str>,
    ) -> Result<CallsResponse> {
        let period = days("first_day", first_day, "last_day", last_day)?;
        let tallies = self.store.tally_calls(run_id, period.window()?).await?;
        let calls = evidence::CallSummary::of(&tallies);
        Ok(CallsResponse { period, run_id: run_id.map(str::to_owned), calls })
    }

    /// The evidence for a digest, with the parameters of a request.
    ///
    /// # Errors
    /// As [`Ops::evidence`].
    pub async fn evidence_of(&self, anchor: Option<&str>, days: i64) -> Result<Evidence> {
        let anchor = match anchor {
            Some(text) => day("anchor_date", text)?,
            None => day_of(self.clock.now()),
        };
        self.evidence(anchor, days).await
    }

    /// A page of the digests.
    ///
    /// # Errors
    /// Returns `Invalid` for a limit outside 1 to 500, a malformed cursor and an unknown status.
    pub async fn digests(
        &self,
        status: Option<&str>,
        limit: i64,
        cursor: Option<&str>,
    ) -> Result<DigestsResponse> {
        let status = status.filter(|text| !text.is_empty()).map(|text| {
            let known = DigestStatus::parse(text);
            known.ok_or_else(|| {
                Error::invalid(
                    "status",
                    "must be one of draft, published, discarded, insufficient_evidence",
                )
            })
        });
        let limit = bounded("limit", limit, super::records::MAX_PAGE)?;
        let page = self.store.digests(status.transpose()?, cursor_position(cursor)?, limit).await?;
        let next_cursor = page.next.map(|place| place.to_string());
        Ok(DigestsResponse { items: page.items, next_cursor })
    }

    /// One digest.
    ///
    /// # Errors
    /// Returns `NotFound` for an unknown slug.
    pub async fn digest_named(&self, slug: &str) -> Result<Digest> {
        let found = self.store.digest(slug).await?;
        found.ok_or_else(|| Error::not_found(format!("there is no digest {slug}")))
    }
}

fn was_open(run: &RunRecord, window: EventWindow) -> bool {
    run.started_at <= window.until && run.ended_at.is_none_or(|ended| ended > window.after)
}

fn insufficient(evidence: &Evidence, gate: EvidenceCheck) -> DigestResponse {
    DigestResponse {
        slug: slug_of(evidence.anchor_date),
        created: false,
        status: "insufficient_evidence".to_owned(),
        message: gate.message.clone(),
        evidence_gate: gate,
        title: None,
        evidence_run_id: evidence.run.as_ref().map(|run| run.run_id.clone()),
        digest_markdown_path: None,
        digest_template_version: TEMPLATE_VERSION.to_owned(),
        verification: evidence.verification,
        draft_status: None,
        markdown: None,
    }
}

fn kept(draft: &Digest, created: bool, gate: EvidenceCheck, folder: &Path) -> DigestResponse {
    let (status, message) = if created {
        ("created", format!("Digest {} was created.", draft.slug))
    } else {
        let what = draft.status.as_str();
        ("existing", format!("The date has a digest: {} ({what}).", draft.slug))
    };
    let path = folder.join("digest").join(format!("{}.md", draft.slug));
    DigestResponse {
        slug: draft.slug.clone(),
        created,
        status: status.to_owned(),
        message,
        evidence_gate: gate,
        title: Some(draft.title.clone()),
        evidence_run_id: draft.evidence_run_id.clone(),
        digest_markdown_path: Some(path.display().to_string()),
        digest_template_version: draft.template_version.clone(),
        verification: draft.verification,
        draft_status: Some(draft.status),
        markdown: Some(draft.markdown.clone()),
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
