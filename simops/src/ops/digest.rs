//! Digests: written, listed, published, discarded, and made by themselves once a week.

use std::path::Path;

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::{Caller, Ops, blocking, bounded, place};
use crate::clock::day_of;
use crate::control::digests::IfExists;
use crate::digest::evidence::{EvidenceRun, Population, Quote, events_of_run};
use crate::digest::record::slug_of;
use crate::digest::{
    Brief, Digest, DigestStatus, Evidence, EvidenceCheck, Period, TEMPLATE_VERSION, Verification,
    evidence,
};
use crate::event::kind;
use crate::event::{DayTally, EventWindow};
use crate::execute::Intent;
use crate::run::RunRecord;
use crate::run::rules::check_reason;
use crate::{Error, Result, baseline, output};

const LOOKBACK_DAYS: i64 = 7;
const MOST_DAYS: i64 = 90;
/// Proposals that a digest may quote.
const QUOTES: usize = 5;
/// Runs looked at, newest first, to find the one that a digest is about.
const RUNS: usize = 100;

/// `POST digest`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct DigestOptions {
    /// How many days it is about, 1 to 90; 7 when absent.
    pub lookback_days: Option<i64>,
    /// The last of them (UTC, `YYYY-MM-DD`); today when absent.
    pub anchor_date: Option<String>,
    /// Draft another one although the date has one.
    pub allow_duplicate_anchor: Option<bool>,
}

/// What came of asking for a digest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DigestResponse {
    /// Its name.
    pub slug: String,
    /// Whether it was drafted now.
    pub created: bool,
    /// `created`, `existing` or `insufficient_evidence`.
    pub status: String,
    /// The same as a sentence.
    pub message: String,
    /// Whether there is evidence enough.
    pub evidence_gate: EvidenceCheck,
    /// Its title; null when there is none.
    pub title: Option<String>,
    /// The run it is about.
    pub evidence_run_id: Option<String>,
    /// Where its text was written to.
    pub digest_markdown_path: Option<String>,
    /// The template of its text.
    pub digest_template_version: String,
    /// `verified`, `partial` or `unverified`.
    pub verification: Verification,
    /// What became of it: `draft`, `published` or `discarded`.
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
    /// Pass it as `cursor` for those before; null at the end.
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
    /// What models were asked.
    #[serde(flatten)]
    pub calls: evidence::CallSummary,
}

impl Ops {
    /// Drafts the digest of some days, unless there is too little evidence, or one of the same date.
    /// The text is written below the output folder as well.
    ///
    /// # Errors
    /// `Forbidden` when the write gate is closed; `Invalid` for days out of bounds; `Unavailable`
    /// naming the file that cannot be written: the draft is stored all the same.
    pub async fn digest(&self, caller: &Caller, options: &DigestOptions) -> Result<DigestResponse> {
        self.check_writable()?;
        let if_exists = match options.allow_duplicate_anchor {
            Some(true) => IfExists::CreateAnother,
            _ => IfExists::ReturnUndiscarded,
        };
        let days = options.lookback_days.unwrap_or(LOOKBACK_DAYS);
        let anchor = match options.anchor_date.as_deref().filter(|text| !text.trim().is_empty()) {
            Some(text) => day("anchor_date", text)?,
            None => day_of(self.clock.now()),
        };
        self.draft(caller, anchor, days, if_exists).await
    }

    /// Drafts the digest that the schedule asks for now, if its date never had one; what came of it.
    ///
    /// # Errors
    /// As [`Ops::digest`], whatever the write gate is.
    pub async fn scheduled_digest(&self) -> Result<Option<DigestResponse>> {
        let Some(anchor) = self.options.digest_schedule.due(self.clock.now()) else {
            return Ok(None);
        };
        if !self.store.digests_of(anchor).await?.is_empty() {
            return Ok(None);
        }
        let caller = Caller::system("weekly_digest");
        self.draft(&caller, anchor, LOOKBACK_DAYS, IfExists::ReturnAny).await.map(Some)
    }

    async fn draft(
        &self,
        caller: &Caller,
        anchor: Date,
        days: i64,
        if_exists: IfExists,
    ) -> Result<DigestResponse> {
        let evidence = self.evidence(anchor, days).await?;
        let gate = EvidenceCheck::evaluate(self.options.digest_gate, evidence.observed());
        if !gate.passed {
            let answer = async { Ok(insufficient(&evidence, gate.clone())) };
            return self.executor.once(caller, answer).await;
        }
        let brief = Brief::of(&evidence)?;
        let draft = Digest {
            slug: String::new(),
            anchor_date: anchor,
            lookback_days: days,
            status: DigestStatus::Draft,
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
        let intent = Intent::Draft(Box::new(draft), if_exists);
        let answer = self
            .executor
            .execute_change(caller, &intent, |_, change| {
                let created = !change.is_empty();
                change.digest.as_ref().map(|draft| kept(draft, created, gate.clone(), &folder))
            })
            .await?;
        let answer =
            answer.ok_or_else(|| Error::internal("a digest was neither kept nor found"))?;
        if let (Some(path), Some(text)) = (&answer.digest_markdown_path, &answer.markdown) {
            let (path, text) = (path.clone(), text.clone());
            blocking(move || output::replace(Path::new(&path), text.as_bytes())).await?;
        }
        Ok(answer)
    }

    /// What a digest of these days is written from.
    ///
    /// # Errors
    /// `Invalid` for days out of bounds; of the store.
    pub async fn evidence(&self, anchor: Date, lookback_days: i64) -> Result<Evidence> {
        bounded("lookback_days", lookback_days, MOST_DAYS)?;
        let period = Period::until(anchor, lookback_days)?;
        let window = period.window()?;
        let days = self.store.tally_days(period.first_day, period.last_day).await?;
        let run = self.evidence_run(&period, &days).await?;
        let snapshot = self.store.last_event(kind::INVENTORY_SNAPSHOT, window.until).await?;
        let snapshot = snapshot.filter(|event| window.holds(event.created_at));
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

    /// The run started last of those that were open in the period and left a trace in it; without a
    /// trace of any, the one started last.
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
                    // One run is open at a time: those before it ended earlier.
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

    /// What happened in some days, in a run or in all.
    ///
    /// # Errors
    /// `Invalid` for days out of bounds; of the store.
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

    /// The model calls of some days, of a run or of all.
    ///
    /// # Errors
    /// `Invalid` for days out of bounds; of the store.
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

    /// The evidence of a digest, as it was asked for.
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
    /// `Invalid` for a limit outside 1 to 500, a cursor that is none or an unknown status.
    pub async fn digests(
        &self,
        status: Option<&str>,
        limit: i64,
        cursor: Option<&str>,
    ) -> Result<DigestsResponse> {
        let status = status.filter(|text| !text.is_empty()).map(|text| {
            let known = DigestStatus::parse(text);
            known.ok_or_else(|| {
                Error::invalid("status", "must be one of draft, published, discarded")
            })
        });
        let limit = bounded("limit", limit, super::records::MAX_PAGE)?;
        let page = self.store.digests(status.transpose()?, place(cursor)?, limit).await?;
        let next_cursor = page.next.map(|place| place.to_string());
        Ok(DigestsResponse { items: page.items, next_cursor })
    }

    /// One digest.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn digest_named(&self, slug: &str) -> Result<Digest> {
        let found = self.store.digest(slug).await?;
        found.ok_or_else(|| Error::not_found(format!("there is no digest {slug}")))
    }

    /// Publishes or discards a digest.
    ///
    /// # Errors
    /// `Forbidden` when the write gate is closed, `NotFound`, `Conflict` for one that was discarded.
    pub async fn move_digest(
        &self,
        caller: &Caller,
        slug: &str,
        to: DigestStatus,
        reason: Option<&str>,
    ) -> Result<Digest> {
        self.check_writable()?;
        let caller = Caller { reason: check_reason(reason)?, ..caller.clone() };
        let intent = Intent::MoveDraft(slug.to_owned(), to);
        let moved = self
            .executor
            .execute_change(&caller, &intent, |_, change| change.digest.clone())
            .await?;
        moved.ok_or_else(|| Error::internal("a digest was neither kept nor found"))
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
        ("created", format!("Digest {} was drafted.", draft.slug))
    } else {
        let what = draft.status.as_str();
        ("existing", format!("The date has one already: {} ({what}).", draft.slug))
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
    if !(1..=MOST_DAYS).contains(&length) {
        let message = format!("must lie 0 to {} days after {first}", MOST_DAYS - 1);
        return Err(Error::invalid(last, message));
    }
    Ok(Period { first_day, last_day })
}

fn day(field: &str, text: &str) -> Result<Date> {
    let text = text.trim();
    // A longer text is a date and more.
    let date = text.parse().ok().filter(|_| text.len() == "2026-03-01".len());
    date.ok_or_else(|| Error::invalid(field, "must be a date such as 2026-03-01"))
}
